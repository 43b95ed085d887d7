"""Figures of inspected files: finished numbers in, matplotlib out; nothing is computed or saved.

Imports matplotlib and nothing of ours: what is drawn is asked of the objects that come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator

__all__ = [
    "plot_branch_sizes",
    "plot_compression",
    "plot_datasets",
    "plot_events_per_file",
    "plot_file_size_distribution",
    "plot_summary",
    "plot_top_branches",
]

# M. A. Petroff, arXiv:2107.02270, as in the other figures
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
N_BINS = 40
MAX_LEGEND = 10
MIN_POINTS = 4.5  # of the name in a tile
MB = 1e6


def _axes(ax: Axes | None, width: float = 7.0, height: float = 4.5) -> tuple[Figure, Axes]:
    if ax is None:
        figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
        return figure, ax
    return ax.get_figure(root=True), ax  # type: ignore[return-value]


def _bytes(n: float) -> str:
    return EngFormatter("B", places=1).format_data(n)


def _colors(names: Sequence[str]) -> dict[str, str]:
    return {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}


def _distribution(ax: Axes, values: dict[str, Any], label: str) -> None:
    """Draw stacked histograms of positive numbers, on a logarithmic axis if they spread wide."""
    shown = {name: np.asarray(one, dtype=float) for name, one in values.items() if len(one)}
    every = np.concatenate(list(shown.values())) if shown else np.ones(1)
    low, high = float(every.min()), float(every.max())
    is_wide = low > 0 and high / low > 30
    if high <= low:
        low, high = 0.5 * low, 1.5 * high + 1
    edges = np.geomspace(low, high, N_BINS + 1) if is_wide else np.linspace(low, high, N_BINS + 1)
    colors = _colors(list(values))
    if shown:
        ax.hist(
            list(shown.values()), bins=edges.tolist(), stacked=True, label=list(shown),
            color=[colors[name] for name in shown],
        )  # fmt: skip
    ax.set_xscale("log" if is_wide else "linear")
    ax.set_xlabel(label)
    ax.set_ylabel("files")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    if shown and len(shown) <= MAX_LEGEND:
        ax.legend(fontsize="small", framealpha=0.7)


def plot_events_per_file(statistics: Any, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw how many events the files have.

    Parameters
    ----------
    statistics
        What `aggregate_statistics` returned.
    ax
        Where to draw; None: a new figure.
    """
    figure, ax = _axes(ax)
    values = {name: one.events_per_file for name, one in statistics.datasets.items()}
    _distribution(ax, values, "events per file")
    ax.set_title("Events per file")
    return figure, ax


def plot_file_size_distribution(
    statistics: Any, ax: Axes | None = None, *, size_summary: Any = None
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
    figure, ax = _axes(ax)
    values = _sizes_mb(statistics, size_summary)
    _distribution(ax, values, "file size [MB]")
    total = _bytes(sum(float(np.sum(one)) for one in values.values()) * MB)
    source = " (sizes of the rest from Rucio)" if "not inspected" in values else ""
    ax.set_title(f"File sizes, {total} in all{source}")
    return figure, ax


def _sizes_mb(statistics: Any, size_summary: Any) -> dict[str, list[float]]:
    known = size_summary.size_of if size_summary is not None else lambda _: None
    pairs: dict[str, list[tuple[str, int]]] = {}
    if hasattr(statistics, "datasets"):
        for name, one in statistics.datasets.items():
            pairs[name] = list(zip(one.paths, one.file_sizes.tolist(), strict=True))
    else:
        for record in statistics:
            pairs.setdefault(record.dataset, []).append((record.path, record.size_bytes or 0))
    values = {
        name: [(size or known(path) or 0) / MB for path, size in files]
        for name, files in pairs.items()
    }
    if size_summary is not None:
        seen = {size_summary.file(path) and size_summary.file(path).lfn
                for files in pairs.values() for path, _ in files}  # fmt: skip
        rest = [file.size_bytes / MB for lfn, file in size_summary.files.items()
                if lfn not in seen and file.size_bytes]  # fmt: skip
        if rest:
            values["not inspected"] = rest
    return {name: [size for size in sizes if size > 0] for name, sizes in values.items()}


def plot_branch_sizes(tiles: Sequence[Any], ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw which branches the bytes belong to, as rectangles by collection.

    Parameters
    ----------
    tiles
        What `treemap` returned.
    ax
        Where to draw; None: a new figure.
    """
    figure, ax = _axes(ax, 9.0, 5.5)
    total = sum(tile.size_bytes for tile in tiles) or 1
    width = max((tile.box[0] + tile.box[2] for tile in tiles), default=1.0)
    for tile in tiles:
        x, y, w, h = tile.box
        color = PALETTE[tile.index % len(PALETTE)]
        ax.add_patch(
            Rectangle((x, y), w, h, facecolor=color, edgecolor="white", alpha=0.75, lw=0.5)
        )
    for collection in dict.fromkeys(tile.collection for tile in tiles):
        group = [tile for tile in tiles if tile.collection == collection]
        x, y, w, h = group[0].outer
        ax.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor="white", lw=2.5))
        share = sum(tile.size_bytes for tile in group) / total
        size = 150 * min(w / width / max(len(collection), 5), h / 2.6)  # what fits
        if size > MIN_POINTS:
            text = f"{collection}\n{share:.0%}" if share > 0.01 else collection
            ax.text(
                x + w / 2, y + h / 2, text, ha="center", va="center", size=min(size, 15.0),
                clip_on=True, color="black", fontweight="bold",
            )  # fmt: skip
    ax.set_xlim(0, width)
    ax.set_ylim(1, 0)
    ax.set_axis_off()
    ax.set_title("Compressed bytes by collection and branch")
    return figure, ax


def plot_top_branches(
    branches: Sequence[Any], ax: Axes | None = None, *, n: int = 15
) -> tuple[Figure, Axes]:
    """Draw the largest branches, compressed and not.

    Parameters
    ----------
    branches
        What ``Statistics.branches()`` returned, the largest first.
    ax
        Where to draw; None: a new figure.
    n
        How many.
    """
    figure, ax = _axes(ax)
    shown = list(branches)[:n][::-1]
    names = [branch.name for branch in shown]
    ax.barh(names, [one.uncompressed_bytes for one in shown], color="#d5dbe3", label="uncompressed")
    ax.barh(names, [one.compressed_bytes for one in shown], color=PALETTE[0], label="compressed")
    ax.xaxis.set_major_formatter(EngFormatter("B"))
    ax.tick_params(axis="y", labelsize=8)
    ax.set_title("Largest branches")
    ax.legend(fontsize="small", frameon=False, loc="lower right")
    return figure, ax


def plot_compression(statistics: Any, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw the compression ratio of each dataset, and name the algorithms.

    Parameters
    ----------
    statistics
        What `aggregate_statistics` returned.
    ax
        Where to draw; None: a new figure.
    """
    figure, ax = _axes(ax)
    datasets = list(statistics.datasets.values())[::-1]
    ratios = [one.ratio or 0.0 for one in datasets]
    used = list(dict.fromkeys(name for one in datasets for name in one.compressions))
    colors = _colors(used)
    usual = [next(iter(one.compressions), "") for one in datasets]
    ax.barh(
        [one.dataset or "files" for one in datasets], ratios,
        color=[colors.get(name, "grey") for name in usual],
    )  # fmt: skip
    for y, (one, ratio) in enumerate(zip(datasets, ratios, strict=True)):
        ax.text(ratio, y, f" {', '.join(one.compressions)}", va="center", size=8)
    ax.set_xlim(0, 1.35 * max(ratios, default=1.0) or 1.0)
    ax.set_xlabel("uncompressed / compressed bytes")
    ax.set_title("Compression")
    return figure, ax


def plot_datasets(statistics: Any, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw events and bytes per event of each dataset.

    Parameters
    ----------
    statistics
        What `aggregate_statistics` returned.
    ax
        Where to draw; None: a new figure.
    """
    figure, ax = _axes(ax)
    datasets = list(statistics.datasets.values())[::-1]
    names = [one.dataset or "files" for one in datasets]
    ax.barh(names, [one.bytes_per_event / 1e3 for one in datasets], color=PALETTE[1])
    for y, one in enumerate(datasets):
        failed = f", {one.n_failed} failed" if one.n_failed else ""
        text = f" {one.n_events:,} events, files: {one.n_files:,}{failed}"
        ax.text(one.bytes_per_event / 1e3, y, text, va="center", size=8)
    largest = max((one.bytes_per_event / 1e3 for one in datasets), default=1.0)
    ax.set_xlim(0, 1.9 * largest or 1.0)
    ax.set_xlabel("kB per event")
    ax.set_title("Datasets")
    return figure, ax


def plot_summary(statistics: Any, tiles: Sequence[Any], *, size_summary: Any = None) -> Figure:
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
    grid = figure.add_gridspec(3, 2, height_ratios=(1.0, 1.0, 1.3))
    plot_datasets(statistics, figure.add_subplot(grid[0, 0]))
    plot_compression(statistics, figure.add_subplot(grid[0, 1]))
    plot_events_per_file(statistics, figure.add_subplot(grid[1, 0]))
    plot_file_size_distribution(
        statistics, figure.add_subplot(grid[1, 1]), size_summary=size_summary
    )
    plot_branch_sizes(tiles, figure.add_subplot(grid[2, 0]))
    plot_top_branches(statistics.branches(), figure.add_subplot(grid[2, 1]))
    counts = f"{statistics.n_files:,} files, {statistics.n_events:,} events"
    problems = f", {len(statistics.problems)} problems" if statistics.problems else ""
    figure.suptitle(f"{counts}, {_bytes(statistics.size_bytes)}{problems}", fontsize=16)
    return figure
