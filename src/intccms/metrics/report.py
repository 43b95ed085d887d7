"""What was measured as tables, as one page, as a picture, and compared with other runs."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from bokeh.embed import components
from bokeh.resources import Resources
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from intccms.metrics import components as drawing
from intccms.metrics import state as made
from intccms.metrics.components import Board
from intccms.metrics.definitions import METRICS, formatted
from intccms.metrics.measurement import Measurement
from intccms.metrics.state import RunState
from intccms.metrics.tables import Table

N_SHOWN = 20


def state_of(measurement: Measurement) -> RunState:
    """Return the state in which the run ended."""
    parts: dict[str, list[int]] = {}
    for receipt in measurement.receipts:
        parts.setdefault(receipt.dataset, []).append(receipt.n_planned)
    end = measurement.started + measurement.wall_s
    state = RunState(measurement.target_gbps)
    state.begin(parts, measurement.started)
    for receipt in measurement.receipts:
        state.take(receipt, end)
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
    for dataset in dict.fromkeys(receipt.dataset for receipt in measurement.receipts):
        done = [
            one for one in measurement.receipts if one.dataset == dataset and one.status.is_in_rates
        ]
        n_events, wall_s = sum(one.n_events for one in done), sum(one.wall_s for one in done)
        rate = f"{n_events / wall_s / 1e3:.3g}" if wall_s else "-"
        read = sum(one.bytes_read for one in done) / 1e9
        rows.append(
            [dataset, f"{len(done):,}", f"{n_events:,}", f"{read:.3g}", f"{wall_s:.3g}", rate]
        )
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
    failed = [receipt for receipt in measurement.receipts if receipt.status.is_lost]
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


SIZE = (11.0, 9.0)
DPI = 110
STYLE: Any = {  # settings of matplotlib
   
    "font.family": ["DejaVu Sans"], "font.size": 8.5, "axes.titlesize": 10,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlecolor": drawing.INK,
    "axes.edgecolor": drawing.AIR, "axes.labelcolor": drawing.GREY, "xtick.color": drawing.GREY,
    "ytick.color": drawing.GREY, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": drawing.PALE, "axes.axisbelow": True, "legend.frameon": False,
    "legend.fontsize": 7.5, "legend.labelcolor": drawing.GREY, "text.color": drawing.INK,
    "xtick.major.size": 0, "ytick.major.size": 0, "mathtext.default": "regular",
}  # fmt: skip


def overview(state: RunState, now: float) -> Figure:
    """Draw a run.

    Parameters
    ----------
    state
        What is known of it.
    now
        Seconds since the epoch; after its end it does not matter.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout=ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.06))
        areas: Any = figure.subfigures(5, 1, height_ratios=[0.3, 1, 1, 1.05, 1.05])
        head, *rows = areas
        _numbers(head, made.summary(state, now))
        first = rows[0].subplots(1, 2)
        _rates(first, state, now)
        second = rows[1].subplots(1, 3)
        _workers(second[0], made.worker_times(state, now))
        _loads(second[1:], made.worker_loads(state, now))
        third = rows[2].subplots(1, 2)
        _chunks(third[0], state, now)
        _datasets(third[1], made.dataset_progress(state, now))
        fourth = rows[3].subplots(1, 3)
        _failures(fourth[0], state, now)
        _runtimes(fourth[1], made.runtimes(state, now))
        _slow(fourth[2], made.slow_chunks(state, now))
    return figure


def picture(state: RunState, now: float) -> bytes:
    """Return the figure as PNG."""
    memory = io.BytesIO()
    with mpl.rc_context(STYLE):
        overview(state, now).savefig(memory, format="png", dpi=DPI, metadata={"Software": None})
    return memory.getvalue()


def _numbers(area: Any, numbers: dict[str, str]) -> None:
    widths = [max(len(text), 0.7 * len(name)) + 3 for name, text in numbers.items()]
    x = 0.012
    for (name, text), width in zip(numbers.items(), widths, strict=True):
        area.text(x, 0.78, name, fontsize=8, color=drawing.GREY)
        is_bad = name == "failed" and text != "0"
        colour = drawing.RED if is_bad else drawing.INK
        area.text(x, 0.2, text, fontsize=13, fontweight="bold", color=colour)
        x += 0.98 * width / sum(widths)


def _rates(axes: Any, state: RunState, now: float) -> None:
    data = made.rates(state, now)
    shown = (("khz", "kHz", drawing.BLUE), ("gbps", "Gbit/s", drawing.TEAL))
    for ax, (name, unit, colour), title in zip(axes, shown, ("Event", "Data"), strict=True):
        ax.fill_between(data["t"], data[name], color=colour, alpha=0.18, linewidth=0)
        ax.plot(data["t"], data[name], color=colour, linewidth=1.8)
        ax.set(title=f"{title} rate", xlabel="s", ylabel=unit)
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
    target, highest = state.target_gbps, max(data["gbps"], default=0.0)
    axes[1].set_title(f"Data rate, target {target:g} Gbit/s")
    if target < 5 * highest:
        axes[1].axhline(target, color=drawing.RED, linestyle="--")


def _workers(ax: Axes, data: dict[str, Any]) -> None:
    ax.fill_between(data["t"], data["busy"], step="post", color=drawing.BLUE, alpha=0.25,
                    linewidth=0, label="busy threads")  # fmt: skip
    ax.step(data["t"], data["threads"], where="post", color=drawing.INK, label="threads")
    ax.plot(data["t"], data["cores"], color=drawing.ORANGE, label="CPU (cores)")
    most = max(data["workers"], default=0)
    ax.set(title=f"Workers: at most {most:,}", xlabel="s")
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1.3 * max([*data["threads"], 1]))
    ax.legend(loc="upper left", ncols=3, columnspacing=0.8, handlelength=1.0)


def _loads(axes: Any, data: dict[str, Any]) -> None:
    memory, cpu = axes
    highest = max(data["peak_gb"], default=0.0)
    memory.bar(data["x"], data["peak_gb"], color=drawing.AIR, width=0.8, label="highest")
    memory.bar(data["x"], data["memory_gb"], color=drawing.BLUE, width=0.8, label="last")
    memory.set(title=f"Memory per worker: at most {highest:.3g} GB", xlabel="worker", ylabel="GB")
    memory.set_ylim(0, 1.3 * highest or 1.0)
    if data["x"]:
        memory.legend(loc="upper left", ncols=2)
    cpu.bar(data["x"], data["cpu"], color=drawing.ORANGE, width=0.8)
    cpu.set(title="CPU per thread", xlabel="worker", ylabel="%", ylim=(0, 115))
    for ax in axes:
        ax.grid(visible=False, axis="x")
        ax.xaxis.get_major_locator().set_params(integer=True)


def _bars(ax: Axes, names: list[str], texts: list[str], ends: list[float], right: float) -> None:
    ax.set_yticks(range(len(names)), labels=names)
    ax.set_ylim(max(len(names), 4) - 0.4, -0.6)
    ax.set_xlim(0, right)
    ax.grid(visible=False)
    for index, (text, end) in enumerate(zip(texts, ends, strict=True)):
        ax.annotate(text, (end, index), xytext=(4, 0), textcoords="offset points", va="center")


def _chunks(ax: Axes, state: RunState, now: float) -> None:
    data = made.chunk_states(state, now)
    colours = [drawing.STATE_COLOURS[name] for name in data["state"]]
    ax.barh(range(len(colours)), 1.0, color=colours, alpha=0.12, height=0.75)
    ax.barh(range(len(colours)), data["fraction"], color=colours, height=0.75)
    _bars(ax, data["state"], data["text"], data["fraction"], 1.25)
    ax.set(title=f"Chunks: {sum(state.chunks.values()):,} of {state.n_chunks:,}")
    ax.xaxis.set_visible(False)


def _datasets(ax: Axes, data: dict[str, Any]) -> None:
    rows = range(len(data["dataset"]))
    ax.barh(rows, 1.0, color=drawing.PALE, height=0.75)
    left = [0.0 for _ in rows]
    for name in ("resumed", "done", "failed"):
        ax.barh(rows, data[name], left=left, height=0.75, color=drawing.STATE_COLOURS[name])
        left = [one + more for one, more in zip(left, data[name], strict=True)]
    _bars(ax, data["dataset"], data["text"], [1.0 for _ in rows], 1.5)
    ax.set(title="Datasets")
    ax.xaxis.set_visible(False)


def _failures(ax: Axes, state: RunState, now: float) -> None:
    data = made.failures(state, now)
    ax.barh(range(len(data["n"])), data["n"], color=drawing.RED, alpha=0.85, height=0.6)
    _bars(ax, data["label"], data["text"], data["n"], 1.4 * max([*data["n"], 1]))
    ax.set(title=f"Failures, chunks: {made.failed(state)}")
    ax.xaxis.set_visible(False)


def _runtimes(ax: Axes, data: dict[str, Any]) -> None:
    if len(data["n"]):
        ax.stairs(data["n"], [*data["left"], data["right"][-1]], fill=True, color=drawing.PURPLE,
                  alpha=0.8)  # fmt: skip
    ax.set(title="Time per chunk", xlabel="s", ylabel="chunks")
    ax.set_xlim(left=0)


def _slow(ax: Axes, data: dict[str, Any]) -> None:
    rows = range(len(data["label"]))
    left = [0.0 for _ in rows]
    for (part, colour), name in zip(drawing.PART_COLOURS.items(), drawing.PART_NAMES, strict=True):
        ax.barh(rows, data[part], left=left, height=0.7, color=colour, label=name)
        left = [one + more for one, more in zip(left, data[part], strict=True)]
    _bars(ax, data["label"], data["text"], left, 1.7 * max(left, default=1.0) or 1.0)
    ax.set(title="Slowest chunks", xlabel="s")
    if left:
        ax.legend(loc="lower right", ncols=1, handlelength=0.8, labelspacing=0.2)


BARS = (("event_rate_khz", drawing.BLUE), ("data_rate_gbps", drawing.TEAL),
        ("event_rate_core_khz", drawing.ORANGE))  # fmt: skip
COMPARISON_DPI = 120


def comparison_table(measurements: Sequence[Measurement], names: Sequence[str]) -> Table:
    """Return all metrics, one column a measurement, and the last against the first."""
    values = [one.metrics for one in measurements]
    rows = [["metric", *names, f"{names[-1]} / {names[0]}"]]
    for metric in METRICS:
        found = [one[metric.name] for one in values]
        if all(value is None for value in found):
            continue
        first, last = found[0], found[-1]
        ratio = f"{last / first:.3g}" if first and last is not None else "-"
        rows.append([metric.label, *(formatted(metric, value) for value in found), ratio])
    return Table("Measurements", rows)


def comparison_png(measurements: Sequence[Measurement], names: Sequence[str]) -> bytes:
    """Return the figure: rates, rate against cores, and where the cores' time went."""
    by_name = {metric.name: metric for metric in METRICS}
    values = [one.metrics for one in measurements]
    rows = np.arange(len(names))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 2.6 + 0.42 * len(names) + 2.9), layout="constrained")
        areas: Any = figure.subfigures(2, 1, height_ratios=[1.2 + 0.4 * len(names), 3.2])
        top, bottom = areas
        axes: Any = top.subplots(1, len(BARS), sharey=True)
        for ax, (name, colour) in zip(axes, BARS, strict=True):
            heights = [one[name] or 0.0 for one in values]
            bars = ax.barh(rows, heights, color=colour, height=0.7)
            ax.bar_label(bars, fmt="%.4g", padding=3, fontsize=8)
            ax.set(title=by_name[name].label.capitalize(), xlabel=by_name[name].unit)
            ax.set_xlim(0, 1.2 * max([*heights, 1e-9]))
            ax.set_yticks(rows, labels=names)
            ax.grid(visible=False, axis="y")
        axes[0].invert_yaxis()
        left, right = bottom.subplots(1, 2)
        _scaling(left, values, names)
        _efficiency(right, measurements, names)
        memory = io.BytesIO()
        figure.savefig(memory, format="png", dpi=COMPARISON_DPI, metadata={"Software": None})
    return memory.getvalue()


def comparison_html(measurements: Sequence[Measurement], names: Sequence[str]) -> str:
    """Return a page with the figure and the table."""
    picture = base64.b64encode(comparison_png(measurements, names)).decode()
    blocks = [
        "<h1>Measurements compared</h1>",
        f"<img alt='rates, scaling and efficiency' src='data:image/png;base64,{picture}'>",
        comparison_table(measurements, names)._repr_html_(),
    ]
    return page("Measurements compared", blocks)


def _scaling(ax: Any, values: Sequence[dict[str, float | None]], names: Sequence[str]) -> None:
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
    ax.plot([0, most], [0, slope * most], color=drawing.GREY, linestyle="--",
            label="proportional to the smallest")  # fmt: skip
    for x, y, name in points:
        ax.plot([x], [y], "o", color=drawing.BLUE, markersize=8)
        ax.annotate(name, (x, y), xytext=(6, -10), textcoords="offset points", fontsize=8)
    ax.set_xlim(0, most)
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper left")


def _efficiency(ax: Any, measurements: Sequence[Measurement], names: Sequence[str]) -> None:
    """Stack the parts of the time of all threads; what is left is time without a chunk."""
    left = np.zeros(len(names))
    parts: dict[str, list[float]] = {name: [] for name in drawing.PART_COLOURS}
    for one in measurements:
        m = one.measured
        total = m.core_s or m.chunk_s or 1.0
        own = {
            "open_s": m.open_s, "read_s": m.read_s - m.decompress_s,
            "decompress_s": m.decompress_s, "process_s": m.process_s, "fill_s": m.fill_s,
        }  # fmt: skip
        own["other_s"] = max(m.chunk_s - sum(own.values()), 0.0)
        for name, seconds in own.items():
            parts[name].append(100 * seconds / total)
    for (name, colour), label in zip(drawing.PART_COLOURS.items(), drawing.PART_NAMES, strict=True):
        ax.barh(range(len(names)), parts[name], left=left, color=colour, height=0.7, label=label)
        left = left + np.array(parts[name])
    ax.set(title="Where the time of the cores went", xlabel="% (rest: no chunk)", xlim=(0, 100))
    ax.set_yticks(range(len(names)), labels=names)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.legend(ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.18), columnspacing=0.8,
              handlelength=0.8)  # fmt: skip
