"""Sensitivity against the value of a cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intccms.plots.style import PLAIN, Look, cms_label, cms_style, new_figure

FONT = 18.0


def sensitivity(
    setting: str,
    values: Sequence[Any],
    ratios: Mapping[str, Sequence[float]],
    limits: Mapping[str, Sequence[float]],
    *,
    look: Look = PLAIN,
) -> tuple[Figure, list[Axes]]:
    """Draw S/√B, and below it expected limits where there are some, against a setting.

    Parameters
    ----------
    setting
        Its name, below the axis.
    values
        Those that were tried: numbers, or anything else, which then is put at even steps.
    ratios
        By label, S/√B at each of `values`.
    limits
        By label, the median expected limit on the strength at each of them.
    look
        Luminosity and status.
    """
    is_number = all(isinstance(one, int | float) for one in values)
    places = np.asarray(values if is_number else range(len(values)), dtype=float)
    with cms_style(font_size=FONT):
        rows = [("S/√B", ratios), *([("Expected limit on µ", limits)] if limits else [])]
        figure = new_figure(figsize=(9, 1.5 + 4.0 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (label, lines) in zip(axes, rows, strict=True):
            for name, numbers in lines.items():
                ax.plot(places, numbers, "o-", linewidth=2, label=name)
            ax.set_ylabel(label)
            ax.margins(x=0.05, y=0.3)  # with room for the legend
            ax.set_ylim(bottom=0)
            if lines:
                ax.legend(fontsize=0.8 * FONT)
        axes[-1].set_xlabel(setting.rpartition(".")[2])
        if not is_number:
            axes[-1].set_xticks(places, [str(one) for one in values])
        cms_label(axes[0], look, with_data=False, fontsize=1.1 * FONT)
    return figure, list(axes)
