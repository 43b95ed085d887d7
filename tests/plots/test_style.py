from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from intccms.plots.style import PALETTE, Look, cms_label, cms_style, look_of, new_figure
from intccms.schema import Plotting, load_config


def test_style_holds_inside_and_ends_outside() -> None:
    before = plt.rcParams["font.size"]
    with cms_style(font_size=11.5):
        assert plt.rcParams["font.size"] == 11.5
        assert plt.rcParams["xtick.direction"] == "in"
    assert plt.rcParams["font.size"] == before


def test_figure_is_drawn_in_style_wherever_it_is_drawn() -> None:
    seen = []
    figure = new_figure()
    ax = figure.add_subplot()
    ax.xaxis.set_major_formatter(lambda _, __: seen.append(plt.rcParams["font.size"]) or "")
    figure.canvas.draw()
    assert set(seen) == {26.0}


@pytest.mark.parametrize(
    ("name", "expected"), [("signal", True), ("ZprimeToTT", True), ("ttbar", False)]
)
def test_signal_is_known_by_its_name(name: str, expected: bool) -> None:
    assert Look().is_signal(name) is expected
    assert Look(signals=(name,)).is_signal(name)
    assert not Look(signals=()).is_signal(name)


def test_order_is_the_configured_one_then_the_given() -> None:
    look = Look(plotting=Plotting(process_order=("c", "x", "a")))
    assert look.ordered(["a", "b", "c"]) == ("c", "a", "b")


def test_default_colours_avoid_the_configured_ones() -> None:
    look = Look(plotting=Plotting(process_colors={"ttbar": PALETTE[0].upper()}))
    colors = look.colors_of(["wjets", "ttbar", "qcd"])
    assert colors == {"wjets": PALETTE[1], "ttbar": PALETTE[0].upper(), "qcd": PALETTE[2]}


def test_a_process_has_one_colour_in_all_figures() -> None:
    plain = Plotting(process_colors={"wjets": "#123456"}, process_order=("wjets",))
    config = load_config("example_opendata.configs.configuration:config")
    look = look_of(config.model_copy(update={"plotting": plain}))
    everything = look.colors_of(look.processes)
    assert "data" not in look.processes
    assert everything["wjets"] == "#123456"
    assert len(set(everything.values())) == len(everything) > 3
    for name, color in everything.items():
        assert look.colors_of([name]) == {name: color}


@pytest.mark.parametrize(
    ("status", "with_data", "expected"),
    [
        ("Open Data", True, "Open Data"),
        ("Open Data", False, "Simulation Open Data"),
        ("Simulation", False, "Simulation"),
        ("", False, "Simulation"),
    ],
)
def test_label_says_simulation_where_there_are_no_data(
    status: str, with_data: bool, expected: str
) -> None:
    ax = new_figure().add_subplot()
    cms_label(ax, Look(status=status), with_data=with_data)
    assert expected in [text.get_text() for text in ax.texts]


def test_luminosity_is_written_only_where_it_is_known() -> None:
    ax = new_figure().add_subplot()
    cms_label(ax, Look(sqrt_s_tev=13.6))
    assert "(13.6 TeV)" in [text.get_text() for text in ax.texts]


def test_a_result_is_private_work_until_somebody_says_otherwise() -> None:
    ax = new_figure().add_subplot()
    cms_label(ax, Look())
    assert [text.get_text() for text in ax.texts] == ["CMS", "Private work", "(13 TeV)"]


@pytest.mark.parametrize("high", [1.0, 3e7])
def test_the_label_stands_above_the_axes_without_overlaps(high: float) -> None:
    figure = new_figure(figsize=(10, 10))
    with cms_style():
        ax = figure.add_subplot()
        ax.set_ylim(0, high)
        ax.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5), useMathText=True)
        cms_label(ax, Look(lumi_fb=16.4), with_data=False)
    figure.canvas.draw()
    power = [ax.yaxis.get_offset_text()] if high > 1e5 else []
    boxes = [text.get_window_extent() for text in (*power, *ax.texts)]
    assert all(one.x1 <= other.x0 for one, other in zip(boxes, boxes[1:], strict=False))
    assert boxes[-1].x1 == pytest.approx(ax.bbox.x1, abs=1)
    baselines = {round(text.get_transform().transform(text.get_position())[1]) for text in ax.texts}
    assert len(baselines) == 1
    assert all(ax.bbox.y1 < box.y1 < figure.bbox.y1 for box in boxes)
    assert any(power) is (bool(power) and bool(power[0].get_text()))


def test_of_many_signals_the_first_the_last_and_some_between_are_overlaid() -> None:
    masses = [f"zprime{mass}" for mass in range(1, 8)]
    assert Look().overlaid(["ttbar", *masses]) == ("zprime1", "zprime4", "zprime7")
    assert Look(n_signals=1).overlaid(masses) == ("zprime1",)
    assert Look().overlaid(["wjets", "signal"]) == ("signal",)


def test_a_signal_that_is_not_fitted_is_neither_overlaid_nor_stacked() -> None:
    look = Look(signals=("zprime2", "graviton"))
    assert look.overlaid(["zprime1", "zprime2", "graviton", "wjets"]) == ("zprime2", "graviton")
    assert [look.is_signal(name) for name in ("zprime1", "graviton", "wjets")] == [
        True,
        True,
        False,
    ]


def test_a_label_fits_above_axes_whose_width_is_known_late() -> None:
    with cms_style():
        figure = new_figure(figsize=(10, 5), layout="constrained")
        ax = figure.add_subplot()
        ax.set_yticks([0.5], ["a name of some length"])
        cms_label(ax, Look(lumi_fb=138.0))
    figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.x0)
    assert all(left.x1 <= right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
