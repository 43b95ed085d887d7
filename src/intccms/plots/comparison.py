"""Two runs side by side, and the ratio of what they show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intccms.plots.data_mc import Contents, draw_contents, panels
from intccms.plots.style import Look, cms_style, new_figure

FloatArray = npt.NDArray[np.float64]
HALF_RANGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the panel of ratios


def side_by_side(
    first: Contents, second: Contents, names: Sequence[str], looks: Sequence[Look]
) -> tuple[Figure, list[Axes]]:
    """Draw an observable of two runs with the same scales, and second / first below.

    Parameters
    ----------
    first, second
        What the runs give, in the same bins.
    names
        Headings of the two legends.
    looks
        Of each run.

    Returns
    -------
    figure, axes
        The distribution and the ratio of the first run, of the second, and what compares them.
    """
    with cms_style():
        figure = new_figure(figsize=(20, 14))
        outer = figure.add_gridspec(
            2, 2, height_ratios=(10, 2.4), hspace=0.16, wspace=0.2,
            left=0.075, right=0.98, top=0.95, bottom=0.075,
        )  # fmt: skip
        pairs = [panels(figure, outer[0, column]) for column in (0, 1)]
        for pair, numbers, name, look in zip(pairs, (first, second), names, looks, strict=True):
            draw_contents(numbers, name, look=look, ax=pair)
        low = min(pair[0].get_ylim()[0] for pair in pairs)
        high = max(pair[0].get_ylim()[1] for pair in pairs)
        for top, _ in pairs:
            top.set_ylim(low, high)
        below = figure.add_subplot(outer[1, :])
        _draw_ratios(below, first, second, looks[0])
    return figure, [*pairs[0], *pairs[1], below]


def _draw_ratios(ax: Axes, first: Contents, second: Contents, look: Look) -> None:
    """Lines for what is simulated, points for data; the axis is as fine as the changes are."""
    colors = look.colors_of([*first.backgrounds, *first.signals])
    ratios = [np.zeros(0)]
    lines = {"Background": (first.total, second.total, "black")} | {
        look.label_of(name): (first.signals[name], second.signals[name], colors[name])
        for name in first.signals
        if name in second.signals
    }
    for label, (before, after, color) in lines.items():
        ratios.append(_ratio(before, after))
        ax.stairs(ratios[-1], first.edges, baseline=None, color=color, linewidth=2.5, label=label)
    if first.data is not None and second.data is not None:
        ratios.append(_ratio(first.data, second.data))
        ax.plot(first.centers, ratios[-1], "o", color="black", markersize=7, label="Data")
    ax.axhline(1.0, color="black", linewidth=1, linestyle="--")
    change = np.abs(np.concatenate(ratios) - 1)
    largest = float(np.max(change, initial=0.0, where=np.isfinite(change)))
    half = next((one for one in HALF_RANGES if largest <= 0.95 * one), HALF_RANGES[-1])
    ax.set_ylim(1 - half, 1 + half)
    ax.set_xlim(first.edges[0], first.edges[-1])
    ax.set_xlabel(first.label)
    ax.set_ylabel("Second / first", loc="center")
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.legend(loc="upper left", ncols=4, fontsize=18)


def _ratio(before: FloatArray, after: FloatArray) -> FloatArray:
    """Second over first, not a number where there is nothing or where it is hidden."""
    return np.divide(after, before, out=np.full_like(before, np.nan), where=before > 0)
