from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from intccms.errors import InputError
from intccms.histograms import Book, HistogramSums, make_book
from intccms.plots import Look, systematics


def curve(ax: Axes, label: str) -> list[float]:
    handles, labels = ax.get_legend_handles_labels()
    patch = handles[labels.index(label)]
    assert isinstance(patch, StepPatch)
    return patch.get_data().values.tolist()


def test_grid_shows_the_ratio_of_each_source(book: Book) -> None:
    _, axes = systematics.grid(book, "sr", "mtt", "wjets")
    assert [ax.get_title(loc="left") for ax in axes] == ["jes", "pileup"]
    assert curve(axes[0], "Up") == pytest.approx([1.5, 1.0, np.nan], nan_ok=True)
    assert curve(axes[0], "Down") == pytest.approx([0.5, 2 / 3, np.nan], nan_ok=True)
    assert curve(axes[1], "Up") == pytest.approx([1.1, 1.1, np.nan], nan_ok=True)


def test_grid_has_one_scale_and_one_legend(book: Book) -> None:
    figure, axes = systematics.grid(book, "sr", "mtt", "wjets")
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "Stat. unc.", "Down", "Up",
    ]  # fmt: skip


def test_grid_holds_many_sources_without_overlap() -> None:
    names = ["nominal", *(f"s{i:02}_{way}" for i in range(33) for way in ("up", "down"))]
    weights = np.linspace(0.9, 1.1, len(names))[:, np.newaxis] * np.ones(40)
    sums = HistogramSums.filled(names, [0.0, 1.0, 2.0], [0.5, 1.5] * 20, weights)
    key = ("sr", "m")
    book = make_book({"t": {key: sums}}, {"t": 1.0}, {"t": "t"}, {key: ([0.0, 1.0, 2.0], "m")})
    figure, axes = systematics.grid(book, "sr", "m", "t")
    assert len(axes) == 20
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in axes[:8:4]]  # one above the other
    assert boxes[0].y0 >= boxes[1].y1 - 1
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)


def test_summary_ranks_sources_by_their_effect(book: Book) -> None:
    _, ax = systematics.summary(book, "sr", "mtt", "wjets", look=Look(status="Open Data"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["jes", "pileup"]
    lengths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in ax.containers}
    assert lengths["Up"] == pytest.approx([20.0, 10.0])  # of 5 events: + 1 and + 0.5
    assert lengths["Down"] == pytest.approx([-40.0, -10.0])
    assert ax.get_legend() is not None


def test_process_without_variations_is_refused(book: Book) -> None:
    with pytest.raises(InputError, match="'signal' has no variations"):
        systematics.grid(book, "sr", "mtt", "signal")
    with pytest.raises(InputError, match="'signal' has no variations"):
        systematics.summary(book, "sr", "mtt", "signal")


def test_sources_without_effect_are_counted_and_not_drawn() -> None:
    weights = {"nominal": 1.0, "none_up": 1.0, "none_down": 1.0, "some_up": 1.1, "some_down": 0.9}
    sums = HistogramSums.filled(weights, [0.0, 1.0], [0.5], [[one] for one in weights.values()])
    key = ("sr", "m")
    book = make_book({"t": {key: sums}}, {"t": 1.0}, {"t": "t"}, {key: ([0.0, 1.0], "m")})
    figure, axes = systematics.grid(book, *key, "t")
    assert [ax.get_title(loc="left") for ax in axes] == ["some"]
    assert any("1 of 2 sources" in text.get_text() for text in figure.texts)
    _, ax = systematics.summary(book, *key, "t")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["some"]
    assert any("1 of 2" in text.get_text() for text in ax.texts)


def test_at_most_forty_sources_are_drawn_those_that_change_most() -> None:
    names = ["nominal", *(f"s{i:02}_{way}" for i in range(50) for way in ("up", "down"))]
    weights = [[1.0], *([1 + sign * (i + 1) / 100] for i in range(50) for sign in (1, -1))]
    sums = HistogramSums.filled(names, [0.0, 1.0], [0.5], weights)
    key = ("sr", "m")
    book = make_book({"t": {key: sums}}, {"t": 1.0}, {"t": "t"}, {key: ([0.0, 1.0], "m")})
    assert systematics.n_pages(book, *key, "t") == 2
    pages = [systematics.grid(book, *key, "t", page=page)[1] for page in (1, 2)]
    drawn = [[ax.get_title(loc="left") for ax in axes] for axes in pages]
    assert drawn == [[f"s{i}" for i in range(10, 30)], [f"s{i}" for i in range(30, 50)]]
    assert pages[0][0].get_ylim() == pages[1][0].get_ylim()
