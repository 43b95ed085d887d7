"""Figures in matplotlib: for saved notebooks and for files."""

from __future__ import annotations

import io
import math
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from intccms.metrics.figures import (
    AIR,
    GREY,
    INK,
    PALE,
    RED,
    ROWS,
    RUN_PLOTS,
    Area,
    Bars,
    Frame,
    Line,
    Marks,
    Plot,
    Texts,
    Tiles,
    card_colour,
)
from intccms.metrics.state import Columns, RunState, summary

SIZE = (11.0, 9.0)
DPI = 110
TILES_POINTS = 375  # width of a figure for which the names upon tiles have their size
LEGEND_COLUMNS = 5
COUNTS = {"chunks", "files"}  # labels of axes that count
STYLE: Any = {  # settings of matplotlib
    "font.family": ["DejaVu Sans"], "font.size": 8.5, "axes.titlesize": 10,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlecolor": INK,
    "axes.edgecolor": AIR, "axes.labelcolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": PALE,
    "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 7.5,
    "legend.labelcolor": GREY, "text.color": INK, "xtick.major.size": 0, "ytick.major.size": 0,
    "mathtext.default": "regular",
}  # fmt: skip


def picture(state: RunState, now: float) -> bytes:
    """Return all figures of a run as one PNG, as they stand on the live board.

    Parameters
    ----------
    state
        What is known of the run.
    now
        Seconds since the epoch; after its end it does not matter.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(SIZE, DPI, layout=ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.06))
        areas: Any = figure.subfigures(1 + len(ROWS), 1, height_ratios=[0.3, *[1.0] * len(ROWS)])
        numbers = summary(state, now)
        widths = [max(1.15 * len(text), 0.7 * len(name)) + 3 for name, text in numbers.items()]
        x, size = 0.012, min(13.0, 13.0 * 95 / sum(widths))
        for (name, text), width in zip(numbers.items(), widths, strict=True):
            style = {"fontsize": size, "fontweight": "bold", "color": card_colour(name, text)}
            areas[0].text(x, 0.78, name, fontsize=8, color=GREY)
            areas[0].text(x, 0.2, text, **style)
            x += 0.98 * width / max(sum(widths), 95)
        for area, names in zip(areas[1:], ROWS, strict=True):
            for ax, name in zip(area.subplots(1, len(names)), names, strict=True):
                data = RUN_PLOTS[name].columns(state, now)
                draw(ax, RUN_PLOTS[name].plot, data, RUN_PLOTS[name].frame(state, data))
        return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG; without the version that made it, equal figures are equal bytes."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png", dpi="figure", metadata={"Software": None})
    return memory.getvalue()


def draw(ax: Axes, plot: Plot, data: Columns, frame: Frame | None = None) -> None:
    """Draw a figure.

    Parameters
    ----------
    ax
        Where; its style is that of matplotlib's settings.
    plot, data
        What.
    frame
        None: with the title of the plot.
    """
    frame = frame or Frame(plot.title)
    for layer in plot.layers:
        _add(ax, plot, data, layer)
    end = frame.end if frame.end is not None else plot.end
    if plot.names:
        rows = range(len(data[plot.names]))
        ax.set_yticks(rows, labels=[str(name) for name in data[plot.names]])
        ax.set_ylim(max(len(rows), 3) - 0.4, -0.6)
        ax.grid(visible=False)
        ax.set_xlim(0, end)
        ax.xaxis.set_visible(bool(plot.x))
    elif Tiles() not in plot.layers:
        ax.set_ylim(0, end)
    if plot.is_log:
        ax.set_xscale("log")
    if plot.ticks_are_numbers:
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        ax.grid(visible=False, axis="x")
    if plot.x_from_zero:
        ax.set_xlim(left=0)
    if plot.y in COUNTS:
        ax.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    if frame.level is not None and frame.level < (end or 0.0):
        ax.axhline(frame.level, color=RED, linestyle="--")
    ax.set(title=frame.title, xlabel=plot.x, ylabel=plot.y)
    if ax.get_legend_handles_labels()[0]:
        _draw_legend(ax, plot)


def _draw_legend(ax: Axes, plot: Plot) -> None:
    """Put the legend where it hides nothing: beside bars with names, else in room made on top."""
    if plot.names:
        ax.set_xlim(right=1.45 * ax.get_xlim()[1])
        ax.legend(loc="lower right", handlelength=0.8, labelspacing=0.2)
        return
    n_rows = math.ceil(len(ax.get_legend_handles_labels()[0]) / LEGEND_COLUMNS)
    ax.set_ylim(top=(1.05 + 0.15 * n_rows) * ax.get_ylim()[1])
    ax.legend(loc="upper left", ncols=LEGEND_COLUMNS, columnspacing=0.8, handlelength=1.0)


def _add(ax: Axes, plot: Plot, data: Columns, layer: object) -> None:
    match layer:
        case Area(y, colour, alpha, label):
            step: Any = {"step": "post"} if layer.is_step else {}
            ax.fill_between(
                data["t"], data[y], color=colour, alpha=alpha, linewidth=0, label=label, **step
            )
        case Line(y, colour, label):
            style = "steps-post" if layer.is_step else "default"
            ax.plot(data["t"], data[y], color=colour, linewidth=1.8, label=label, drawstyle=style)
        case Bars():
            _add_bars(ax, plot, data, layer)
        case Texts(at):
            for index, (text, end) in enumerate(zip(data["text"], data[at], strict=True)):
                ax.annotate(
                    text, (end, index), xytext=(4, 0), textcoords="offset points", va="center"
                )
        case Marks(y, colour):
            ax.plot(data["x"], data[y], "_", color=colour, markersize=9, markeredgewidth=2)
        case Tiles():
            _add_tiles(ax, data)


def _add_bars(ax: Axes, plot: Plot, data: Columns, layer: Bars) -> None:
    labels = layer.labels or ("",) * len(layer.parts)
    ends = np.zeros(len(data[next(iter(layer.parts))])) if layer.parts else np.zeros(0)
    width: Any = data[layer.width] if isinstance(layer.width, str) else layer.width
    common: Any = {"alpha": layer.alpha, "edgecolor": layer.edge, "linewidth": 0.5}
    for (part, name), label in zip(layer.parts.items(), labels, strict=True):
        colour = name if name.startswith("#") else data[name]
        values = np.asarray(data[part], dtype=float)
        if plot.names:
            ax.barh(range(len(values)), values, width, left=ends, color=colour, label=label,
                    **common)  # fmt: skip
        else:
            ax.bar(data["x"], values, width, bottom=ends, color=colour, label=label, **common)
        ends = ends + values


def _add_tiles(ax: Axes, data: Columns) -> None:
    boxes = zip(data["x"], data["y"], data["width"], data["height"], data["colour"], strict=True)
    right = 0.0
    for x, y, width, height, colour in boxes:
        right = max(right, x + width / 2)
        corner = (x - width / 2, y - height / 2)
        ax.add_patch(Rectangle(corner, width, height, fc=colour, ec="white", alpha=0.75, lw=0.7))
    names = zip(data["text_x"], data["text_y"], data["text"], data["points"], strict=True)
    scale = ax.get_window_extent().width / ax.figure.dpi * 72 / TILES_POINTS
    for x, y, text, points in names:
        size = scale * float(points.removesuffix("pt"))
        ax.text(x, y, text, ha="center", va="center", size=size, clip_on=True, fontweight="bold")
    ax.set_xlim(0, right or 1.0)
    ax.set_ylim(-1, 0)
    ax.set_axis_off()
