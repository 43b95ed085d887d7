"""What was measured as tables, as one page, and compared with other runs."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from bokeh.embed import components
from bokeh.resources import Resources
from matplotlib.figure import Figure

from intccms.metrics.definitions import METRICS, formatted
from intccms.metrics.figures import (
    BLUE,
    GREY,
    ORANGE,
    PART_COLOURS,
    PART_NAMES,
    TEAL,
    Bars,
    Plot,
    Texts,
)
from intccms.metrics.live import Board
from intccms.metrics.measurement import Measurement
from intccms.metrics.state import Columns, RunState
from intccms.metrics.still import STYLE, draw, png_of
from intccms.metrics.tables import Table

N_SHOWN = 20
COMPARED = {"event_rate_khz": BLUE, "data_rate_gbps": TEAL, "event_rate_core_khz": ORANGE}
COMPARISON_DPI = 120
LONGEST_NAME = 24  # characters of a run's name beside the bars of that figure


def state_of(measurement: Measurement) -> RunState:
    """Return the state in which the run ended."""
    parts: dict[str, list[int]] = {}
    for report in measurement.reports:
        parts.setdefault(report.dataset, []).append(report.n_planned)
    end = measurement.started + measurement.wall_s
    state = RunState(measurement.target_gbps)
    state.begin(parts, measurement.started)
    for report in measurement.reports:
        state.take(report, end)
    if measurement.timeline is not None:
        timeline = measurement.timeline
        state.watch(timeline.samples, list(timeline.workers.values()))
        state.timeline.interval_s = timeline.interval_s
    state.end(end)
    return state


def metric_tables(measurement: Measurement) -> list[Table]:
    """Return a table a group of metrics."""
    values = measurement.metrics
    tables = []
    for group in dict.fromkeys(metric.group for metric in METRICS):
        rows = [
            [metric.label, formatted(metric, values[metric.name])]
            for metric in METRICS
            if metric.group == group and values[metric.name] is not None
        ]
        if rows:
            tables.append(Table(group, [["metric", "value"], *rows]))
    return tables


def dataset_table(measurement: Measurement) -> Table:
    """Say what each dataset has cost."""
    rows = [["dataset", "chunks", "events", "read [GB]", "in chunks [s]", "kHz per thread"]]
    in_rates = [report for report in measurement.reports if report.status.is_in_rates]
    for dataset in dict.fromkeys(report.dataset for report in measurement.reports):
        done = [report for report in in_rates if report.dataset == dataset]
        n_events, wall_s = sum(one.n_events for one in done), sum(one.wall_s for one in done)
        rate = f"{n_events / wall_s / 1e3:.3g}" if wall_s else "-"
        read = sum(one.bytes_read for one in done) / 1e9
        numbers = [f"{len(done):,}", f"{n_events:,}", f"{read:.3g}", f"{wall_s:.3g}", rate]
        rows.append([dataset, *numbers])
    return Table("By dataset; resumed and lost chunks are left out", rows)


def coverage_table(measurement: Measurement) -> Table | None:
    """Say which part of the trees was read; None if that is not known."""
    if not measurement.coverage:
        return None
    rows = [["dataset", "branches read", "of", "bytes read", "of the tree", "most bytes"]]
    for dataset, one in measurement.coverage.items():
        share = f"{100 * one.column_bytes / one.tree_bytes:.2g} %" if one.tree_bytes else "-"
        size = f"{one.column_bytes / 1e6:,.4g} MB"
        most = ", ".join(list(one.largest)[:3])
        rows.append([dataset, f"{one.n_columns:,}", f"{one.n_branches:,}", size, share, most])
    return Table("Branches and bytes of the trees", rows)


def failure_table(measurement: Measurement) -> Table | None:
    """List what failed; None if nothing did."""
    failed = [report for report in measurement.reports if report.status.is_lost]
    if not failed:
        return None
    rows = [["dataset", "file", "entries", "host", "stage", "error"]]
    for one in failed[:N_SHOWN]:
        entries = f"{one.entry_start:,} to {one.entry_stop:,}"
        error = f"{one.error_type}: {' '.join(one.error.split())}"[:160]
        rows.append([one.dataset, one.file, entries, one.host, one.stage, error])
    more = f", the first {N_SHOWN}" if len(failed) > N_SHOWN else ""
    return Table(f"Chunks that failed: {len(failed):,}{more}", rows, is_text=True)


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
    begin = f"""<!DOCTYPE html>
<html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>
<style>{CSS}</style>{head}</head><body>"""
    return "\n".join([begin, *blocks, "</body></html>"])


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
    wrong = [f"<p class='wrong'>{html.escape(text)}</p>" for text in measurement.violations]
    blocks = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='when'>{when:%Y-%m-%d %H:%M:%S} UTC, {measurement.wall_s:.1f} s</p>",
        *(wrong or ["<p class='right'>✓ times, chunks and bytes are consistent</p>"]),
    ]
    head = ""
    if with_plots:
        board, state = Board(), state_of(measurement)
        board.show(state, state.ended or 0.0)
        script, div = components(board.root)
        head = Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).render()
        blocks += [str(div), str(script)]
    blocks += ["<h2>Metrics</h2>", _side_by_side(metric_tables(measurement))]
    blocks += ["<h2>Events</h2>", ledger._repr_html_(), dataset_table(measurement)._repr_html_()]
    for table in (coverage_table(measurement), failure_table(measurement)):
        blocks += [] if table is None else [table._repr_html_()]
    blocks += ["<h2>With what</h2>", _side_by_side(_notes(measurement.notes))]
    return page(title, blocks, head=head)


def _side_by_side(tables: Iterable[Table]) -> str:
    return f"<div class='tables'>{''.join(table._repr_html_() for table in tables)}</div>"


def _notes(notes: Any) -> Iterable[Table]:
    plain = {name: value for name, value in notes.items() if not isinstance(value, dict)}
    for name, content in ({"run": plain} | notes).items():
        if isinstance(content, dict) and content:
            rows = [["what", "value"], *([key, str(value)] for key, value in content.items())]
            yield Table(name.capitalize(), rows, is_text=True)


def comparison_table(measurements: Sequence[Measurement], names: Sequence[str]) -> Table:
    """Return all metrics, one column a measurement, and the last against the first."""
    values = [one.metrics for one in measurements]
    rows = [["metric", *names, f"{names[-1]} / {names[0]}"]]
    for metric in METRICS:
        numbers = [one[metric.name] for one in values]
        if any(number is not None for number in numbers):
            first, last = numbers[0], numbers[-1]
            ratio = f"{last / first:.3g}" if first and last is not None else "-"
            rows.append([metric.label, *(formatted(metric, one) for one in numbers), ratio])
    return Table("Measurements", rows)


def comparison_png(measurements: Sequence[Measurement], names: Sequence[str]) -> bytes:
    """Return the figure: rates, rate against cores, and where the cores' time went.

    Of a long name, a path for example, the end is shown.
    """
    names = [f"…{name[1 - LONGEST_NAME :]}" if len(name) > LONGEST_NAME else name for name in names]
    values = [one.metrics for one in measurements]
    height = 1.2 + 0.4 * len(names)
    with mpl.rc_context(STYLE):
        figure = Figure((11, height + 4.3), COMPARISON_DPI, layout="constrained")
        areas: Any = figure.subfigures(2, 1, height_ratios=[height, 3.2])
        shown = [metric for metric in METRICS if metric.name in COMPARED]
        for ax, metric in zip(areas[0].subplots(1, len(shown)), shown, strict=True):
            rates = [one[metric.name] or 0.0 for one in values]
            bars = Bars({"rate": COMPARED[metric.name]}, width=0.7)
            plot = Plot(metric.name, metric.label.capitalize(), (bars, Texts("rate")), metric.unit,
                        names="run", end=1.25 * max([*rates, 1e-9]))  # fmt: skip
            texts = [f"{rate:.4g}" for rate in rates]
            draw(ax, plot, {"run": names, "rate": rates, "text": texts})
            ax.tick_params(labelleft=metric is shown[0])
        left, right = areas[1].subplots(1, 2)
        _draw_scaling(left, values, names)
        parts = Bars(PART_COLOURS, PART_NAMES, width=0.7)
        title = "Where the time of the cores went"
        plot = Plot("parts", title, (parts,), "% (rest: no chunk)", names="run", end=100.0)
        draw(right, plot, {"run": names} | _shares(measurements))
        return png_of(figure)


def comparison_html(measurements: Sequence[Measurement], names: Sequence[str]) -> str:
    """Return a page with the figure and the table."""
    picture = base64.b64encode(comparison_png(measurements, names)).decode()
    blocks = [
        "<h1>Measurements compared</h1>",
        f"<img alt='rates, scaling and efficiency' src='data:image/png;base64,{picture}'>",
        comparison_table(measurements, names)._repr_html_(),
    ]
    return page("Measurements compared", blocks)


def _draw_scaling(ax: Any, values: Sequence[dict[str, float | None]], names: Sequence[str]) -> None:
    points = [
        (one["total_cores"], one["event_rate_khz"], name)
        for one, name in zip(values, names, strict=True)
        if one["total_cores"] and one["event_rate_khz"]
    ]
    ax.set(title="Scaling", xlabel="cores, average", ylabel="kHz")
    if not points:
        ax.text(0.5, 0.5, "workers were not tracked", ha="center", transform=ax.transAxes)
        return
    cores, rates, _ = min(points)
    most = 1.15 * max(point[0] or 0.0 for point in points)
    slope = (rates or 0.0) / (cores or 1.0)
    ax.plot([0, most], [0, slope * most], color=GREY, linestyle="--",
            label="proportional to the smallest")  # fmt: skip
    for x, y, name in points:
        ax.plot([x], [y], "o", color=BLUE, markersize=8)
        ax.annotate(name, (x, y), xytext=(6, -10), textcoords="offset points", fontsize=8)
    ax.set_xlim(0, most)
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper left")


def _shares(measurements: Sequence[Measurement]) -> Columns:
    """Parts of the time of all threads in per cent; what is left is time without a chunk."""
    rows = []
    for m in (one.measured for one in measurements):
        parts = (m.open_s, m.read_s - m.decompress_s, m.decompress_s, m.process_s, m.fill_s)
        seconds = np.array([*parts, max(m.chunk_s - sum(parts), 0.0)])
        rows.append(100 * seconds / (m.core_s or m.chunk_s or 1.0))
    return dict(zip(PART_COLOURS, np.transpose(rows), strict=True))
