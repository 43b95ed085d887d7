"""One setting as a row of a form: a name, an input, and below it what it means or what is wrong."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets

from intccms.errors import ConfigError
from intccms.widgets.draft import Draft
from intccms.widgets.settings import Setting, yaml_text

__all__ = ["Field"]

# Shared by all rows: each layout of its own is one more object that the browser has to make.
INPUT = ipywidgets.Layout(width="34em")
ROW = ipywidgets.Layout(margin="0 0 4px 0")
STYLE = {"description_width": "15em"}


class Field:
    """An input that writes into a draft while one types.

    Parameters
    ----------
    setting
        What it edits.
    draft
        Where valid values go.
    on_change
        Called after each.
    label
        Instead of the name of the setting.

    Attributes
    ----------
    row
        The widget to show.
    error
        What is wrong with what was typed last; empty if nothing is.
    """

    def __init__(
        self,
        setting: Setting,
        draft: Draft,
        on_change: Callable[[], None],
        *,
        label: str | None = None,
    ) -> None:
        self._setting, self._draft, self._on_change = setting, draft, on_change
        self.error = ""
        self.input = _input(setting, label or setting.name)
        self._note = ipywidgets.HTML(_meaning(setting))
        self.row = ipywidgets.VBox([self.input, self._note], layout=ROW)
        self.input.observe(self._changed, names="value")

    def _changed(self, change: Any) -> None:
        key = self._setting.key
        try:
            if self._setting.kind == "text":
                self._draft.put_text(key, change["new"])
            else:
                self._draft.put({key: change["new"]})
        except ConfigError as error:
            self.error = str(error).removeprefix(f"{key}: ")
            self._note.value = f"<span style='color:#b00020'>{html.escape(self.error)}</span>"
            return
        self.error = ""
        self._note.value = _meaning(self._setting)
        self._on_change()


def _input(setting: Setting, label: str) -> Any:
    if setting.kind == "switch":
        return ipywidgets.Checkbox(
            value=setting.value, description=label, indent=True, style=STYLE, layout=INPUT
        )
    if setting.kind == "choice":
        return ipywidgets.Dropdown(
            options=list(setting.choices),
            value=setting.value,
            description=label,
            style=STYLE,
            layout=INPUT,
        )
    return ipywidgets.Text(
        value=yaml_text(setting.value),
        description=label,
        placeholder=setting.wanted,
        style=STYLE,
        layout=INPUT,
    )


def _meaning(setting: Setting) -> str:
    text = html.escape(f"{setting.description} ({setting.wanted})")
    return f"<span style='color:#666;margin-left:15.5em'>{text}</span>"
