"""The cutflow, as a figure and as a table."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intccms.errors import InputError, nearest
from intccms.histograms.cutflow import Cutflow, CutStep
from intccms.plots.style import Look, axes_of, cms_label, cms_style

FONT = 18.0
ROW_INCHES = 0.75


def plot(
    cutflow: Cutflow, channel: str, *, look: Look | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the yield of each process after each cut, the first cut on top.

    Parameters
    ----------
    cutflow, channel
        What is drawn; yields that are not positive have no place on the logarithmic axis.
    look
        Colours, labels and order of the processes, luminosity and status.
    ax
        Axes to draw in.
    """
    look = look or Look()
    flow = _channel(cutflow, channel)
    names = _cuts(flow)
    shown = look.overlaid(flow)
    processes = [one for one in look.ordered(flow) if one in shown or not look.is_signal(one)]
    colors = look.colors_of(name for name in processes if name not in look.data)
    with cms_style(font_size=FONT):
        figure, ax = axes_of(ax, 10, 2.6 + ROW_INCHES * len(names))
        edges = np.arange(len(names) + 1) - 0.5
        for process in reversed(processes):
            yields = np.array(_after_each(flow[process], names))
            ax.stairs(
                np.where(yields > 0, yields, np.nan),
                edges,
                orientation="horizontal",
                baseline=None,
                linewidth=3,
                linestyle="--" if look.is_signal(process) else "-",
                color=colors.get(process, "black"),
                label=look.label_of(process),
            )
        if any(step.yields > 0 for steps in flow.values() for step in steps):
            ax.set_xscale("log")
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_yticks(range(len(names)), [name.removeprefix(f"{channel}: ") for name in names])
        ax.tick_params(axis="y", which="both", left=False, right=False)
        ax.yaxis.minorticks_off()
        ax.grid(axis="x")
        ax.set_xlabel(f"Events, {channel}")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
        cms_label(ax, look, with_data=any(name in look.data for name in flow), fontsize=FONT * 1.1)
    return figure, ax


def table(cutflow: Cutflow, channel: str, *, look: Look | None = None) -> list[list[str]]:
    """All yields as text: a row of headings, then one row per cut.

    Each cell is the weighted yield and, in brackets, the number of events it stands on.
    """
    look = look or Look()
    flow = _channel(cutflow, channel)
    processes = look.ordered(flow)
    rows = [["cut", *processes]]
    for name in _cuts(flow):
        cells = []
        for process in processes:
            step = next((step for step in flow[process] if step.name == name), None)
            cells.append("" if step is None else f"{step.yields:,.1f} ({step.n_events:,})")
        rows.append([name, *cells])
    return rows


def _channel(cutflow: Cutflow, channel: str) -> dict[str, list[CutStep]]:
    if channel not in cutflow:
        raise InputError(f"no cutflow of channel {channel!r}; {nearest(channel, cutflow)}")
    return cutflow[channel]


def _cuts(flow: dict[str, list[CutStep]]) -> list[str]:
    """Names of all steps, in the order of the process that has most of them."""
    longest = max(flow.values(), key=len, default=[])
    every = [step.name for steps in (longest, *flow.values()) for step in steps]
    return list(dict.fromkeys(every))


def _after_each(steps: list[CutStep], names: list[str]) -> list[float]:
    """Give the yields of a process; a cut that it does not have leaves it as it is."""
    yields = {step.name: step.yields for step in steps}
    found: list[float] = []
    for name in names:
        found.append(yields.get(name, found[-1] if found else np.nan))
    return found
