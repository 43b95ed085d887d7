"""How the Bokeh plots look: colours, sizes, axes; nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models import CategoricalColorMapper, FactorRange, HoverTool, NumeralTickFormatter
from bokeh.plotting import figure

__all__ = [
    "BLUE",
    "HEIGHT",
    "INK",
    "ORANGE",
    "PALE",
    "PART_COLOURS",
    "PART_NAMES",
    "PURPLE",
    "RED",
    "STATE_COLOURS",
    "TEAL",
    "TEXT_LEFT",
    "WORKER",
    "bars",
    "by_worker",
    "dress",
    "mapped",
    "over_time",
    "plot_of",
    "set_factors",
    "with_hover",
    "with_legend",
]

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
