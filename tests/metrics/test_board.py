"""The plots in Bokeh, as a picture and in the report."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from bokeh.document import Document
from matplotlib.figure import Figure
from nbclient import NotebookClient

from intccms.metrics.figures import RUN_PLOTS
from intccms.metrics.live import Board, RunDrawing
from intccms.metrics.measurement import Measurement
from intccms.metrics.panel import Panel
from intccms.metrics.progress import PlainProgress
from intccms.metrics.recorder import Watcher
from intccms.metrics.report import (
    comparison_html,
    comparison_png,
    comparison_table,
    metric_tables,
    report_html,
    state_of,
)
from intccms.metrics.state import RunState
from intccms.metrics.still import draw, picture
from intccms.metrics.tables import Table
from intccms.metrics.worker_tracker import Timeline
from tests.metrics.watched import START, half_way, receipt

NOW = START + 10
PNG = b"\x89PNG"


@pytest.fixture
def measurement() -> Measurement:
    receipts = [receipt("data", n, read_s=0.4, process_s=0.5) for n in range(9)]
    receipts.append(receipt("data", 9, "failed", error_type="OSError", error="no such <file>"))
    timeline = Timeline(half_way().timeline.samples)
    return Measurement("first", START, 10.0, tuple(receipts), timeline, 10,
                       notes={"executor": "dask", "versions": {"numpy": "2"}})  # fmt: skip


@pytest.mark.parametrize("name", RUN_PLOTS)
def test_a_figure_shows_a_run_from_nothing_to_its_end(name: str) -> None:
    drawing = RunDrawing(RUN_PLOTS[name])
    drawing.show(RunState(), START)
    drawing.show(half_way(), NOW)
    assert drawing.source.name == name
    assert len({len(column) for column in drawing.source.data.values()}) == 1
    document = Document()
    document.add_root(drawing.root)
    document.validate()


def test_the_data_rate_is_drawn_against_its_target() -> None:
    board = Board()
    board.show(half_way(), START + 8)
    plot = board.drawings["data-rate"]
    assert plot.level.location == 2.0
    assert plot.root.y_range.end == pytest.approx(2.3)
    assert "% of target 2" in plot.heading.text
    assert "failed" in board.header.text


def test_no_column_is_sent_twice() -> None:
    board, document = Board(), Document()
    document.add_root(board.root)
    sent: list[object] = []
    document.on_change(
        lambda event: sent.append(event.model) if getattr(event, "attr", "") == "data" else None
    )
    board.show(half_way(), NOW)
    assert len(sent) == len(set(sent)) == len({one.columns for one in RUN_PLOTS.values()})
    assert board.drawings["cpu"].source is board.drawings["memory"].source


def test_the_stepped_area_is_never_empty() -> None:
    board = Board()
    board.show(RunState(), START)
    assert len(board.drawings["workers"].source.data["t"]) == 1


def test_the_picture_shows_any_run() -> None:
    assert picture(RunState(), START).startswith(PNG)
    assert picture(half_way(), NOW).startswith(PNG)


def test_workers_have_whole_numbers_even_if_there_is_one() -> None:
    ax = Figure().add_subplot()
    draw(ax, RUN_PLOTS["memory"].plot, RUN_PLOTS["memory"].columns(half_way(), NOW))
    assert [tick for tick in ax.get_xticks() if 0.5 < tick < 1.5] == [1.0]


def test_a_panel_without_a_notebook_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    panel = Panel(2.0, inner=PlainProgress())
    assert isinstance(panel, Watcher)
    panel.show()
    panel.begin("processing", total=1000, unit="events", parts={"data": [1000]})
    panel.report(receipt("data", 0))
    panel.workers(half_way().timeline.samples, [])
    panel.end()
    panel.freeze()
    text = str(panel.table())
    assert "1 / 1" in text
    assert "processing  1,000/1,000 events" in capsys.readouterr().err


def test_the_panel_asks_no_network_and_a_saved_notebook_stays_small() -> None:
    make = nbformat.v4
    sources = [
        "from intccms.metrics.panel import Panel\npanel = Panel()\npanel.show()",
        "panel.freeze()",
    ]
    notebook = make.new_notebook(cells=[make.new_code_cell(one) for one in sources])
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    with client.setup_kernel():
        shown = client.execute_cell(notebook.cells[0], 0)
        scripts = [one.data.get("application/javascript", "") for one in shown.outputs]
        assert "cdn.bokeh.org" not in "".join(scripts)
        assert [len(one) > 1e6 for one in scripts] == [True, False]
        client.execute_cell(notebook.cells[1], 1)
    kept = [one.data for cell in notebook.cells for one in cell.outputs]
    assert [list(one) for one in kept if any(one.values())] == [["image/png", "text/plain"]]
    assert len(nbformat.writes(notebook)) < 300_000


def test_the_report_needs_no_network_and_shows_what_is_wrong(measurement: Measurement) -> None:
    page = report_html(measurement, ledger=Table("Ledger", [["dataset"], ["data"]]))
    assert "<script" in page
    assert "src=" not in page.replace('src="data:', "")[:3000]
    assert "cdn.bokeh.org" not in page.split("</head>")[1]
    assert "no such &lt;file&gt;" in page
    assert "are consistent" in page
    plain = report_html(measurement, ledger=Table("Ledger", [["dataset"]]), with_plots=False)
    assert "<script" not in plain
    assert len(plain) < 20_000


def test_a_saved_measurement_gives_the_state_of_the_run(measurement: Measurement) -> None:
    state = state_of(measurement)
    assert (state.chunks["done"], state.chunks["failed"], state.ended) == (9, 1, NOW)
    assert [table.title for table in metric_tables(measurement)][0] == "Throughput"


def test_measurements_are_compared(measurement: Measurement, tmp_path: Path) -> None:
    both = (measurement, Measurement("second", START, 5.0, measurement.reports))
    names = ["first", "second"]
    rows = {row[0]: row[1:] for row in comparison_table(both, names).rows}
    assert rows["event rate"] == ["0.9 kHz", "1.8 kHz", "2"]
    assert rows["cores, average"] == ["4", "-", "-"]
    assert comparison_png(both, names).startswith(PNG)
    assert "data:image/png;base64" in comparison_html(both, names)
