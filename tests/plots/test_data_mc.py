from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hist.intervals import poisson_interval
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from intccms.errors import InputError
from intccms.histograms import Book, total_uncertainty
from intccms.plots import CmsFigure, Look, data_mc
from intccms.plots.data_mc import contents, draw_contents
from intccms.schema import Plotting

LOOK = Look(
    plotting=Plotting(
        process_order=("wjets", "ttbar"),
        process_labels={"ttbar": "top quarks", "signal": "new"},
        process_colors={"ttbar": "#ff0000"},
    ),
    lumi_fb=16.4,
    status="Open Data",
    signal_scale=5.0,
)


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def points(ax: Axes) -> tuple[list[float], list[float]]:
    line = next(line for line in ax.lines if line.get_marker() == "o")
    return list(line.get_xdata()), list(line.get_ydata())


def steps(ax: Axes) -> dict[str, StepPatch]:
    handles, labels = ax.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    return {name: patch for name, patch in found.items() if isinstance(patch, StepPatch)}


def test_heights_are_the_numbers_of_the_book(book: Book) -> None:
    _, (top, _) = data_mc(book, "sr", "mtt", look=LOOK)
    drawn = steps(top)
    wjets, total = (drawn[name].get_data() for name in ("wjets", "top quarks"))
    assert wjets.values.tolist() == [2.0, 3.0, 0.0]
    assert total.values.tolist() == [12.0, 8.0, 1.0]  # on top of the stack
    assert total.baseline.tolist() == [2.0, 3.0, 0.0]
    assert total.edges.tolist() == [0.0, 100.0, 200.0, 300.0]


def test_signal_is_a_scaled_line_outside_the_stack(book: Book) -> None:
    _, (top, _) = data_mc(book, "sr", "mtt", look=LOOK)
    line = steps(top)[r"new $\times$ 5"]
    assert line.get_data().values.tolist() == [0.0, 5.0, 10.0]
    assert not line.get_fill()


def test_data_are_points_with_garwood_errors(book: Book) -> None:
    _, (top, _) = data_mc(book, "sr", "mtt", look=LOOK)
    assert points(top) == ([50.0, 150.0, 250.0], [9.0, 4.0, 0.0])
    segments = top.containers[0].lines[2][0].get_segments()
    low, high = poisson_interval(np.array([9.0, 4.0, 0.0]))
    assert [segment[0][1] for segment in segments] == pytest.approx(low)
    assert [segment[1][1] for segment in segments] == pytest.approx(high)


def test_ratio_is_data_over_background(book: Book) -> None:
    _, (_, bottom) = data_mc(book, "sr", "mtt", look=LOOK)
    assert points(bottom)[1] == pytest.approx([9 / 12, 4 / 8, 0.0])


def test_band_is_the_total_uncertainty(book: Book) -> None:
    _, (top, bottom) = data_mc(book, "sr", "mtt", look=LOOK)
    band = steps(top)[r"Stat. $\oplus$ syst. unc."].get_data()
    # first bin: weights 2 and 10, jes + 3 - 2, pileup +- 0.2
    assert band.values[0] == pytest.approx(12 + (4 + 100 + 9 + 0.04) ** 0.5)
    assert band.baseline[0] == pytest.approx(12 - (4 + 100 + 4 + 0.04) ** 0.5)
    down, up = total_uncertainty(book, "sr", "mtt", ["wjets", "ttbar"])
    ratio_band = next(patch for patch in bottom.patches if isinstance(patch, StepPatch))
    assert ratio_band.get_data().values == pytest.approx(1 + up / [12, 8, 1])
    assert ratio_band.get_data().baseline == pytest.approx(1 - down / [12, 8, 1])


def test_legend_names_data_first_and_the_channel(book: Book) -> None:
    _, (top, _) = data_mc(book, "sr", "mtt", look=LOOK)
    assert texts(top)[0] == "Data"
    assert set(texts(top)) == {
        "Data", "wjets", "top quarks", r"Stat. $\oplus$ syst. unc.", r"new $\times$ 5",
    }  # fmt: skip
    legend = top.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "sr"


def test_labels_say_status_luminosity_energy_and_axes(book: Book) -> None:
    figure, (top, bottom) = data_mc(book, "sr", "mtt", look=LOOK)
    written = {text.get_text() for text in top.texts}
    assert {"CMS", "Open Data", r"16.4 $\mathrm{fb^{-1}}$ (13 TeV)"} <= written
    assert top.get_ylabel() == "Events / 100 GeV"
    assert bottom.get_xlabel() == "$m$ [GeV]"
    assert isinstance(figure, CmsFigure)


def test_nothing_drawn_reaches_into_the_legend(book: Book) -> None:
    for log in (False, True):
        _, (top, _) = data_mc(book, "sr", "mtt", look=replace(LOOK, log=log))
        legend = top.get_legend()
        assert legend is not None
        lowest = legend.get_window_extent().transformed(top.transData.inverted()).y0
        assert lowest > 12 + 113.04**0.5
        assert top.get_yscale() == ("log" if log else "linear")


def test_long_labels_stay_inside_the_frame(book: Book) -> None:
    labels = {name: f"{name} with a very long description" for name in book.processes}
    look = replace(LOOK, plotting=Plotting(process_labels=labels))
    _, (top, _) = data_mc(book, "sr", "mtt", look=look)
    legend = top.get_legend()
    assert legend is not None
    assert legend.get_window_extent().x0 >= top.bbox.x0


def test_range_hides_its_data_only(book: Book) -> None:
    _, (top, bottom) = data_mc(book, "sr", "mtt", look=LOOK, blind=(120.0, 180.0))
    assert points(top) == ([50.0, 250.0], [9.0, 0.0])
    assert points(bottom)[0] == [50.0, 250.0]
    assert "Data blinded" in texts(top)


def test_blind_figure_has_no_data_and_says_simulation(book: Book) -> None:
    _, (top, bottom) = data_mc(book, "sr", "mtt", look=LOOK, blind=True)
    assert "Data" not in texts(top)
    assert not top.containers
    assert not bottom.containers
    assert "Simulation Open Data" in {text.get_text() for text in top.texts}


def test_book_without_data_can_be_drawn(book: Book) -> None:
    without = Book(book.histograms, {k: v for k, v in book.varied.items() if k != "data"})
    numbers = contents(without, "sr", "mtt", LOOK)
    assert numbers.data is None
    _, (top, _) = draw_contents(numbers, "post-fit", look=LOOK)
    assert "Data" not in texts(top)


def test_points_beyond_the_ratio_panel_are_marked(book: Book) -> None:
    book.histograms["sr", "mtt"].view(flow=True)["value"][1, book.processes.index("data"), 0] = 90
    _, (_, bottom) = data_mc(book, "sr", "mtt", look=LOOK)
    up = next(line for line in bottom.lines if line.get_marker() == "^")
    assert list(up.get_xdata()) == [50.0]
    assert bottom.get_ylim()[1] < 90 / 12


def test_axes_of_ones_own_are_used(book: Book) -> None:
    mine, (upper, lower) = plt.subplots(2, 1)
    figure, axes = data_mc(book, "sr", "mtt", ax=(upper, lower))
    assert figure is mine
    assert axes == (upper, lower)


def test_unequal_bins_have_no_width_in_their_label(book: Book) -> None:
    numbers = contents(book, "sr", "mtt", LOOK)
    uneven = replace(numbers, edges=np.array([0.0, 1.0, 2.0, 4.0]))
    _, (top, _) = draw_contents(uneven, "sr")
    assert top.get_ylabel() == "Events / bin"


def test_unknown_names_are_refused(book: Book) -> None:
    with pytest.raises(InputError, match="unknown channel"):
        data_mc(book, "cr", "mtt")


def test_drawing_writes_no_file_and_leaves_the_settings(
    book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(plt.rcParams)
    figure, _ = data_mc(book, "sr", "mtt", look=LOOK)
    figure.canvas.draw()
    assert dict(plt.rcParams) == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [0.0, -1.0])
def test_without_positive_content_a_logarithmic_axis_is_plain(book: Book, content: float) -> None:
    numbers = contents(book, "sr", "mtt", LOOK)
    empty = replace(
        numbers,
        backgrounds={name: np.full(3, content) for name in numbers.backgrounds},
        signals={},
        data=None,
        up=np.zeros(3),
        down=np.zeros(3),
    )
    figure, (top, _) = draw_contents(empty, "sr", look=replace(LOOK, log=True))
    figure.canvas.draw()
    assert top.get_yscale() == "linear"
    assert top.get_ylim()[0] == 0.0 < top.get_ylim()[1]


def test_a_signal_that_is_hardly_seen_grows_by_a_power_of_ten(book: Book) -> None:
    numbers = contents(book, "sr", "mtt", Look())
    small = replace(numbers, signals={"signal": np.array([0.0, 0.001, 0.002])})
    _, (top, _) = draw_contents(small, "sr")
    assert max(steps(top)[r"signal $\times$ 1000"].get_data().values) == pytest.approx(2.0)
    _, (top, _) = draw_contents(small, "sr", look=Look(log=True))
    assert "signal" in steps(top)
    _, (top, _) = draw_contents(numbers, "sr")
    assert "signal" in steps(top)  # 2 of 12 are seen as they are


def test_the_period_is_in_the_heading(book: Book) -> None:
    _, (top, _) = data_mc(book, "sr", "mtt", look=Look(period="2017"))
    legend = top.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "sr, 2017"
