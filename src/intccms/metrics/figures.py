"""The figures of a run, each defined once: `live` draws them in Bokeh, `still` in matplotlib.

A figure is a `Plot`: layers that name columns. The columns are computed in `state`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from intccms.metrics import state as columns
from intccms.metrics.state import Columns, RunState

BLUE, ORANGE, RED, PURPLE, TEAL = "#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#2a9d8f"
INK, PALE, GREY, AIR = "#3b4252", "#e8ebef", "#7b8794", "#c9d1d9"
STATE_COLOURS = {"done": TEAL, "resumed": PURPLE, "running": BLUE, "waiting": AIR, "failed": RED}
PART_COLOURS = {
    "open_s": PURPLE, "read_s": BLUE, "decompress_s": "#8ec9f5", "process_s": ORANGE,
    "fill_s": TEAL, "other_s": AIR,
}  # fmt: skip
PART_NAMES = ("open", "read", "decompress", "functions", "fill", "other")


@dataclass(frozen=True)
class Area:
    """The area below a curve over the column ``t``."""

    y: str
    colour: str
    alpha: float = 0.18
    label: str = ""
    is_step: bool = False


@dataclass(frozen=True)
class Line:
    """A curve over the column ``t``."""

    y: str
    colour: str
    label: str = ""
    is_step: bool = False


@dataclass(frozen=True)
class Bars:
    """Stacked bars, one for each row of the columns: horizontal beside names, else at ``x``.

    Parameters
    ----------
    parts
        Columns, with their colours; a colour that is no ``#rrggbb`` is a column of colours.
    labels
        Of the parts in the legend; none: they are not in it.
    width
        Of a bar, or the name of the column that has it.
    """

    parts: Mapping[str, str]
    labels: tuple[str, ...] = ()
    width: float | str = 0.75
    alpha: float = 1.0
    edge: str | None = None


@dataclass(frozen=True)
class Texts:
    """The column ``text``, to the right of the bars that end at the column `at`."""

    at: str


@dataclass(frozen=True)
class Marks:
    """Short dashes at ``x``."""

    y: str
    colour: str


@dataclass(frozen=True)
class Tiles:
    """Rectangles (``x``, ``y``, ``width``, ``height``, ``colour``) and names upon them.

    The names are ``text`` at ``text_x``, ``text_y``, in the font size ``points`` if the figure is
    375 points wide.
    """


Layer = Area | Line | Bars | Texts | Marks | Tiles


class Frame(NamedTuple):
    """What changes with the columns: title, end of the axis of values, a level to compare with."""

    title: str
    end: float | None = None
    level: float | None = None


@dataclass(frozen=True)
class Plot:
    """One figure.

    Parameters
    ----------
    name, title
        Of its source and route; above it.
    layers
        What is drawn, from below to above.
    x, y
        Labels of the axes; an axis of values without a label beside names is not drawn.
    names
        The column with the names of horizontal bars, the first on top.
    end
        Of the axis of values, which begins at 0; None: by what is drawn.
    hover
        What the mouse tells, as Bokeh writes it.
    ticks_are_numbers, x_from_zero
        Whether ``x`` counts, e.g. workers; whether its axis begins at 0.
    is_log
        Whether the horizontal axis is logarithmic.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    x: str = ""
    y: str = ""
    names: str = ""
    end: float | None = None
    hover: tuple[tuple[str, str], ...] = ()
    ticks_are_numbers: bool = False
    x_from_zero: bool = False
    is_log: bool = False


@dataclass(frozen=True)
class RunPlot:
    """A figure of a run, and what it shows of a state at a time."""

    plot: Plot
    columns: Callable[[RunState, float], Columns]
    frame: Callable[[RunState, Columns], Frame]


def _last(state: RunState, data: Columns) -> float:
    """Time of the last point of a curve."""
    return (state.started or 0.0) + float(data["t"][-1])


def _average(state: RunState) -> str:
    return "average " if state.ended is not None else ""  # as all numbers are after the run


def _event_rate(state: RunState, data: Columns) -> Frame:
    if not len(data["t"]):
        return Frame("Event rate")
    now = _last(state, data)
    known = columns.rate_now(state, now)
    rate = f"{_average(state)}{known[0]:,.3g} kHz" if known else ""
    return Frame(
        "Event rate: " + (", ".join(filter(None, (rate, columns.busy(state, now)))) or "-")
    )


def _data_rate(state: RunState, data: Columns) -> Frame:
    target, rates = state.target_gbps, data["gbps"]
    highest = float(max(rates)) if len(rates) else 0.0
    # a target far above would press the curve flat: then it is named only
    end = 1.15 * (highest or 1.0 if target > 5 * highest else max(target, highest))
    known = columns.rate_now(state, _last(state, data)) if len(rates) else None
    if known is None:
        return Frame(f"Data rate: target {target:g}", end, target)
    share = f"{100 * known[1] / target:.2g} % of target {target:g}"
    return Frame(f"Data rate: {_average(state)}{known[1]:.3g} Gbit/s, {share}", end, target)


def _memory(state: RunState, data: Columns) -> Frame:
    if not len(data["x"]):
        return Frame("Memory per worker")
    highest, limit = max(data["peak_gb"]), max(data["limit_gb"])
    # the limit is drawn where it is near
    end = 1.2 * (limit if limit < 2 * highest else highest or 1.0)
    return Frame(f"Memory per worker: {highest:.2g} of {limit:.3g} GB", end)


def _cpu(state: RunState, data: Columns) -> Frame:
    cpu = data["cpu"]
    mean = f": {_average(state)}{sum(cpu) / len(cpu):.0f} %" if len(cpu) else ""
    return Frame(f"CPU per thread{mean}")


def _chunks(state: RunState, data: Columns) -> Frame:
    known = f": {sum(state.chunks.values()):,} of {state.n_chunks:,}" if state.n_chunks else ""
    return Frame(f"Chunks{known}")


def _datasets(state: RunState, data: Columns) -> Frame:
    done = sum(not one.n_left for one in state.datasets.values())
    return Frame("Datasets" + (f": {done} of {len(state.datasets)} finished" if done else ""))


def _runtimes(state: RunState, data: Columns) -> Frame:
    if not state.wall_s:
        return Frame("Time per chunk")
    median, tail = np.quantile(np.array(state.wall_s), [0.5, 0.95])
    return Frame(f"Time per chunk: {median:.3g} s, 95 % < {tail:.3g} s")


_WORKER = (
    ("worker", "@worker"), ("host", "@host"), ("memory", "@memory_gb{0.00} GB"),
    ("highest", "@peak_gb{0.00} GB"), ("limit", "@limit_gb{0.0} GB"),
    ("CPU per thread", "@cpu{0} %"), ("chunks", "@busy"), ("spilled", "@spilled_gb{0.00} GB"),
)  # fmt: skip
_DATASET_PARTS = {name: STATE_COLOURS[name] for name in ("resumed", "done", "failed")}

RUN_PLOTS: Mapping[str, RunPlot] = {one.plot.name: one for one in (
    RunPlot(
        Plot("event-rate", "Event rate", (Area("khz", BLUE), Line("khz", BLUE)), "s", "kHz",
             hover=(("time", "@t{0.0} s"), ("kHz", "@khz{0,0.[000]}")), x_from_zero=True),
        columns.rates, _event_rate,
    ),
    RunPlot(
        Plot("data-rate", "Data rate", (Area("gbps", TEAL), Line("gbps", TEAL)), "s", "Gbit/s",
             end=1.0, hover=(("time", "@t{0.0} s"), ("Gbit/s", "@gbps{0,0.[000]}")),
             x_from_zero=True),
        columns.rates, _data_rate,
    ),
    RunPlot(
        Plot("workers", "Workers", (
            Area("busy", BLUE, 0.25, "busy threads", is_step=True),
            Line("threads", INK, "threads", is_step=True),
            Line("cores", ORANGE, "CPU (cores)"),
        ), "s", x_from_zero=True),
        columns.worker_times,
        lambda state, data: Frame(
            f"Workers: {data['workers'][-1]:,} with {data['threads'][-1]:,} threads"
        ),
    ),
    RunPlot(
        Plot("memory", "Memory per worker", (
            Bars({"peak_gb": PALE}, ("highest",), 0.8), Bars({"memory_gb": BLUE}, ("now",), 0.8),
            Marks("limit_gb", RED),
        ), "worker", "GB", end=1.0, hover=_WORKER, ticks_are_numbers=True),
        columns.worker_loads, _memory,
    ),
    RunPlot(
        Plot("cpu", "CPU per thread", (Bars({"cpu": ORANGE}, width=0.8),), "worker", "%",
             end=115.0, hover=_WORKER, ticks_are_numbers=True),
        columns.worker_loads, _cpu,
    ),
    RunPlot(
        Plot("chunks", "Chunks", (
            Bars({"all": "colour"}, alpha=0.12), Bars({"fraction": "colour"}), Texts("fraction"),
        ), names="state", end=1.25),
        lambda state, now: columns.chunk_states(state, now)
        | {"colour": list(STATE_COLOURS.values())},
        _chunks,
    ),
    RunPlot(
        Plot("datasets", "Datasets", (
            Bars({"all": PALE}), Bars(_DATASET_PARTS), Texts("all"),
        ), names="dataset", end=1.6),
        columns.dataset_progress, _datasets,
    ),
    RunPlot(
        Plot("failures", "Failures", (Bars({"n": RED}, width=0.6, alpha=0.85), Texts("n")),
             names="label", end=1.0),
        columns.failures,
        lambda state, data: Frame(
            f"Failures, chunks: {columns.failed(state)}", 2.2 * max([*data["n"], 1])
        ),
    ),
    RunPlot(
        Plot("runtimes", "Time per chunk",
             (Bars({"n": PURPLE}, width="width", alpha=0.8, edge="white"),), "s", "chunks",
             x_from_zero=True),
        columns.runtimes, _runtimes,
    ),
    RunPlot(
        Plot("slow-chunks", "Slowest chunks", (Bars(PART_COLOURS, PART_NAMES, 0.7),), "s",
             names="label", hover=(
                 ("file", "@file"), ("entries", "@entries"), ("host", "@host"),
                 ("tries", "@tries"), ("took", "@text"),
             )),
        columns.slow_chunks, lambda state, data: Frame("Slowest chunks"),
    ),
)}  # fmt: skip
# How they stand on the live board and in the saved picture.
ROWS = (("event-rate", "data-rate"), ("workers", "memory", "cpu"), ("chunks", "datasets"),
        ("failures", "runtimes", "slow-chunks"))  # fmt: skip


def card_colour(name: str, text: str) -> str:
    """Colour of one of the numbers of `state.summary`: red where something failed."""
    return RED if name == "failed" and text != "0" else INK
