"""The report of a measured run: one page that needs no server and no network."""

from __future__ import annotations

import html
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bokeh.embed import components
from bokeh.resources import Resources

from intccms.dashboards.board import Board
from intccms.dashboards.measurement.measured import (
    coverage_table,
    dataset_table,
    failure_table,
    metric_tables,
    state_of,
)
from intccms.dashboards.tables import Table
from intccms.metrics.measurement import Measurement

__all__ = ["page", "report_html"]

CSS = """
body { font-family: system-ui, "DejaVu Sans", sans-serif; color: #2e3440; margin: 0 auto;
       max-width: 1180px; padding: 24px; font-size: 14px; }
h1 { font-size: 22px; margin: 0 0 2px; } h2 { font-size: 16px; margin: 30px 0 8px; }
p.when { color: #7b8794; margin: 0 0 14px; }
p.wrong { background: #fdecea; border-left: 4px solid #bd1f01; padding: 8px 12px; }
p.right { color: #2a9d8f; }
div.tables { display: flex; flex-wrap: wrap; gap: 8px 44px; align-items: flex-start; }
table { border-collapse: collapse; font-size: 13px; margin-bottom: 14px; }
caption { font-weight: 600; padding: 4px 0; } th { color: #7b8794; font-weight: 500; }
td, th { padding: 3px 10px 3px 0; border-bottom: 1px solid #e8ebef; }
img { max-width: 100%; }
"""


def page(title: str, blocks: Iterable[str], *, head: str = "") -> str:
    """Return a whole HTML page."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f"<html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>",
            f"<style>{CSS}</style>{head}</head><body>",
            *blocks,
            "</body></html>",
        ]
    )


def report_html(measurement: Measurement, *, ledger: Table, with_plots: bool = True) -> str:
    """Return the report of a measurement.

    Parameters
    ----------
    measurement
        What was measured.
    ledger
        What was planned, processed and lost.
    with_plots
        Whether the plots are in it.
    """
    when = datetime.fromtimestamp(measurement.started, UTC)
    title = f"Run {measurement.name}"
    blocks = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='when'>{when:%Y-%m-%d %H:%M:%S} UTC, {measurement.wall_s:.1f} s</p>",
        *_checks(measurement),
    ]
    head = ""
    if with_plots:
        script, div = _plots(measurement)
        head = Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).render()
        blocks += [div, script]
    blocks += ["<h2>Metrics</h2>", _side_by_side(metric_tables(measurement))]
    blocks += ["<h2>Events</h2>", ledger._repr_html_(), dataset_table(measurement)._repr_html_()]
    for table in (coverage_table(measurement), failure_table(measurement)):
        blocks += [] if table is None else [table._repr_html_()]
    blocks += ["<h2>With what</h2>", _side_by_side(_notes(measurement.notes))]
    return page(title, blocks, head=head)


def _plots(measurement: Measurement) -> tuple[str, str]:
    board = Board()
    state = state_of(measurement)
    board.update(state, state.ended or 0.0)
    script, div = components(board.root)
    return str(script), str(div)


def _checks(measurement: Measurement) -> list[str]:
    wrong = [f"<p class='wrong'>{html.escape(text)}</p>" for text in measurement.violations]
    return wrong or ["<p class='right'>✓ times, chunks and bytes are consistent</p>"]


def _side_by_side(tables: Iterable[Table]) -> str:
    return f"<div class='tables'>{''.join(table._repr_html_() for table in tables)}</div>"


def _notes(notes: Any) -> Iterable[Table]:
    plain = {name: value for name, value in notes.items() if not isinstance(value, dict)}
    for name, content in ({"run": plain} | notes).items():
        if isinstance(content, dict) and content:
            rows = [["what", "value"], *([key, str(value)] for key, value in content.items())]
            yield Table(name.capitalize(), rows, is_text=True)
