"""The plots of a run in Bokeh: in the notebook, on Dask's dashboard and in the report alike."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import (
    CategoricalColorMapper,
    ColumnDataSource,
    FactorRange,
    HoverTool,
    NumeralTickFormatter,
)
from bokeh.models.annotations import Span, Title
from bokeh.models.widgets import Div
from bokeh.plotting import figure

from intccms.metrics import state as made
from intccms.metrics.state import Columns, RunState, summary

BLUE, ORANGE, RED, PURPLE, TEAL = "#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#2a9d8f"
INK, PALE, GREY, AIR = "#3b4252", "#e8ebef", "#7b8794", "#c9d1d9"
STATE_COLOURS = {"done": TEAL, "resumed": PURPLE, "running": BLUE, "waiting": AIR, "failed": RED}
PART_COLOURS = {
    "open_s": PURPLE, "read_s": BLUE, "decompress_s": "#8ec9f5", "process_s": ORANGE,
    "fill_s": TEAL, "other_s": AIR,
}  # fmt: skip
PART_NAMES = ("open", "read", "decompress", "functions", "fill", "other")
HEIGHT = 230
TEXT_LEFT: dict[str, Any] = {
    "text_font_size": "11px", "text_color": INK, "text_baseline": "middle", "x_offset": 5,
}  # fmt: skip

WORKER = [
    ("worker", "@worker"), ("host", "@host"), ("memory", "@memory_gb{0.00} GB"),
    ("highest", "@peak_gb{0.00} GB"), ("limit", "@limit_gb{0.0} GB"),
    ("CPU per thread", "@cpu{0} %"), ("chunks", "@busy"), ("spilled", "@spilled_gb{0.00} GB"),
]  # fmt: skip


def plot_of(**sizes: Any) -> Any:
    """Return an empty figure without tools."""
    return figure(tools="", toolbar_location=None, **sizes)


def bars(factors: Sequence[str], **sizes: Any) -> Any:
    """Return a figure for horizontal bars, the first on top."""
    return plot_of(y_range=FactorRange(factors=list(reversed(factors))), **sizes)


def over_time(source: Any, column: str, colour: str, unit: str, **sizes: Any) -> Any:
    """Return a curve over time on its area."""
    plot = plot_of(x_axis_label="s", y_axis_label=unit, **sizes)
    plot.x_range.start = plot.y_range.start = 0
    plot.varea("t", 0, column, source=source, fill_color=colour, fill_alpha=0.18)
    plot.line("t", column, source=source, color=colour, line_width=2.5)
    return with_hover(plot, [("time", "@t{0.0} s"), (unit, f"@{column}{{0,0.[000]}}")], "vline")


def dress(plot: Any) -> None:
    """Take off what distracts."""
    plot.outline_line_color = None
    plot.min_border_right = 12
    plot.background_fill_color = plot.border_fill_color = "#ffffff"
    plot.grid.grid_line_color = PALE
    if isinstance(plot.y_range, FactorRange):
        plot.grid.grid_line_color = None
    else:
        plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[000]")
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = AIR
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = GREY
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "11px"
        axis.axis_label_text_font_style = "normal"


def by_worker(plot: Any) -> Any:
    """Let an axis count workers: no ticks between them."""
    plot.xaxis.ticker.min_interval = 1
    plot.xaxis.ticker.num_minor_ticks = 0
    plot.xgrid.visible = False
    return plot


def with_legend(plot: Any) -> Any:
    """Put a small legend above the plot."""
    plot.legend.orientation = "horizontal"
    plot.legend.label_text_font_size = "10px"
    plot.legend.label_text_color = GREY
    plot.legend.border_line_color = None
    plot.legend.background_fill_alpha = 0.0
    plot.legend.padding = plot.legend.margin = 0
    plot.legend.spacing, plot.legend.glyph_width, plot.legend.glyph_height = 8, 12, 12
    plot.add_layout(plot.legend[0], "above")
    return plot


def with_hover(plot: Any, rows: Sequence[tuple[str, str]], mode: Any = "mouse") -> Any:
    """Tell the numbers where the mouse is."""
    plot.add_tools(HoverTool(tooltips=list(rows), mode=mode))
    return plot


def mapped(colours: Mapping[str, str]) -> CategoricalColorMapper:
    """Give names their colours."""
    return CategoricalColorMapper(factors=list(colours), palette=list(colours.values()))


def set_factors(plot: Any, names: Sequence[Any]) -> None:
    """Name the bars, the first on top."""
    factors = list(reversed(names))
    if plot.y_range.factors != factors:
        plot.y_range.factors = factors


class Component:
    """One plot.

    Parameters
    ----------
    sizes
        Arguments of `bokeh.plotting.figure`: ``sizing_mode``, ``width``, ``height``.
    """

    name = ""  # of the route and of the source
    title = ""
    columns: Callable[[RunState, float], Columns]

    def __init__(self, **sizes: Any) -> None:
        self.source = ColumnDataSource(type(self).columns(RunState(), 0.0), name=self.name)
        self.heading = Title(
            text=self.title, text_font_size="13px", text_font_style="bold", text_color=INK
        )
        self.root: Any = self.draw({"height": HEIGHT, "sizing_mode": "stretch_width", **sizes})
        dress(self.root)
        self.root.add_layout(self.heading, "above")

    def draw(self, sizes: dict[str, Any]) -> Any:
        """Make the figure."""
        raise NotImplementedError

    def update(self, state: RunState, now: float) -> None:
        """Show the state of a run at a time."""
        data = type(self).columns(state, now)
        self.source.data = dict(data)
        text = self.headline(data, state)
        if self.heading.text != text:
            self.heading.text = text

    def headline(self, data: Columns, state: RunState) -> str:
        """Return the title, with the number that sums the plot up."""
        return self.title


class EventRate(Component):
    """Events per second over time."""

    name, title, columns = "event-rate", "Event rate", staticmethod(made.rates)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        return over_time(self.source, "khz", BLUE, "kHz", **sizes)

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        if not len(data["t"]):
            return self.title
        now = _now(state, data)
        known = made.rate_now(state, now)
        rate = f"{_mean(state)}{known[0]:,.3g} kHz" if known else ""
        return "Event rate: " + (", ".join(filter(None, (rate, made.busy(state, now)))) or "-")


class DataRate(Component):
    """Gbit per second over time, and the target."""

    name, title, columns = "data-rate", "Data rate", staticmethod(made.rates)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        sizes = {"y_range": (0, 1), **sizes}
        plot = over_time(self.source, "gbps", TEAL, "Gbit/s", **sizes)
        self.target = Span(dimension="width", line_color=RED, line_dash="dashed", line_width=2)
        plot.add_layout(self.target)
        return plot

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        target, rates = state.target_gbps, data["gbps"]
        self.target.location = target
        highest = max(rates) if len(rates) else 0.0
        # a target far above would press the curve flat: then it is named only
        top = highest or 1.0 if target > 5 * highest else max(target, highest)
        self.root.y_range.end = 1.15 * top
        known = made.rate_now(state, _now(state, data)) if len(rates) else None
        if known is None:
            return f"Data rate: target {target:g}"
        share = f"{100 * known[1] / target:.2g} % of target {target:g}"
        return f"Data rate: {_mean(state)}{known[1]:.3g} Gbit/s, {share}"


class Workers(Component):
    """Threads that are there, those that are busy, and the cores' worth of CPU they use."""

    name, title, columns = "workers", "Workers", staticmethod(made.worker_times)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = plot_of(x_axis_label="s", **sizes)
        plot.x_range.start = plot.y_range.start = 0
        plot.varea_step(
            "t", 0, "busy", source=self.source, step_mode="after", fill_color=BLUE,
            fill_alpha=0.25, legend_label="busy threads",
        )  # fmt: skip
        plot.step(
            "t", "threads", source=self.source, mode="after", color=INK, line_width=2,
            legend_label="threads",
        )  # fmt: skip
        plot.line(
            "t",
            "cores",
            source=self.source,
            color=ORANGE,
            line_width=2,
            legend_label="CPU (cores)",
        )
        return with_legend(plot)

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        return f"Workers: {data['workers'][-1]:,} with {data['threads'][-1]:,} threads"


class Memory(Component):
    """Memory of each worker, its highest and its limit."""

    name, title, columns = "memory", "Memory per worker", staticmethod(made.worker_loads)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        sizes = {"y_range": (0, 1), **sizes}
        plot = plot_of(x_axis_label="worker", y_axis_label="GB", **sizes)
        common = {"source": self.source, "width": 0.8}
        plot.vbar("x", top="peak_gb", color=PALE, legend_label="highest", **common)
        plot.vbar("x", top="memory_gb", color=BLUE, legend_label="now", **common)
        plot.scatter(
            "x",
            "limit_gb",
            marker="dash",
            source=self.source,
            size=9,
            color=RED,
            line_width=2,
        )
        return with_hover(with_legend(by_worker(plot)), WORKER)

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        if not len(data["x"]):
            return self.title
        highest, limit = max(data["peak_gb"]), max(data["limit_gb"])
        # the limit is drawn where it is near
        self.root.y_range.end = 1.2 * (limit if limit < 2 * highest else highest or 1.0)
        return f"Memory per worker: {highest:.2g} of {limit:.3g} GB"


class Cpu(Component):
    """CPU of each worker, per thread."""

    name, title, columns = "cpu", "CPU per thread", staticmethod(made.worker_loads)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = plot_of(x_axis_label="worker", y_axis_label="%", **sizes)
        plot.y_range.start, plot.y_range.end = 0, 115
        plot.vbar("x", top="cpu", source=self.source, width=0.8, color=ORANGE)
        return with_hover(by_worker(plot), WORKER)

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        cpu = data["cpu"]
        return (
            f"CPU per thread: {_mean(state)}{sum(cpu) / len(cpu):.0f} %" if len(cpu) else self.title
        )


class Chunks(Component):
    """Number of chunks in each state."""

    name, title, columns = "chunks", "Chunks", staticmethod(made.chunk_states)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = bars(list(made.STATES), **sizes)
        colour = {"field": "state", "transform": mapped(STATE_COLOURS)}
        common = {"height": 0.75, "source": self.source, "color": colour}
        plot.hbar("state", right=1, alpha=0.12, **common)
        plot.hbar("state", right="fraction", **common)
        plot.text("fraction", "state", text="text", source=self.source, **TEXT_LEFT)
        plot.x_range.start, plot.x_range.end = 0, 1.25
        plot.xaxis.visible = False
        return plot

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        known = sum(state.chunks.values())
        return f"Chunks: {known:,} of {state.n_chunks:,}" if state.n_chunks else self.title


class Datasets(Component):
    """How far each dataset has come, and the time left."""

    name, title, columns = "datasets", "Datasets", staticmethod(made.dataset_progress)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = bars([], **sizes)
        plot.hbar("dataset", right=1, height=0.75, source=self.source, color=PALE)
        names = ["resumed", "done", "failed"]
        plot.hbar_stack(
            names, y="dataset", height=0.75, source=self.source,
            color=[STATE_COLOURS[name] for name in names], line_color=None,
            legend_label=names,
        )  # fmt: skip
        plot.text(1, "dataset", text="text", source=self.source, **TEXT_LEFT)
        plot.x_range.start, plot.x_range.end = 0, 1.6
        plot.xaxis.visible = False
        plot.legend.visible = False
        return plot

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        set_factors(self.root, data["dataset"])
        done = sum(not one.n_left for one in state.datasets.values())
        return f"Datasets: {done} of {len(state.datasets)} finished" if done else self.title


class Failures(Component):
    """Failed chunks by class of error and host."""

    name, title, columns = "failures", "Failures", staticmethod(made.failures)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = bars([], x_range=(0, 1), **sizes)
        plot.hbar("label", right="n", height=0.6, source=self.source, color=RED, alpha=0.85)
        plot.text("n", "label", text="text", source=self.source, **TEXT_LEFT)
        plot.xaxis.visible = False
        return plot

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        set_factors(self.root, data["label"])
        self.root.x_range.end = 2.2 * max([*data["n"], 1])
        return f"Failures, chunks: {made.failed(state)}"


class Runtimes(Component):
    """How long chunks take."""

    name, title, columns = "runtimes", "Time per chunk", staticmethod(made.runtimes)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = plot_of(x_axis_label="s", y_axis_label="chunks", **sizes)
        plot.x_range.start = plot.y_range.start = 0
        plot.quad(
            left="left", right="right", bottom=0, top="n", source=self.source,
            color=PURPLE, line_color="white", alpha=0.8,
        )  # fmt: skip
        return plot

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        if not state.wall_s:
            return self.title
        median, tail = np.quantile(np.array(state.wall_s), [0.5, 0.95])
        return f"Time per chunk: {median:.3g} s, 95 % < {tail:.3g} s"


class SlowChunks(Component):
    """Where the time of the slowest chunks went."""

    name, title, columns = "slow-chunks", "Slowest chunks", staticmethod(made.slow_chunks)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = bars([], x_axis_label="s", **sizes)
        plot.hbar_stack(
            list(PART_COLOURS), y="label", height=0.7, source=self.source,
            color=list(PART_COLOURS.values()), line_color=None,
            legend_label=list(PART_NAMES),
        )  # fmt: skip
        plot.x_range.start = 0
        plot.legend.location = "bottom_right"
        return with_hover(with_legend(plot), [
            ("file", "@file"), ("entries", "@entries"), ("host", "@host"), ("tries", "@tries"),
            ("took", "@text"),
        ])  # fmt: skip

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        set_factors(self.root, data["label"])
        return self.title


def _now(state: RunState, data: Columns) -> float:
    """Return the time of the last point of a curve."""
    return (state.started or 0.0) + float(data["t"][-1])


def _mean(state: RunState) -> str:
    """Say that a number is an average, as it is after the run."""
    return "average " if state.ended is not None else ""


COMPONENTS: tuple[type[Component], ...] = (
    EventRate, DataRate, Workers, Memory, Cpu, Chunks, Datasets, Failures, Runtimes, SlowChunks,
)  # fmt: skip


ROWS = (("event-rate", "data-rate"), ("workers", "memory", "cpu"), ("chunks", "datasets"),
        ("failures", "runtimes", "slow-chunks"))  # fmt: skip


class Board:
    """All components, with the numbers that matter most above them."""

    def __init__(self) -> None:
        self.header = Div(name="summary", sizing_mode="stretch_width")
        self.components: dict[str, Component] = {kind.name: kind() for kind in COMPONENTS}
        rows = [
            row([self.components[name].root for name in names], sizing_mode="stretch_width")
            for names in ROWS
        ]
        self.root = column([self.header, *rows], sizing_mode="stretch_width")

    def update(self, state: RunState, now: float) -> None:
        """Show the state of a run."""
        self.header.text = _cards(summary(state, now))
        for component in self.components.values():
            component.update(state, now)


def _cards(numbers: Mapping[str, str]) -> str:
    cells = "".join(
        "<div style='padding:4px 18px 4px 0'>"
        f"<div style='font-size:11px;color:#7b8794'>{html.escape(name)}</div>"
        f"<div style='font-size:20px;font-weight:600;color:{_colour(name, text)};"
        f"white-space:nowrap'>{html.escape(text)}</div></div>"
        for name, text in numbers.items()
    )
    return f"<div style='display:flex;flex-wrap:wrap;font-family:sans-serif'>{cells}</div>"


def _colour(name: str, text: str) -> str:
    return "#bd1f01" if name == "failed" and text != "0" else "#2e3440"
