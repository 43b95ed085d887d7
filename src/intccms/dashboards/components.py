"""The plots of a run, in Bokeh: in the notebook, on Dask's dashboard and in the report alike.

Each has a `source`, a `root` and `update()`, as Dask's own; what it shows is computed in `columns`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.models.annotations import Span, Title

from intccms.dashboards import columns as made
from intccms.dashboards import drawing
from intccms.dashboards.columns import Columns
from intccms.dashboards.state import RunState

__all__ = ["COMPONENTS", "Component"]


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
            text=self.title, text_font_size="13px", text_font_style="bold", text_color=drawing.INK
        )
        self.root: Any = self.draw(
            {"height": drawing.HEIGHT, "sizing_mode": "stretch_width", **sizes}
        )
        drawing.dress(self.root)
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
        return drawing.over_time(self.source, "khz", drawing.BLUE, "kHz", **sizes)

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
        plot = drawing.over_time(self.source, "gbps", drawing.TEAL, "Gbit/s", **sizes)
        self.target = Span(
            dimension="width", line_color=drawing.RED, line_dash="dashed", line_width=2
        )
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
        plot = drawing.plot_of(x_axis_label="s", **sizes)
        plot.x_range.start = plot.y_range.start = 0
        plot.varea_step(
            "t", 0, "busy", source=self.source, step_mode="after", fill_color=drawing.BLUE,
            fill_alpha=0.25, legend_label="busy threads",
        )  # fmt: skip
        plot.step(
            "t", "threads", source=self.source, mode="after", color=drawing.INK, line_width=2,
            legend_label="threads",
        )  # fmt: skip
        plot.line(
            "t",
            "cores",
            source=self.source,
            color=drawing.ORANGE,
            line_width=2,
            legend_label="CPU (cores)",
        )
        return drawing.with_legend(plot)

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        return f"Workers: {data['workers'][-1]:,} with {data['threads'][-1]:,} threads"


class Memory(Component):
    """Memory of each worker, its highest and its limit."""

    name, title, columns = "memory", "Memory per worker", staticmethod(made.worker_loads)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        sizes = {"y_range": (0, 1), **sizes}
        plot = drawing.plot_of(x_axis_label="worker", y_axis_label="GB", **sizes)
        common = {"source": self.source, "width": 0.8}
        plot.vbar("x", top="peak_gb", color=drawing.PALE, legend_label="highest", **common)
        plot.vbar("x", top="memory_gb", color=drawing.BLUE, legend_label="now", **common)
        plot.scatter(
            "x",
            "limit_gb",
            marker="dash",
            source=self.source,
            size=9,
            color=drawing.RED,
            line_width=2,
        )
        return drawing.with_hover(drawing.with_legend(drawing.by_worker(plot)), drawing.WORKER)

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
        plot = drawing.plot_of(x_axis_label="worker", y_axis_label="%", **sizes)
        plot.y_range.start, plot.y_range.end = 0, 115
        plot.vbar("x", top="cpu", source=self.source, width=0.8, color=drawing.ORANGE)
        return drawing.with_hover(drawing.by_worker(plot), drawing.WORKER)

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
        plot = drawing.bars(list(made.STATES), **sizes)
        colour = {"field": "state", "transform": drawing.mapped(drawing.STATE_COLOURS)}
        common = {"height": 0.75, "source": self.source, "color": colour}
        plot.hbar("state", right=1, alpha=0.12, **common)
        plot.hbar("state", right="fraction", **common)
        plot.text("fraction", "state", text="text", source=self.source, **drawing.TEXT_LEFT)
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
        plot = drawing.bars([], **sizes)
        plot.hbar("dataset", right=1, height=0.75, source=self.source, color=drawing.PALE)
        names = ["resumed", "done", "failed"]
        plot.hbar_stack(
            names, y="dataset", height=0.75, source=self.source,
            color=[drawing.STATE_COLOURS[name] for name in names], line_color=None,
            legend_label=names,
        )  # fmt: skip
        plot.text(1, "dataset", text="text", source=self.source, **drawing.TEXT_LEFT)
        plot.x_range.start, plot.x_range.end = 0, 1.6
        plot.xaxis.visible = False
        plot.legend.visible = False
        return plot

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        drawing.set_factors(self.root, data["dataset"])
        done = sum(not one.n_left for one in state.datasets.values())
        return f"Datasets: {done} of {len(state.datasets)} finished" if done else self.title


class Failures(Component):
    """Failed chunks by class of error and host."""

    name, title, columns = "failures", "Failures", staticmethod(made.failures)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = drawing.bars([], x_range=(0, 1), **sizes)
        plot.hbar("label", right="n", height=0.6, source=self.source, color=drawing.RED, alpha=0.85)
        plot.text("n", "label", text="text", source=self.source, **drawing.TEXT_LEFT)
        plot.xaxis.visible = False
        return plot

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        drawing.set_factors(self.root, data["label"])
        self.root.x_range.end = 2.2 * max([*data["n"], 1])
        return f"Failures, chunks: {made.failed(state)}"


class Runtimes(Component):
    """How long chunks take."""

    name, title, columns = "runtimes", "Time per chunk", staticmethod(made.runtimes)

    def draw(self, sizes: dict[str, Any]) -> Any:
        """See `Component.draw`."""
        plot = drawing.plot_of(x_axis_label="s", y_axis_label="chunks", **sizes)
        plot.x_range.start = plot.y_range.start = 0
        plot.quad(
            left="left", right="right", bottom=0, top="n", source=self.source,
            color=drawing.PURPLE, line_color="white", alpha=0.8,
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
        plot = drawing.bars([], x_axis_label="s", **sizes)
        plot.hbar_stack(
            list(drawing.PART_COLOURS), y="label", height=0.7, source=self.source,
            color=list(drawing.PART_COLOURS.values()), line_color=None,
            legend_label=list(drawing.PART_NAMES),
        )  # fmt: skip
        plot.x_range.start = 0
        plot.legend.location = "bottom_right"
        return drawing.with_hover(drawing.with_legend(plot), [
            ("file", "@file"), ("entries", "@entries"), ("host", "@host"), ("tries", "@tries"),
            ("took", "@text"),
        ])  # fmt: skip

    def headline(self, data: Columns, state: RunState) -> str:
        """See `Component.headline`."""
        drawing.set_factors(self.root, data["label"])
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
