"""Several measurements side by side: a table, and bars, scaling and efficiency as one figure."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from intccms.dashboards import drawing
from intccms.dashboards.measurement.overview import STYLE
from intccms.dashboards.measurement.report import page
from intccms.dashboards.tables import Table
from intccms.metrics.definitions import METRICS, formatted
from intccms.metrics.measurement import Measurement

__all__ = ["comparison_html", "comparison_png", "comparison_table"]

BARS = (("event_rate_khz", drawing.BLUE), ("data_rate_gbps", drawing.TEAL),
        ("event_rate_core_khz", drawing.ORANGE))  # fmt: skip
DPI = 120


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
        figure.savefig(memory, format="png", dpi=DPI, metadata={"Software": None})
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
