"""All plots of a run on one board, with the numbers that matter most above them."""

from __future__ import annotations

import html
from collections.abc import Mapping

from bokeh.layouts import column, row
from bokeh.models.widgets import Div

from intccms.dashboards.columns import summary
from intccms.dashboards.components import COMPONENTS, Component
from intccms.dashboards.state import RunState

__all__ = ["Board"]

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
