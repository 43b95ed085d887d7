"""What each source of uncertainty does to a process: shapes in a grid, sizes in a ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intccms.errors import InputError
from intccms.histograms import Book, shifts
from intccms.plots.style import (
    PLAIN,
    Look,
    cms_axes,
    cms_style,
    figure_of,
    new_figure,
    simulated,
)

FloatArray = npt.NDArray[np.float64]

UP, DOWN = "#bd1f01", "#3f90da"  # told apart by those who do not see red and green, too
COLUMNS, ROWS = 4, 5  # of a page
MOST = 40  # sources in one ranking, or on all pages
LEAST_PERCENT = 0.01  # change of the yield that is worth a row
HALF_RANGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the ratio axes
PANEL_INCHES = (2.9, 1.7)
LEAST_INCHES = 7.5  # width of all panels, for the line above them
GAP_INCHES = (0.2, 0.5)
MARGIN_INCHES = (0.85, 0.3, 0.7, 0.85)  # left, right, bottom, top
RELIABLE = 0.2  # bins of a smaller relative statistical error decide on the range
GRID_FONT = 16.0
ROW_INCHES = 0.36
SUMMARY_FONT = 16.0
SMALL: dict[str, Any] = {  # for panels far smaller than what the CMS style is made for
    "axes_linewidth": 1.2, "xtick_major_size": 6, "xtick_minor_size": 3, "ytick_major_size": 6,
    "ytick_minor_size": 3,
}  # fmt: skip


def grid(
    book: Book,
    channel: str,
    observable: str,
    process: str,
    *,
    page: int = 1,
    look: Look = PLAIN,
) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Draw the ratio to nominal of the up and down variation of each source.

    Parameters
    ----------
    book, channel, observable, process
        What is drawn; the grey band is the statistical uncertainty of its nominal.
    page
        Of `n_pages`.
    look
        Label of the process, luminosity and status.

    Returns
    -------
    figure, axes
        One axes per source, in the order of the book. All pages have the same scales; what leaves
        the panel is cut off there. Sources without effect have none, and of the others at most
        `MOST`: those that change a bin most, in its statistical errors.

    Raises
    ------
    InputError
        If the process has no variations.
    """
    changes = _changes(book, channel, observable, process)
    nominal, relative_error = _nominal(book, channel, observable, process)
    axis = book.histogram(channel, observable).axes[0]
    shown = _largest(changes, nominal, relative_error)
    ratios = {source: tuple(_ratio(one, nominal) for one in changes[source]) for source in shown}
    sizes = np.abs([part[relative_error < RELIABLE] for both in ratios.values() for part in both])
    sizes = sizes[np.isfinite(sizes)]
    wanted = float(np.quantile(sizes, 0.98)) if sizes.size else 0.0  # of the bins are shown
    half = next((half for half in HALF_RANGES if wanted <= 0.9 * half), HALF_RANGES[-1])
    band = np.where(np.isfinite(relative_error), relative_error, 0.0)
    first = (page - 1) * COLUMNS * ROWS
    ratios = dict(islice(ratios.items(), first, first + COLUMNS * ROWS))
    with cms_style(**SMALL, font_size=GRID_FONT):
        figure, axes = _grid_panels(len(ratios))
        for ax, (source, (down, up)) in zip(axes, ratios.items(), strict=True):
            ax.stairs(1 + band, axis.edges, baseline=1 - band, fill=True, color="#d9d9d9",
                      linewidth=0, label="Stat. unc.")  # fmt: skip
            ax.axhline(1.0, color="black", linewidth=0.8, linestyle="--")
            ax.stairs(1 + down, axis.edges, baseline=None, color=DOWN, linewidth=1.6, label="Down")
            ax.stairs(1 + up, axis.edges, baseline=None, color=UP, linewidth=1.6, label="Up")
            fitting = GRID_FONT * min(1, 24 / len(source))  # no wider than the panel
            ax.set_title(source, fontsize=fitting, pad=4, loc="left", y=1.0)
            ax.minorticks_off()
            ax.set(xlim=(axis.edges[0], axis.edges[-1]), ylim=(1 - half, 1 + half))
        _grid_frame(figure, axes, look, book.label(channel, observable), look.label_of(process))
        if len(shown) < len(changes):
            width, height = figure.get_size_inches()
            left_out = f"{len(changes) - len(shown)} of {len(changes)}"
            text = f"Not shown: {left_out} sources that change less"
            figure.text(0.2 / width, 0.15 / height, text, fontsize=GRID_FONT, color="#606060")
    return figure, axes


def n_pages(book: Book, channel: str, observable: str, process: str) -> int:
    """Return how many figures `grid` needs."""
    changes = _changes(book, channel, observable, process)
    shown = _largest(changes, *_nominal(book, channel, observable, process))
    return math.ceil(len(shown) / (COLUMNS * ROWS))


def summary(
    book: Book, channel: str, observable: str, process: str, *, look: Look = PLAIN
) -> tuple[Figure, Axes]:
    """Draw the relative effect of each source on the yield, the largest on top.

    The yield is the integral of the visible bins.

    Parameters
    ----------
    book, channel, observable, process
        What is drawn.
    look
        Label of the process, luminosity and status.

    Raises
    ------
    InputError
        If the process has no variations.
    """
    changes = _changes(book, channel, observable, process)
    nominal, _ = _nominal(book, channel, observable, process)
    total = float(nominal.sum()) or math.nan
    effects = {
        source: (100 * float(down.sum()) / total, 100 * float(up.sum()) / total)
        for source, (down, up) in changes.items()
    }
    moving = [name for name, both in effects.items() if max(map(abs, both)) >= LEAST_PERCENT]
    ranked = sorted(
        moving or effects, key=lambda source: (-max(map(abs, effects[source])), source)
    )[:MOST]
    size = (9, 2.0 + ROW_INCHES * len(ranked))
    style = SMALL | {"font_size": SUMMARY_FONT}
    with cms_axes(None, look, size, label_size=SUMMARY_FONT * 1.1, **style) as ax:
        rows = np.arange(len(ranked))
        for index, (name, color) in enumerate((("Down", DOWN), ("Up", UP))):
            values = [effects[source][index] for source in ranked]
            offset = 0.19 if name == "Down" else -0.19
            ax.barh(rows + offset, values, height=0.38, color=color, label=name)
        ax.axvline(0.0, color="black", linewidth=1)
        ax.set_yticks(rows, ranked)
        ax.tick_params(axis="y", which="both", left=False, right=False)
        ax.minorticks_off()
        ax.set_ylim(len(ranked) - 0.4, -0.6)
        reach = max((abs(x) for both in effects.values() for x in both), default=0.0) or 1.0
        ax.set_xlim(-1.15 * reach, 1.15 * reach)
        what = f"{look.label_of(process)}, {look.channel(channel)}"
        ax.set_xlabel(f"Change of the yield of {what} [%]")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0)
        if len(ranked) < len(effects):
            left_out = f"{len(effects) - len(ranked)} of {len(effects)}"
            text = f"Not shown:\n{left_out}\nsources that\nchange less"
            ax.text(1.02, 0.0, text, transform=ax.transAxes, fontsize=GRID_FONT, color="#606060")
    return figure_of(ax), ax


def _changes(
    book: Book, channel: str, observable: str, process: str
) -> dict[str, tuple[FloatArray, FloatArray]]:
    changes = shifts(book, channel, observable, [process])
    if not changes:
        raise InputError(f"process {process!r} has no variations to draw")
    return changes


def _largest(
    changes: Mapping[str, tuple[FloatArray, FloatArray]],
    nominal: FloatArray,
    relative_error: FloatArray,
) -> tuple[str, ...]:
    """Choose the sources with the largest effects on a bin; all if none has any."""
    errors = np.multiply(
        nominal, relative_error, out=np.full_like(nominal, np.inf), where=nominal > 0
    )
    sizes = {
        source: max(float(np.max(np.abs(one) / errors, initial=0.0)) for one in both)
        for source, both in changes.items()
    }
    moving = [source for source, size in sizes.items() if size > 0] or list(sizes)
    chosen = sorted(moving, key=lambda source: -sizes[source])[:MOST]
    return tuple(source for source in changes if source in chosen)


def _nominal(
    book: Book, channel: str, observable: str, process: str
) -> tuple[FloatArray, FloatArray]:
    """Content and its relative statistical error, infinite where there is nothing."""
    histogram = book.slice(channel, observable, process)
    values = np.asarray(histogram.values(), dtype=np.float64)
    errors = np.sqrt(np.asarray(histogram.variances(), dtype=np.float64))
    return values, np.nan_to_num(_ratio(errors, values), nan=np.inf)


def _ratio(change: FloatArray, nominal: FloatArray) -> FloatArray:
    """Relative change, NaN where the nominal is not positive."""
    return np.divide(change, nominal, out=np.full_like(change, np.nan), where=nominal > 0)


def _grid_panels(n_panels: int) -> tuple[Figure, npt.NDArray[np.object_]]:
    columns = min(COLUMNS, n_panels)
    rows = math.ceil(n_panels / columns)
    left, right, bottom, top = MARGIN_INCHES
    panel_w = max(PANEL_INCHES[0], LEAST_INCHES / columns)
    panel_h = PANEL_INCHES[1] if n_panels > 2 else 2 * PANEL_INCHES[1]
    width = columns * (panel_w + GAP_INCHES[0]) - GAP_INCHES[0] + left + right
    height = rows * (panel_h + GAP_INCHES[1]) - GAP_INCHES[1] + bottom + top
    figure = new_figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - top / height,
        wspace=GAP_INCHES[0] / panel_w, hspace=GAP_INCHES[1] / panel_h,
    )  # fmt: skip
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in panels[n_panels:]:
        ax.remove()
    for ax in panels[max(n_panels - columns, 0) : n_panels]:
        ax.tick_params(labelbottom=True)  # the last row may not be full
    return figure, panels[:n_panels]


def _grid_frame(
    figure: Figure, axes: npt.NDArray[np.object_], look: Look, label: str, process: str
) -> None:
    handles, names = axes[0].get_legend_handles_labels()
    width, height = figure.get_size_inches()
    left, right, _, _ = MARGIN_INCHES
    x, y = left / width, 1 - 0.32 / height
    status = simulated(look.status).replace(" ", r"\ ")
    text = rf"$\mathbf{{CMS}}\ \mathit{{{status}}}$"
    figure.text(x, y, text, ha="left", va="center", fontsize=GRID_FONT * 1.4)
    figure.legend(
        handles, names, loc="center right", bbox_to_anchor=(1 - right / width, y), ncols=3,
        fontsize=GRID_FONT, borderpad=0, borderaxespad=0, columnspacing=1.2,
    )  # fmt: skip
    size = GRID_FONT * 1.2
    figure.text(1 - right / width, 0.2 / height, label, ha="right", va="center", fontsize=size)
    figure.text(
        0.2 / width, 0.5, f"{process}: varied / nominal", rotation=90, ha="center", va="center",
        fontsize=size,
    )  # fmt: skip
