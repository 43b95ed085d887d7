"""The panel as one picture, for saved notebooks and for files: the same columns, in matplotlib."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from intccms.dashboards import columns as made
from intccms.dashboards import drawing
from intccms.dashboards.state import RunState

__all__ = ["overview", "picture"]

SIZE = (11.0, 9.0)
DPI = 110
STYLE: Any = {  # settings of matplotlib
   
    "font.family": ["DejaVu Sans"], "font.size": 8.5, "axes.titlesize": 10,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlecolor": drawing.INK,
    "axes.edgecolor": drawing.AIR, "axes.labelcolor": drawing.GREY, "xtick.color": drawing.GREY,
    "ytick.color": drawing.GREY, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": drawing.PALE, "axes.axisbelow": True, "legend.frameon": False,
    "legend.fontsize": 7.5, "legend.labelcolor": drawing.GREY, "text.color": drawing.INK,
    "xtick.major.size": 0, "ytick.major.size": 0, "mathtext.default": "regular",
}  # fmt: skip


def overview(state: RunState, now: float) -> Figure:
    """Draw a run.

    Parameters
    ----------
    state
        What is known of it.
    now
        Seconds since the epoch; after its end it does not matter.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout=ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.06))
        areas: Any = figure.subfigures(5, 1, height_ratios=[0.3, 1, 1, 1.05, 1.05])
        head, *rows = areas
        _numbers(head, made.summary(state, now))
        first = rows[0].subplots(1, 2)
        _rates(first, state, now)
        second = rows[1].subplots(1, 3)
        _workers(second[0], made.worker_times(state, now))
        _loads(second[1:], made.worker_loads(state, now))
        third = rows[2].subplots(1, 2)
        _chunks(third[0], state, now)
        _datasets(third[1], made.dataset_progress(state, now))
        fourth = rows[3].subplots(1, 3)
        _failures(fourth[0], state, now)
        _runtimes(fourth[1], made.runtimes(state, now))
        _slow(fourth[2], made.slow_chunks(state, now))
    return figure


def picture(state: RunState, now: float) -> bytes:
    """Return the figure as PNG."""
    memory = io.BytesIO()
    with mpl.rc_context(STYLE):
        overview(state, now).savefig(memory, format="png", dpi=DPI, metadata={"Software": None})
    return memory.getvalue()


def _numbers(area: Any, numbers: dict[str, str]) -> None:
    widths = [max(len(text), 0.7 * len(name)) + 3 for name, text in numbers.items()]
    x = 0.012
    for (name, text), width in zip(numbers.items(), widths, strict=True):
        area.text(x, 0.78, name, fontsize=8, color=drawing.GREY)
        is_bad = name == "failed" and text != "0"
        colour = drawing.RED if is_bad else drawing.INK
        area.text(x, 0.2, text, fontsize=13, fontweight="bold", color=colour)
        x += 0.98 * width / sum(widths)


def _rates(axes: Any, state: RunState, now: float) -> None:
    data = made.rates(state, now)
    shown = (("khz", "kHz", drawing.BLUE), ("gbps", "Gbit/s", drawing.TEAL))
    for ax, (name, unit, colour), title in zip(axes, shown, ("Event", "Data"), strict=True):
        ax.fill_between(data["t"], data[name], color=colour, alpha=0.18, linewidth=0)
        ax.plot(data["t"], data[name], color=colour, linewidth=1.8)
        ax.set(title=f"{title} rate", xlabel="s", ylabel=unit)
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
    target, highest = state.target_gbps, max(data["gbps"], default=0.0)
    axes[1].set_title(f"Data rate, target {target:g} Gbit/s")
    if target < 5 * highest:
        axes[1].axhline(target, color=drawing.RED, linestyle="--")


def _workers(ax: Axes, data: dict[str, Any]) -> None:
    ax.fill_between(data["t"], data["busy"], step="post", color=drawing.BLUE, alpha=0.25,
                    linewidth=0, label="busy threads")  # fmt: skip
    ax.step(data["t"], data["threads"], where="post", color=drawing.INK, label="threads")
    ax.plot(data["t"], data["cores"], color=drawing.ORANGE, label="CPU (cores)")
    most = max(data["workers"], default=0)
    ax.set(title=f"Workers: at most {most:,}", xlabel="s")
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1.3 * max([*data["threads"], 1]))
    ax.legend(loc="upper left", ncols=3, columnspacing=0.8, handlelength=1.0)


def _loads(axes: Any, data: dict[str, Any]) -> None:
    memory, cpu = axes
    highest = max(data["peak_gb"], default=0.0)
    memory.bar(data["x"], data["peak_gb"], color=drawing.AIR, width=0.8, label="highest")
    memory.bar(data["x"], data["memory_gb"], color=drawing.BLUE, width=0.8, label="last")
    memory.set(title=f"Memory per worker: at most {highest:.3g} GB", xlabel="worker", ylabel="GB")
    memory.set_ylim(0, 1.3 * highest or 1.0)
    if data["x"]:
        memory.legend(loc="upper left", ncols=2)
    cpu.bar(data["x"], data["cpu"], color=drawing.ORANGE, width=0.8)
    cpu.set(title="CPU per thread", xlabel="worker", ylabel="%", ylim=(0, 115))
    for ax in axes:
        ax.grid(visible=False, axis="x")
        ax.xaxis.get_major_locator().set_params(integer=True)


def _bars(ax: Axes, names: list[str], texts: list[str], ends: list[float], right: float) -> None:
    ax.set_yticks(range(len(names)), labels=names)
    ax.set_ylim(max(len(names), 4) - 0.4, -0.6)
    ax.set_xlim(0, right)
    ax.grid(visible=False)
    for index, (text, end) in enumerate(zip(texts, ends, strict=True)):
        ax.annotate(text, (end, index), xytext=(4, 0), textcoords="offset points", va="center")


def _chunks(ax: Axes, state: RunState, now: float) -> None:
    data = made.chunk_states(state, now)
    colours = [drawing.STATE_COLOURS[name] for name in data["state"]]
    ax.barh(range(len(colours)), 1.0, color=colours, alpha=0.12, height=0.75)
    ax.barh(range(len(colours)), data["fraction"], color=colours, height=0.75)
    _bars(ax, data["state"], data["text"], data["fraction"], 1.25)
    ax.set(title=f"Chunks: {sum(state.chunks.values()):,} of {state.n_chunks:,}")
    ax.xaxis.set_visible(False)


def _datasets(ax: Axes, data: dict[str, Any]) -> None:
    rows = range(len(data["dataset"]))
    ax.barh(rows, 1.0, color=drawing.PALE, height=0.75)
    left = [0.0 for _ in rows]
    for name in ("resumed", "done", "failed"):
        ax.barh(rows, data[name], left=left, height=0.75, color=drawing.STATE_COLOURS[name])
        left = [one + more for one, more in zip(left, data[name], strict=True)]
    _bars(ax, data["dataset"], data["text"], [1.0 for _ in rows], 1.5)
    ax.set(title="Datasets")
    ax.xaxis.set_visible(False)


def _failures(ax: Axes, state: RunState, now: float) -> None:
    data = made.failures(state, now)
    ax.barh(range(len(data["n"])), data["n"], color=drawing.RED, alpha=0.85, height=0.6)
    _bars(ax, data["label"], data["text"], data["n"], 1.4 * max([*data["n"], 1]))
    ax.set(title=f"Failures, chunks: {made.failed(state)}")
    ax.xaxis.set_visible(False)


def _runtimes(ax: Axes, data: dict[str, Any]) -> None:
    if len(data["n"]):
        ax.stairs(data["n"], [*data["left"], data["right"][-1]], fill=True, color=drawing.PURPLE,
                  alpha=0.8)  # fmt: skip
    ax.set(title="Time per chunk", xlabel="s", ylabel="chunks")
    ax.set_xlim(left=0)


def _slow(ax: Axes, data: dict[str, Any]) -> None:
    rows = range(len(data["label"]))
    left = [0.0 for _ in rows]
    for (part, colour), name in zip(drawing.PART_COLOURS.items(), drawing.PART_NAMES, strict=True):
        ax.barh(rows, data[part], left=left, height=0.7, color=colour, label=name)
        left = [one + more for one, more in zip(left, data[part], strict=True)]
    _bars(ax, data["label"], data["text"], left, 1.7 * max(left, default=1.0) or 1.0)
    ax.set(title="Slowest chunks", xlabel="s")
    if left:
        ax.legend(loc="lower right", ncols=1, handlelength=0.8, labelspacing=0.2)
