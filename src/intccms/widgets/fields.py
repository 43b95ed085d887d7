"""One setting of a form: an input, what it means, and what is wrong with what was typed."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets

from intccms.errors import InputError
from intccms.widgets.draft import Draft
from intccms.widgets.settings import Setting, yaml_text

__all__ = ["FORM", "LABEL", "Field", "red", "shared_layout"]

GREY = "var(--jp-ui-font-color2, #666)"
RED = "var(--jp-error-color1, #b00020)"
MANY = 40  # characters; longer values get a line of their own
LABEL, FORM, WIDE = "18em", "38em", "calc(100% - 8px)"
_SHARED: dict[Any, Any] = {}


def shared_layout(**traits: str) -> ipywidgets.Layout:
    """Return the one layout with these traits: each is an object that the browser has to make."""
    return _shared(ipywidgets.Layout, **traits)


def red(text: str) -> str:
    """Write what is wrong as HTML."""
    return f"<span style='color:{RED}'>{html.escape(text)}</span>" if text else ""


def _shared(kind: Any, **traits: str) -> Any:
    key = (kind, *sorted(traits.items()))
    if key not in _SHARED:
        _SHARED[key] = kind(**traits)
    return _SHARED[key]


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
    cell
        Width of a cell of a table, which tells its meaning when the mouse is over it; None: a
        row of a form with the meaning beside it.

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
        cell: str | None = None,
    ) -> None:
        self._setting, self._draft, self._on_change = setting, draft, on_change
        self.error = ""
        self._meaning = "" if cell else _meaning(setting)
        self.input = _input(setting, setting.name if label is None else label, cell)
        self._note = ipywidgets.HTML(self._meaning, layout=shared_layout(margin="0"))
        if cell:
            box, layout = ipywidgets.VBox, shared_layout(width=cell)
        elif self.input.layout.width == WIDE:
            box, layout = ipywidgets.VBox, shared_layout()
            self._note.layout = shared_layout(margin=f"0 0 0 calc({LABEL} + 8px)")
        else:
            box, layout = ipywidgets.HBox, shared_layout(align_items="center")
            self._note.layout = shared_layout(margin="0 0 0 8px", flex="1 1 0")
        self.row = box([self.input, self._note], layout=layout)
        self.input.observe(self._changed, names="value")

    def _changed(self, change: Any) -> None:
        key, value = self._setting.key, change["new"]
        try:
            if self._setting.kind == "yaml":
                self._draft.put_text(key, value)
            else:
                self._draft.put({key: None if value == "" else value})
        except InputError as error:
            self.error = str(error).removeprefix(f"{key}: ")
            self._note.value = red(self.error)
            return
        self.error, self._note.value = "", self._meaning
        self._on_change()


def _input(setting: Setting, label: str, cell: str | None) -> Any:
    """Make the widget for a kind of value."""
    is_yaml = setting.kind == "yaml" and setting.value is not None
    text = yaml_text(setting.value) if is_yaml else setting.value or ""
    common: dict[str, Any] = {
        "description": label,
        "tooltip": f"{setting.description} ({setting.wanted})",
    }
    width = f"calc({cell} - 4px)" if cell else WIDE if len(str(text)) > MANY else FORM
    common["layout"] = shared_layout(width=width)
    wide = {"description_width": "0" if cell and not label else "5em" if cell else LABEL}
    if setting.kind == "switch":
        style = _shared(ipywidgets.widgets.widget_bool.CheckboxStyle, **wide)
        return ipywidgets.Checkbox(setting.value, indent=not cell, style=style, **common)
    style = _shared(ipywidgets.widgets.widget_string.TextStyle, **wide)
    if setting.kind == "colour":
        return ipywidgets.ColorPicker(value=setting.value, style=wide, **common)
    if setting.kind == "choice":
        return ipywidgets.Dropdown(options=setting.choices, value=text, style=wide, **common)
    common |= {"value": text, "placeholder": setting.wanted, "style": style}
    if setting.choices:
        return ipywidgets.Combobox(options=setting.choices, ensure_option=False, **common)
    return ipywidgets.Text(**common)


def _meaning(setting: Setting) -> str:
    is_clear = setting.kind in ("switch", "choice")  # the input shows what may be given
    wanted = "" if is_clear else f" <i>({html.escape(setting.wanted)})</i>"
    return (
        f"<div style='color:{GREY};line-height:1.3'>{html.escape(setting.description)}{wanted}"
        "</div>"
    )
