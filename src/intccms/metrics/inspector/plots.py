"""Figures of inspected files, each defined once: drawn by `Filled.on`, and in Bokeh by `page`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intccms.metrics.figures import PALE, Bars, Plot, Texts, Tiles
from intccms.metrics.inspector.record import FileRecord
from intccms.metrics.inspector.rucio import SizeSummary
from intccms.metrics.inspector.statistics import BranchStatistics, DatasetStatistics, Statistics
from intccms.metrics.state import Columns
from intccms.metrics.still import draw
from intccms.metrics.tables import size_text
from intccms.plots.style import PALETTE, figure_of
from intccms.plots.treemap import Tile

N_BINS = 40
MAX_LEGEND = 10
SHOWN_BRANCHES = 15
MIN_POINTS, MAX_POINTS = 4.0, 11.0  # of the names upon tiles
MB = 1e6


class Filled(NamedTuple):
    """A figure with its numbers."""

    plot: Plot
    columns: Columns

    def on(self, ax: Axes | None = None) -> tuple[Figure, Axes]:
        """Draw it in matplotlib, on a new figure or on axes of one's own."""
        if ax is None:
            ax = plt.figure(figsize=(7.0, 4.5), layout="constrained").add_subplot()
        draw(ax, self.plot, self.columns)
        return figure_of(ax), ax


def _colours(names: Iterable[str]) -> dict[str, str]:
    return {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}


def _distribution(title: str, label: str, values: Mapping[str, Any]) -> Filled:
    """Stacked histograms of positive numbers, on a logarithmic axis if they spread wide."""
    shown = {name or "files": np.asarray(one, dtype=float) for name, one in values.items()}
    shown = {name: one[one > 0] for name, one in shown.items()}
    every = np.concatenate([*shown.values(), np.empty(0)])
    low, high = (float(every.min()), float(every.max())) if len(every) else (1.0, 2.0)
    if high <= low:
        low, high = 0.5 * low, 1.5 * high + 1
    is_wide = high / low > 30
    edges = np.geomspace(low, high, N_BINS + 1) if is_wide else np.linspace(low, high, N_BINS + 1)
    colours = {f"files of {name}": colour for name, colour in _colours(shown).items()}
    bars = Bars(colours, tuple(shown) if len(shown) <= MAX_LEGEND else (), "width")
    between = "@left{0,0.[00]} \N{EN DASH} @right{0,0.[00]}"
    hover = ((label, between), ("", "@$name $name"))
    plot = Plot(title, title, (bars,), label, "files", hover=hover, is_log=is_wide)
    low_edges, high_edges = edges[:-1], edges[1:]
    columns: Columns = {
        "left": low_edges, "right": high_edges, "width": np.diff(edges),
        "x": (low_edges + high_edges) / 2,
    }  # fmt: skip
    counts = (np.histogram(one, edges)[0] for one in shown.values())
    return Filled(plot, columns | dict(zip(colours, counts, strict=True)))


def _bars(title: str, label: str, rows: Sequence[tuple[str, float, str]], colour: str) -> Filled:
    """Bars with names and texts beside them."""
    names, values, texts = zip(*rows, strict=True) if rows else ((), (), ())
    end = 1.9 * max([*values, 1e-9])
    layers = (Bars({"value": colour}), Texts("value"))
    hover = (("", "@name"), (label, "@value{0,0.[00]}"), ("", "@text"))
    plot = Plot(title, title, layers, label, names="name", end=end, hover=hover)
    return Filled(plot, {"name": names, "value": values, "text": texts})


def events_per_file(statistics: Statistics) -> Filled:
    """Fill the figure of the events per file."""
    values = {name: one.events_per_file for name, one in statistics.datasets.items()}
    return _distribution("Events per file", "events per file", values)


def file_sizes(
    statistics: Statistics | Iterable[FileRecord], sizes: SizeSummary | None = None
) -> Filled:
    """Fill the figure of the file sizes, see `plot_file_size_distribution`."""
    sizes = sizes or SizeSummary()
    pairs: dict[str, list[tuple[str, int]]] = {}
    if isinstance(statistics, Statistics):
        for name, one in statistics.datasets.items():
            pairs[name] = list(zip(one.paths, one.file_sizes.tolist(), strict=True))
    else:
        for record in statistics:
            pairs.setdefault(record.dataset, []).append((record.path, record.size_bytes or 0))
    values = {
        name: [(size or sizes.size_of(path) or 0) / MB for path, size in files]
        for name, files in pairs.items()
    }
    entries = [sizes.file(path) for files in pairs.values() for path, _ in files]
    seen = {entry.lfn for entry in entries if entry is not None}
    rest = [(one.size_bytes or 0) / MB for lfn, one in sizes.files.items() if lfn not in seen]
    values |= {"not inspected": rest} if any(rest) else {}
    total = size_text(sum(map(sum, values.values())) * MB)
    source = " (sizes of the rest from Rucio)" if any(rest) else ""
    return _distribution(f"File sizes, {total} in all{source}", "file size [MB]", values)


def branch_sizes(tiles: Sequence[Tile]) -> Filled:
    """Fill the figure of the bytes of branches, as rectangles by collection."""
    total = sum(tile.size_bytes for tile in tiles) or 1
    across = max((tile.box[0] + tile.box[2] for tile in tiles), default=1.0)
    groups: dict[str, list[Tile]] = {}
    for tile in tiles:
        groups.setdefault(tile.collection, []).append(tile)
    names: list[tuple[float, float, str, str]] = []  # beside the first tile of each collection
    for collection, group in groups.items():
        x, y, width, height = group[0].outer
        share = sum(tile.size_bytes for tile in group) / total
        fitting = (450 * width / across / max(len(collection), 4), 49 * height)
        points = min(*fitting, MAX_POINTS)
        text = f"{collection}\n{share:.0%}" if share > 0.01 else collection
        text = text if points > MIN_POINTS else ""
        names.append((x + width / 2, -y - height / 2, text, f"{points:.1f}pt"))
        names += [(0.0, 0.0, "", "1.0pt")] * (len(group) - 1)
    columns: Columns = {
        "x": [tile.box[0] + tile.box[2] / 2 for tile in tiles],
        "y": [-tile.box[1] - tile.box[3] / 2 for tile in tiles],
        "width": [tile.box[2] for tile in tiles],
        "height": [tile.box[3] for tile in tiles],
        "branch": [tile.name for tile in tiles],
        "collection": [tile.collection for tile in tiles],
        "size": [size_text(tile.size_bytes) for tile in tiles],
        "share": [f"{tile.size_bytes / total:.1%}" for tile in tiles],
        "colour": [PALETTE[tile.index % len(PALETTE)] for tile in tiles],
    }
    for index, name in enumerate(("text_x", "text_y", "text", "points")):
        columns[name] = [row[index] for row in names]
    title = "Compressed bytes by collection and branch"
    hover = (("branch", "@branch"), ("collection", "@collection"), ("", "@size (@share)"))
    return Filled(Plot(title, title, (Tiles(),), hover=hover), columns)


def top_branches(branches: Sequence[BranchStatistics]) -> Filled:
    """Fill the figure of the largest branches, compressed and not."""
    top = branches[:SHOWN_BRANCHES]
    rows = [(one.name, one.compressed_bytes / MB, f"ratio {one.ratio or 0:.1f}") for one in top]
    plot, columns = _bars("Largest branches", "MB compressed, uncompressed", rows, PALETTE[0])
    columns["bare"] = [one.uncompressed_bytes / MB for one in top]
    columns["end"] = [max(both) for both in zip(columns["bare"], columns["value"], strict=True)]
    layers = (Bars({"bare": PALE}), Bars({"value": PALETTE[0]}), Texts("end"))
    end = 1.4 * max([*columns["end"], 1e-9])
    return Filled(replace(plot, layers=layers, end=end), columns)


def named(statistics: Statistics) -> list[tuple[str, DatasetStatistics]]:
    """List the datasets with the names that are shown."""
    return [(name or "files", one) for name, one in statistics.datasets.items()]


def compression(statistics: Statistics) -> Filled:
    """Fill the figure of the compression ratios, coloured by the usual algorithm."""
    datasets = named(statistics)
    rows = [(name, one.ratio or 0.0, ", ".join(one.compressions)) for name, one in datasets]
    filled = _bars("Compression", "uncompressed / compressed bytes", rows, "colour")
    colours = _colours(dict.fromkeys(name for _, one in datasets for name in one.compressions))
    usual = [next(iter(one.compressions), "") for _, one in datasets]
    filled.columns["colour"] = [colours.get(name, "#717581") for name in usual]
    return filled


def bytes_per_event(statistics: Statistics) -> Filled:
    """Fill the figure of events and bytes per event of each dataset."""
    rows = []
    for name, one in named(statistics):
        failed = f", {one.n_failed} failed" if one.n_failed else ""
        text = f"{one.n_events:,} events, files: {one.n_files:,}{failed}"
        rows.append((name, one.bytes_per_event / 1e3, text))
    return _bars("Datasets", "kB per event", rows, PALETTE[1])


def plot_file_size_distribution(
    statistics: Statistics | Iterable[FileRecord],
    ax: Axes | None = None,
    *,
    size_summary: SizeSummary | None = None,
) -> tuple[Figure, Axes]:
    """Draw how large the files are.

    Parameters
    ----------
    statistics
        What `aggregate_statistics` returned, or the records of `inspect_files`.
    ax
        Where to draw; None: a new figure.
    size_summary
        What `rucio.fetch_file_sizes` returned: gives sizes where the files do not, and those of
        files that were not inspected.
    """
    return file_sizes(statistics, size_summary).on(ax)


def all_figures(
    statistics: Statistics, tiles: Sequence[Tile], sizes: SizeSummary | None = None
) -> list[Filled]:
    """Give the six figures of a page, two in a row."""
    return [
        bytes_per_event(statistics), compression(statistics),
        events_per_file(statistics), file_sizes(statistics, sizes),
        branch_sizes(tiles), top_branches(statistics.branches()),
    ]  # fmt: skip


def plot_summary(
    statistics: Statistics, tiles: Sequence[Tile], *, size_summary: SizeSummary | None = None
) -> Figure:
    """Draw everything on one page.

    Parameters
    ----------
    statistics
        What `aggregate_statistics` returned.
    tiles
        What `treemap` returned.
    size_summary
        What `rucio.fetch_file_sizes` returned.
    """
    figure = plt.figure(figsize=(15, 12), layout="constrained")
    axes = figure.subplots(3, 2, height_ratios=(1.0, 1.0, 1.3)).ravel()
    for ax, filled in zip(axes, all_figures(statistics, tiles, size_summary), strict=True):
        filled.on(ax)
    counts = f"{statistics.n_files:,} files, {statistics.n_events:,} events"
    problems = f", {len(statistics.problems)} problems" if statistics.problems else ""
    figure.suptitle(f"{counts}, {size_text(statistics.size_bytes)}{problems}", fontsize=16)
    return figure
