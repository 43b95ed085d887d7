"""The cutflow as a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intccms.errors import InputError, nearest
from intccms.histograms.sums import Cutflow, cuts_in_order
from intccms.plots.style import PLAIN, Look, cms_axes, figure_of

FONT = 18.0
ROW_INCHES = 0.75


def plot(
    cutflow: Cutflow, channel: str, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the yield of each process after each cut, the first cut on top.

    A cut that a process does not have leaves its yield as it is.

    Parameters
    ----------
    cutflow, channel
        What is drawn; yields that are not positive have no place on the logarithmic axis.
    look
        Colours, labels and order of the processes, luminosity and status.
    ax
        Axes to draw in.
    """
    if channel not in cutflow:
        raise InputError(f"no cutflow of channel {channel!r}; {nearest(channel, cutflow)}")
    flow = cutflow[channel]
    names = cuts_in_order([step.name for step in steps] for steps in flow.values())
    shown = look.overlaid(flow)
    processes = [one for one in look.ordered(flow) if one in shown or not look.is_signal(one)]
    colors = look.colors_of([name for name in processes if name not in look.data])
    has_data = any(name in look.data for name in flow)
    size = (10, 2.6 + ROW_INCHES * len(names))
    with cms_axes(ax, look, size, with_data=has_data, label_size=1.1 * FONT, font_size=FONT) as ax:
        edges = np.arange(len(names) + 1) - 0.5
        for process in reversed(processes):
            after = {step.name: step.yields for step in flow[process]}
            yields: list[float] = []
            for name in names:
                yields.append(after.get(name, yields[-1] if yields else np.nan))
            style = "--" if look.is_signal(process) else "-"
            ax.stairs(
                [one if one > 0 else np.nan for one in yields], edges, orientation="horizontal",
                baseline=None, linewidth=3, linestyle=style, color=colors.get(process, "black"),
                label=look.label_of(process),
            )  # fmt: skip
        if any(step.yields > 0 for steps in flow.values() for step in steps):
            ax.set_xscale("log")
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_yticks(range(len(names)), [name.removeprefix(f"{channel}: ") for name in names])
        ax.tick_params(axis="y", which="both", left=False, right=False)
        ax.yaxis.minorticks_off()
        ax.grid(axis="x")
        ax.set_xlabel(f"Events, {look.channel(channel)}")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return figure_of(ax), ax
