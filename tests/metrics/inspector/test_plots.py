"""Figures: what is drawn is what was counted, for any input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from intccms.metrics.inspector import (
    FileRecord,
    Statistics,
    aggregate_statistics,
    inspect_files,
    plots,
)
from intccms.plots.treemap import treemap
from tests.metrics.inspector.small import write_file

FIGURES: dict[str, Callable[[Statistics, Any], Any]] = {
    "events": lambda one, ax: plots.events_per_file(one).on(ax),
    "sizes": lambda one, ax: plots.plot_file_size_distribution(one, ax),
    "treemap": lambda one, ax: plots.branch_sizes(treemap(one.branches())).on(ax),
    "branches": lambda one, ax: plots.top_branches(one.branches()).on(ax),
    "compression": lambda one, ax: plots.compression(one).on(ax),
    "datasets": lambda one, ax: plots.bytes_per_event(one).on(ax),
}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[FileRecord]:
    """Four files of two datasets, one of them unreadable."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "bad.root").write_text("no")
    x = [write_file(folder / f"{i}.root", range(9 * i, 9 * i + 4)) for i in range(2)]
    y = [write_file(folder / "y.root", range(4000)), folder / "bad.root"]
    return list(inspect_files({"x": x, "y": y}))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_on_axes_of_its_own_or_given_ones(
    records: list[FileRecord], name: str
) -> None:
    statistics = aggregate_statistics(records)
    figure, ax = FIGURES[name](statistics, None)
    assert ax.get_title()
    figure.canvas.draw()
    own, given = plt.subplots()
    assert FIGURES[name](statistics, given) == (own, given)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_nothing_is_drawn_too(name: str) -> None:
    nothing = aggregate_statistics([FileRecord("a.root", error="gone", error_type="OSError")])
    FIGURES[name](nothing, None)[0].canvas.draw()
    FIGURES[name](Statistics({}, ()), None)[0].canvas.draw()


def test_bars_are_as_high_as_there_are_files(records: list[FileRecord]) -> None:
    _, ax = plots.events_per_file(aggregate_statistics(records)).on()
    assert sum(bar.get_height() > 0 for bar in ax.patches) == 2
    assert max(bar.get_height() for bar in ax.patches) == 2
    assert ax.get_xscale() == "log"  # 4 and 4000 events


def test_the_legend_of_many_datasets_hides_no_bar(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.root", range(9))
    named = {f"dataset_{n}": [path] for n in range(8)}
    figure, ax = plots.events_per_file(aggregate_statistics(inspect_files(named))).on()
    figure.canvas.draw()
    bars = max(bar.get_window_extent().y1 for bar in ax.patches if bar.get_height())
    assert bars < ax.get_legend().get_window_extent().y0


def test_names_upon_tiles_are_within_their_figure(records: list[FileRecord]) -> None:
    tiles = treemap(aggregate_statistics(records).branches(), 1.6)
    for figure in (plt.figure(figsize=(4, 3)), plt.figure(figsize=(14, 9))):
        ax = figure.add_subplot()
        plots.branch_sizes(tiles).on(ax)
        inside = ax.get_window_extent()
        for text in ax.texts:
            box = text.get_window_extent()
            assert inside.x0 <= box.x0
            assert box.x1 <= inside.x1


def test_file_sizes_are_drawn_from_records_as_from_statistics(records: list[FileRecord]) -> None:
    _, one = plots.plot_file_size_distribution(records)
    _, other = plots.plot_file_size_distribution(aggregate_statistics(records))
    assert one.get_title() == other.get_title() != ""


def test_the_summary_holds_every_figure(records: list[FileRecord]) -> None:
    statistics = aggregate_statistics(records)
    figure = plots.plot_summary(statistics, treemap(statistics.branches(), 1.6))
    figure.canvas.draw()
    assert len(figure.axes) == len(FIGURES)
    assert "4 files, 4,008 events" in figure.get_suptitle()
    assert "1 problem" in figure.get_suptitle()


def test_plots_leave_the_style_of_others_alone(records: list[FileRecord], tmp_path: Path) -> None:
    before = dict(plt.rcParams)
    figure, _ = plots.bytes_per_event(aggregate_statistics(records)).on()
    figure.savefig(tmp_path / "a.png")
    assert dict(plt.rcParams) == before
