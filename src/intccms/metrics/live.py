"""Figures in Bokeh: in the notebook, on Dask's dashboard and on pages alike."""

from __future__ import annotations

import html
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, NumeralTickFormatter
from bokeh.models.annotations import Span, Title
from bokeh.models.widgets import Div
from bokeh.plotting import figure

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
    RunPlot,
    Texts,
    Tiles,
    card_colour,
)
from intccms.metrics.state import Columns, RunState, summary

LEAST = 340  # width of a figure in pixels: in a narrow window there are fewer in a row
CARD = {"background": "#ffffff", "padding": "8px"}  # whatever the theme of the page


class Drawing:
    """A figure that follows its columns.

    Parameters
    ----------
    plot, data
        What is drawn; the columns must be there, but may be empty.
    source
        Of another figure, which updates it, for the same columns; None: one of its own.
    tools
        Of Bokeh, beside what the mouse tells.
    options
        Of `bokeh.plotting.figure`: ``sizing_mode``, ``width``, ``height``.
    """

    def __init__(
        self,
        plot: Plot,
        data: Columns,
        *,
        source: ColumnDataSource | None = None,
        tools: str = "",
        **options: Any,
    ) -> None:
        self.plot, self._is_shared = plot, source is not None
        self.source = source or ColumnDataSource(dict(data), name=plot.name)
        options = {"height": 230, "sizing_mode": "stretch_width", **options}
        if plot.names:
            options["y_range"] = FactorRange(factors=[])
        if Tiles() in plot.layers:
            ends = zip(data["x"], data["width"], strict=True)
            right = max((x + width / 2 for x, width in ends), default=1.0)
            options |= {"x_range": (0, right), "y_range": (-1, 0)}
        if plot.end is not None:
            options["x_range" if plot.names else "y_range"] = (0, plot.end)
        self.root: Any = figure(
            tools=tools, toolbar_location="above" if tools else None, x_axis_label=plot.x,
            y_axis_label=plot.y, x_axis_type="log" if plot.is_log else "linear", **options,
        )  # fmt: skip
        self.level = Span(
            dimension="width", line_color=RED, line_dash="dashed", line_width=2, visible=False
        )
        self.root.add_layout(self.level)
        for layer in plot.layers:
            self._add(layer)
        self._dress()
        self.heading = Title(
            text=plot.title, text_font_size="13px", text_font_style="bold", text_color=INK
        )
        self.root.add_layout(self.heading, "above")
        self.update(data, Frame(plot.title))

    def update(self, data: Columns, frame: Frame) -> None:
        """Show other columns."""
        if not self._is_shared:
            self.source.data = dict(data)
        if self.plot.names:
            factors = list(reversed(data[self.plot.names]))
            if self.root.y_range.factors != factors:
                self.root.y_range.factors = factors
        if frame.end is not None:
            self._values.end = frame.end
        if frame.level is not None:
            self.level.update(location=frame.level, visible=True)
        if self.heading.text != frame.title:
            self.heading.text = frame.title

    @property
    def _values(self) -> Any:
        """Range of the axis of values."""
        return self.root.x_range if self.plot.names else self.root.y_range

    def _add(self, layer: object) -> None:
        plot, source = self.root, self.source
        options: dict[str, Any]
        match layer:
            case Area(y, colour, alpha, label):
                draw = plot.varea_step if layer.is_step else plot.varea
                options = {"step_mode": "after"} if layer.is_step else {}
                draw("t", 0, y, source=source, fill_color=colour, fill_alpha=alpha,
                     **options, **_legend(label))  # fmt: skip
            case Line(y, colour, label):
                draw = plot.step if layer.is_step else plot.line
                options = {"mode": "after"} if layer.is_step else {}
                draw("t", y, source=source, color=colour, line_width=2, **options, **_legend(label))
            case Bars(parts, labels, width, alpha, edge):
                colours = list(parts.values())
                options = {
                    "source": source, "color": colours, "alpha": alpha,
                    "line_color": [edge] * len(colours), **_legend(list(labels)),
                }  # fmt: skip
                if self.plot.names:
                    plot.hbar_stack(list(parts), y=self.plot.names, height=width, **options)
                else:
                    plot.vbar_stack(list(parts), x="x", width=width, **options)
            case Texts(at):
                plot.text(at, self.plot.names, text="text", source=source, x_offset=5,
                          text_font_size="11px", text_color=INK,
                          text_baseline="middle")  # fmt: skip
            case Marks(y, colour):
                plot.scatter("x", y, marker="dash", source=source, size=9, color=colour,
                             line_width=2)  # fmt: skip
            case Tiles():
                plot.rect("x", "y", "width", "height", source=source, fill_color="colour",
                          line_color="white", fill_alpha=0.75)  # fmt: skip
                plot.text("text_x", "text_y", "text", source=source, text_align="center",
                          text_baseline="middle", text_font_style="bold",
                          text_font_size="points")  # fmt: skip

    def _dress(self) -> None:
        """Take off what distracts."""
        plot = self.root
        if self.plot.end is None and Tiles() not in self.plot.layers:
            self._values.start = 0
        if self.plot.x_from_zero:
            plot.x_range.start = 0
        plot.outline_line_color = None
        plot.min_border_right = 12
        plot.background_fill_color = plot.border_fill_color = "#ffffff"
        plot.grid.grid_line_color = None if self.plot.names else PALE
        for axis in plot.axis:
            axis.axis_line_color = axis.major_tick_line_color = AIR
            axis.minor_tick_line_color = None
            axis.major_label_text_color = axis.axis_label_text_color = GREY
            axis.major_label_text_font_size = axis.axis_label_text_font_size = "11px"
            axis.axis_label_text_font_style = "normal"
        plot.xaxis.visible = bool(self.plot.x)
        if not self.plot.names:
            plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[000]")
        if self.plot.ticks_are_numbers:
            plot.xaxis.ticker.min_interval, plot.xaxis.ticker.num_minor_ticks = 1, 0
            plot.xgrid.visible = False
        if self.plot.is_log:
            plot.xaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
        if Tiles() in self.plot.layers:
            plot.axis.visible = plot.grid.visible = False
        if plot.legend:
            _dress_legend(plot)
        if self.plot.hover:
            mode: Any = "vline" if isinstance(self.plot.layers[0], Area) else "mouse"
            plot.add_tools(HoverTool(tooltips=list(self.plot.hover), mode=mode))
        plot.toolbar.logo = None


def _legend(label: str | list[str]) -> dict[str, Any]:
    return {"legend_label": label} if label else {}


def _dress_legend(plot: Any) -> None:
    """Put a small legend above the plot; a click hides what it names."""
    legend = plot.legend
    legend.orientation, legend.click_policy = "horizontal", "hide"
    legend.label_text_font_size, legend.label_text_color = "10px", GREY
    legend.border_line_color, legend.background_fill_alpha = None, 0.0
    legend.padding = legend.margin = 0
    legend.spacing, legend.glyph_width, legend.glyph_height = 8, 12, 12
    legend.ncols = 3 if len(legend[0].items) > 6 else "auto"  # long names of datasets
    plot.add_layout(legend[0], "above")


class RunDrawing(Drawing):
    """A figure of a run that goes on."""

    def __init__(self, run_plot: RunPlot, **options: Any) -> None:
        self.run_plot = run_plot
        super().__init__(run_plot.plot, run_plot.columns(RunState(), 0.0), **options)

    def show(self, state: RunState, now: float) -> None:
        """Show the state of a run at a time."""
        data = self.run_plot.columns(state, now)
        self.update(data, self.run_plot.frame(state, data))


class Board:
    """All figures of a run, with the numbers that matter most above them."""

    def __init__(self) -> None:
        self.header = Div(name="summary", sizing_mode="stretch_width")
        self.drawings: dict[str, RunDrawing] = {}
        sources: dict[Any, ColumnDataSource] = {}  # no column is sent to the browser twice
        for name, one in RUN_PLOTS.items():
            drawing = RunDrawing(one, source=sources.get(one.columns), min_width=LEAST)
            self.drawings[name] = drawing
            sources[one.columns] = drawing.source
        rows = [
            row(
                [self.drawings[name].root for name in names], sizing_mode="stretch_width",
                styles={"flex-wrap": "wrap"},
            )
            for names in ROWS
        ]  # fmt: skip
        self.root = column([self.header, *rows], sizing_mode="stretch_width", styles=CARD)

    def show(self, state: RunState, now: float) -> None:
        """Show the state of a run at a time."""
        cells = "".join(
            "<div style='padding:4px 18px 4px 0'>"
            f"<div style='font-size:11px;color:{GREY}'>{html.escape(name)}</div>"
            f"<div style='font-size:19px;font-weight:600;color:{card_colour(name, text)};"
            f"white-space:nowrap'>{html.escape(text)}</div></div>"
            for name, text in summary(state, now).items()
        )
        self.header.text = (
            f"<div style='display:flex;flex-wrap:wrap;font-family:sans-serif'>{cells}</div>"
        )
        for drawing in self.drawings.values():
            drawing.show(state, now)
