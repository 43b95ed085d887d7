"""The measurements as a table, as JSON, as a section of the README and as a plot."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.data import SETS
from benchmarks.measuring import Measured
from benchmarks.rows import ROWS
from benchmarks.targets import Found, Measurements

__all__ = ["cost_plot", "cost_table", "ratio_table", "write_json", "write_readme"]

MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")
PACKAGES = ("coffea", "uproot", "awkward", "numpy", "correctionlib", "distributed")
HEADER = (
    "row",
    "CPU s",
    "wall s",
    "kHz per CPU s",
    "start-up CPU s",
    "first chunk after s",
    "peak RSS MB",
)


def _spread(values: tuple[float, float, float]) -> str:
    low, middle, high = values
    return f"{middle:.2f} ({low:.2f} - {high:.2f})"


def _cells(one: Measured) -> list[str]:
    title = ROWS[one.row].title
    if one.note:
        return [title, one.note, *[""] * (len(HEADER) - 2)]
    warm_up = median(repeat.get("warm_up_s", 0.0) for repeat in one.repeats)
    rate = one.repeats[0]["n_events"] / one.of("cpu_s")[1] / 1e3
    return [
        title,
        _spread(one.of("cpu_s")),
        _spread(one.of("wall_s")),
        f"{rate:.0f}",
        f"{one.of('startup_cpu_s')[1]:.1f}",
        f"{warm_up:.1f}" if warm_up else "",
        f"{one.of('peak_rss_bytes')[2] / 1e6:.0f}",
    ]


def _costs(found: Measurements) -> list[tuple[str, list[list[str]]]]:
    return [
        (SETS[name].title, [_cells(one) for one in rows.values()]) for name, rows in found.items()
    ]


def _ratios(results: Sequence[Found]) -> list[list[str]]:
    return [
        [one.title, str(one.ratio), "" if one.limit is None else f"{one.limit:g}", one.verdict]
        for one in results
    ]


def cost_table(found: Measurements) -> Table:
    """Lay out what the rows cost."""
    table = Table(*HEADER, title="median (smallest - largest) of alternating runs")
    for title, lines in _costs(found):
        table.add_section()
        table.add_row(f"[bold]{title}")
        for line in lines:
            table.add_row(*line)
    return table


def ratio_table(results: Sequence[Found]) -> Table:
    """Lay out the ratios and what was hoped for."""
    table = Table("ratio", "median (smallest - largest)", "at most", "")
    for line in _ratios(results):
        table.add_row(*line)
    return table


def write_json(path: Path, found: Measurements, results: Sequence[Found]) -> None:
    """Write all numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"python": platform.python_version(), "processor": _processor()},
        "versions": {name: version(name) for name in PACKAGES},
        "sets": {name: asdict(SETS[name]) for name in found},
        "rows": {
            name: {row: {"note": one.note, "repeats": one.repeats} for row, one in rows.items()}
            for name, rows in found.items()
        },
        "ratios": [{**asdict(one), "verdict": one.verdict} for one in results],
    }
    path.write_text(json.dumps(content, indent=1))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rows = [header, ["---"] * len(header), *lines]
    return ["| " + " | ".join(row) + " |" for row in rows]


def write_readme(path: Path, found: Measurements, results: Sequence[Found]) -> None:
    """Put the tables between the marks of a page."""
    text = path.read_text()
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    lines = ["", f"Measured on {datetime.now():%Y-%m-%d}, {_processor()}.", ""]
    lines += _markdown(("ratio", "median (smallest - largest)", "at most", ""), _ratios(results))
    for title, cells in _costs(found):
        lines += ["", f"**{title}**", "", *_markdown(HEADER, cells)]
    path.write_text("\n".join([before + MARKS[0], *lines, "", MARKS[1] + after]))


def cost_plot(path: Path, found: Measurements) -> None:
    """Draw the cost against the number of object variations, relative to the hand-written row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    styles = {"1m": "-", "1m-bkg": "--"}
    colours = {"intccms": "C0", "hand-written": "C1", "RDataFrame": "C2"}
    for name, style in styles.items():
        for kind, colour in colours.items():
            points = _points(found.get(name, {}).values(), kind)
            if len(points) < 2:
                continue
            x, y = zip(*points, strict=True)
            middle = [value[1] for value in y]
            errors = [[v[1] - v[0] for v in y], [v[2] - v[1] for v in y]]
            label = f"{kind}, {SETS[name].title}"
            axes.errorbar(
                x, middle, yerr=errors, fmt=f"o{style}", color=colour, label=label, capsize=3
            )
    axes.set_xlabel("object variations")
    axes.set_ylabel("CPU seconds")
    axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _points(rows: Any, kind: str) -> list[tuple[int, tuple[float, float, float]]]:
    points = {}
    for one in rows:
        row = ROWS[one.row]
        is_plain = not (row.weights or row.closures or row.settings)
        if row.kind == kind and is_plain and one.repeats:
            points[2 * row.n_sources] = one.of("cpu_s")
    return sorted(points.items())
