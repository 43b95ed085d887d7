"""Data and stacked simulation with their ratio."""

from __future__ import annotations

import math
import re
from typing import Any

import mplhep
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from intccms.histograms import Book
from intccms.plots.blinding import Blind
from intccms.plots.contents import Contents, contents
from intccms.plots.panel import BAND, POINTS, draw_pulls, draw_ratio
from intccms.plots.style import Look, cms_label, cms_style, new_figure

__all__ = ["data_mc", "draw_contents", "panels"]

FloatArray = npt.NDArray[np.float64]

BLINDED: dict[str, Any] = {"facecolor": "#e8e8e8", "edgecolor": "#b0b0b0", "linewidth": 1}
LEGEND_FONTS = (19, 17, 15, 13, 11)  # points, the first that fits
SIGNAL_PART = 0.8  # of the highest background, for a signal that has to be scaled
HEADROOM = 0.05  # of the height, between the highest content and the legend


def data_mc(
    book: Book,
    channel: str,
    observable: str,
    *,
    look: Look | None = None,
    blind: Blind = None,
    ax: tuple[Axes, Axes] | None = None,
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Draw data over stacked simulation, and their ratio below.

    Background is stacked; the band around its sum is the statistical ⊕ systematic uncertainty.
    Signal is a line on its own, not part of the sum. Errors of data are Garwood intervals.

    Parameters
    ----------
    book, channel, observable
        What is drawn: visible bins, events per bin.
    look
        Colours, labels, luminosity, scale of the signal, logarithmic axis.
    blind
        Data that are not shown: True for all, or a range of the observable.
    ax
        Axes of the distribution and of the ratio, for a figure of one's own.

    Returns
    -------
    figure, (axes, ratio axes)
        Ready to be saved or changed.
    """
    look = look or Look()
    numbers = contents(book, channel, observable, look, blind)
    title = f"{channel}, {look.period}" if look.period else channel
    return draw_contents(numbers, title, look=look, ax=ax)


def draw_contents(
    numbers: Contents,
    title: str,
    *,
    look: Look | None = None,
    ax: tuple[Axes, Axes] | None = None,
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Draw numbers that need not come from a book, in the same way.

    Parameters
    ----------
    numbers
        Stack, signals, uncertainty and data.
    title
        Heading of the legend.
    look, ax
        As for `data_mc`.
    """
    look = look or Look()
    with cms_style():
        top, bottom = ax if ax is not None else _own_panels()
        figure = top.get_figure(root=True)
        assert figure is not None
        _draw_distribution(top, numbers, look)
        (draw_pulls if look.panel == "pull" else draw_ratio)(bottom, numbers)
        _annotate(top, bottom, title, numbers, look)
        _make_room(top, numbers, look)
        cms_label(top, look, with_data=numbers.shows_data)  # last: it makes way for "x 10^6"
    return figure, (top, bottom)


def _own_panels() -> tuple[Axes, Axes]:
    figure = new_figure(figsize=(10, 10))
    whole = figure.add_gridspec(1, 1, left=0.15, right=0.96, top=0.93, bottom=0.1)
    return panels(figure, whole[0])


def panels(figure: Figure, place: SubplotSpec) -> tuple[Axes, Axes]:
    """Make the axes of a distribution and, below it, of its ratio.

    Parameters
    ----------
    figure, place
        Where.
    """
    grid = place.subgridspec(2, 1, height_ratios=(3, 1), hspace=0.06)
    top = figure.add_subplot(grid[0])
    bottom = figure.add_subplot(grid[1], sharex=top)
    top.tick_params(labelbottom=False)
    return top, bottom


def _draw_distribution(ax: Axes, numbers: Contents, look: Look) -> None:
    colors = look.colors_of([*numbers.backgrounds, *numbers.signals])
    if numbers.backgrounds:
        mplhep.histplot(
            list(numbers.backgrounds.values()),
            bins=numbers.edges,
            stack=True,
            histtype="fill",
            sort=None,
            color=[colors[name] for name in numbers.backgrounds],
            label=[look.label_of(name) for name in numbers.backgrounds],
            ax=ax,
        )
        total = numbers.total
        label = r"Stat. $\oplus$ syst. unc."
        ax.stairs(
            total + numbers.up, numbers.edges, baseline=total - numbers.down, fill=True,
            linewidth=0, label=label, **BAND,
        )  # fmt: skip
    for name, scale in _signal_scales(numbers, look).items():
        factor = "" if scale == 1.0 else rf" $\times$ {scale:g}"
        ax.stairs(
            numbers.signals[name] * scale, numbers.edges, color=colors[name], linewidth=3,
            label=look.label_of(name) + factor,
        )  # fmt: skip
    if numbers.data is not None and numbers.shows_data:
        shown = ~numbers.hidden & ((numbers.data > 0) | (numbers.total > 0))
        ax.errorbar(
            numbers.centers[shown], numbers.data[shown], numbers.data_errors()[:, shown],
            label="Data", zorder=5, **POINTS,
        )  # fmt: skip


def _signal_scales(numbers: Contents, look: Look) -> dict[str, float]:
    """Factor of each signal: the one that is asked for, or the power of ten that shows it.

    On a linear axis a signal that is hardly seen grows to at most `SIGNAL_PART` of the background.
    """
    if look.signal_scale is not None or look.log:
        return dict.fromkeys(numbers.signals, look.signal_scale or 1.0)
    wanted = SIGNAL_PART * float(np.max(numbers.total, initial=0.0))
    scales = {}
    for name, values in numbers.signals.items():
        highest = float(np.max(values, initial=0.0))
        is_small = 0 < highest < 0.1 * wanted
        scales[name] = 10.0 ** math.floor(math.log10(wanted / highest)) if is_small else 1.0
    return scales


def _annotate(top: Axes, bottom: Axes, title: str, numbers: Contents, look: Look) -> None:
    top.set_ylabel(_events_label(numbers))
    top.set_xlabel("")
    bottom.set_xlabel(numbers.label)
    for ax in (top, bottom):
        ax.set_xlim(numbers.edges[0], numbers.edges[-1])
    handles, labels = top.get_legend_handles_labels()
    entries = sorted(zip(labels, handles, strict=True), key=lambda entry: entry[0] != "Data")
    if numbers.shows_data and numbers.hidden.any():
        for ax in (top, bottom):
            for low, high in _runs(numbers.edges, numbers.hidden):
                ax.axvspan(low, high, zorder=0, **BLINDED)
        entries.append(("Data blinded", Rectangle((0, 0), 1, 1, **BLINDED)))
    _draw_legend(top, entries, title)


def _draw_legend(ax: Axes, entries: list[tuple[str, Any]], title: str) -> None:
    """Legend in the largest font with which it fits."""
    for size in LEGEND_FONTS:
        ax.legend(
            [handle for _, handle in entries], [label for label, _ in entries], title=title,
            loc="upper right", ncols=2 if len(entries) > 4 else 1, fontsize=size,
            title_fontsize=size * 1.1, alignment="left", columnspacing=1.0, handletextpad=0.5,
            labelspacing=0.35,
        )  # fmt: skip
        box = _legend_box(ax)
        if box.width < 0.98 and box.y0 > 0.45:
            return


def _legend_box(ax: Axes) -> Bbox:
    """Place of the legend in units of its axes."""
    legend = ax.get_legend()
    assert legend is not None
    return legend.get_window_extent().transformed(ax.transAxes.inverted())


def _events_label(numbers: Contents) -> str:
    """Events per bin; with the width where all bins have the same."""
    widths = np.diff(numbers.edges)
    unit = re.search(r"\[(.+)\](?: \(with \w+.*\))?\s*$", numbers.label)
    if unit is None or not np.allclose(widths, widths[0]):
        return "Events / bin"
    return f"Events / {widths[0]:.4g} {unit.group(1)}"


def _runs(edges: FloatArray, chosen: npt.NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Low and high end of each run of chosen bins."""
    steps = np.diff(np.concatenate([[0], chosen.astype(int), [0]]))
    return list(zip(edges[steps == 1], edges[steps == -1], strict=True))


def _make_room(ax: Axes, numbers: Contents, look: Look) -> None:
    """Raise the axis until the highest content is below legend and text."""
    heights = [numbers.total + numbers.up]
    heights += [
        numbers.signals[name] * scale for name, scale in _signal_scales(numbers, look).items()
    ]
    if numbers.data is not None:
        heights.append(np.nan_to_num(numbers.data) + numbers.data_errors()[1] * ~numbers.hidden)
    highest = max(float(np.max(height)) for height in heights)
    highest = highest if highest > 0 else 1.0
    free = max(_legend_box(ax).y0 - HEADROOM, 0.3)
    if look.log and _has_content(numbers):
        positive = numbers.total[numbers.total > 0]
        low = max(float(positive.min(initial=highest)) / 3, highest * 1e-6)
        ax.set_yscale("log")
        ax.set_ylim(low, low * (highest / low) ** (1 / free))
    else:
        ax.set_ylim(0, highest / free)
        ax.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5), useMathText=True)


def _has_content(numbers: Contents) -> bool:
    """Whether anything is above 0, and so has a place on a logarithmic axis."""
    drawn = [numbers.total, *numbers.signals.values()]
    if numbers.data is not None:
        drawn.append(np.nan_to_num(numbers.data))
    return any(bool((values > 0).any()) for values in drawn)
