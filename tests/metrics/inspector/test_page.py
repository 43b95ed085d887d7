"""The interactive figures and the page of the inspector."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from bokeh.models import Plot, Title

from intccms.metrics.inspector import Statistics, aggregate_statistics, forecast, inspect_files
from intccms.metrics.inspector.page import (
    branch_table,
    dataset_table,
    forecast_table,
    inspector_layout,
    inspector_page,
    problem_table,
    site_table,
)
from intccms.metrics.inspector.plots import branch_sizes
from intccms.metrics.inspector.rucio import FileSize, SizeSummary
from intccms.metrics.tables import size_text
from intccms.plots.treemap import treemap
from tests.metrics.inspector.small import write_file


class Tags(HTMLParser):
    """The tags of a page, and what they would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag down."""
        self.names.add(tag)
        self.urls += [value or "" for name, value in attrs if name in ("src", "href")]


SIZES = SizeSummary(
    {"/store/a.root": FileSize("/store/a.root", 2_000_000, None, 4, {"T2_<X>": "AVAILABLE"})},
    {"/store/b.root": "Rucio does not know it"},
    {"T2_<X>": "DISK"},
)


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Statistics:
    """Two datasets; a file of the second is unreadable."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "bad.root").write_text("no")
    x = [write_file(folder / f"{i}.root", range(9 * i, 9 * i + 4)) for i in range(2)]
    y = [write_file(folder / "y.root", range(4000)), folder / "bad.root"]
    return aggregate_statistics(inspect_files({"x": x, "y": y}), n_listed={"x": 5})


def test_all_figures_are_there(statistics: Statistics) -> None:
    plots = list(inspector_layout(statistics, SIZES).select({"type": Plot}))
    titles = {title.text.split(",")[0] for plot in plots for title in plot.select({"type": Title})}
    assert titles - {""} == {
        "Datasets", "Compression", "Events per file", "File sizes", "Largest branches",
        "Compressed bytes by collection and branch",
    }  # fmt: skip


def test_nothing_can_be_shown_too() -> None:
    inspector_layout(Statistics({}, ()))
    assert "0 files" in inspector_page(Statistics({}, ()), title="nothing")


def test_tiles_bear_names_and_sizes(statistics: Statistics) -> None:
    tiles = treemap(statistics.branches(), 2.0)
    columns = branch_sizes(tiles).columns
    assert columns["branch"] == [tile.name for tile in tiles]
    assert columns["size"] == [size_text(tile.size_bytes) for tile in tiles]


def test_the_page_needs_no_network_and_says_everything(statistics: Statistics) -> None:
    found = forecast(statistics, {"x": {"event"}, "y": {"event", "Jet_pt"}}, rate_hz_per_core=10.0)
    text = inspector_page(
        statistics, title="A & B", forecast=found, size_summary=SIZES, notes=["take < care"]
    )
    tags = Tags()
    tags.feed(text)
    assert "script" in tags.names
    assert tags.urls == []
    for piece in ("A &amp; B", "take &lt; care", "What the analysis will read", "T2_&lt;X&gt;",
                  "Problems: 1", "Jet_pt", "Input files"):  # fmt: skip
        assert piece in text


def test_tables_say_what_was_counted(statistics: Statistics) -> None:
    head, x, y = dataset_table(statistics).rows
    assert dict(zip(head, x, strict=True))["files"] == "2 of 5"
    assert dict(zip(head, y, strict=True))["failed"] == "1"
    assert problem_table(statistics).rows[1][:2] == ["y", "unreadable"]
    assert problem_table(Statistics({}, ())).title == "Problems: none"
    assert site_table(SIZES).rows[1] == ["T2_<X>", "disk", "1", "2 MB"]
    assert "1 unknown" in site_table(SIZES).title


def test_the_forecast_tells_which_of_the_largest_branches_are_read(statistics: Statistics) -> None:
    found = forecast(statistics, {"x": {"event"}, "y": {"event"}})
    rows = {row[0]: row[-1] for row in branch_table(statistics, found).rows[1:]}
    assert rows["event"] == "yes"
    assert rows["run"] == "no"
    assert branch_table(statistics).rows[1][-1] == "-"
    total = forecast_table(found).rows[-1]
    assert total[0] == "total"
    assert total[5] == f"{found.n_events:,}"
