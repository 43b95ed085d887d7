"""One setting of a form: an input, what it means, and what is wrong with what was typed."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ipywidgets

from intccms.errors import InputError
from intccms.schema import Config, Correction
from intccms.widgets.draft import Draft, Setting, doubt, yaml_text

GREY = "var(--jp-ui-font-color2, #666)"

RED = "var(--jp-error-color1, #b00020)"

MANY = 40  # characters; longer values get a line of their own

MOST_ROWS = 6  # of a list

LABEL, FORM, WIDE = "18em", "38em", "calc(100% - 8px)"

_SHARED: dict[Any, Any] = {}


def shared_layout(**traits: str) -> ipywidgets.Layout:
    """Return the one layout with these traits: each is an object that the browser has to make."""
    return _shared(ipywidgets.Layout, **traits)


def close(box: Any) -> None:
    """Take a page from the kernel, but for layouts and styles, which pages share."""
    for child in getattr(box, "children", ()):
        close(child)
    box.close()


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
        self._back: Any = None
        self.input = _input(setting, setting.name if label is None else label, cell)
        self._note = ipywidgets.HTML(layout=shared_layout(margin="0"))
        if cell:
            box, layout = ipywidgets.VBox, shared_layout(width=cell)
        elif self.input.layout.width == WIDE:
            box, layout = ipywidgets.VBox, shared_layout()
            self._note.layout = shared_layout(margin=f"0 0 0 calc({LABEL} + 8px)")
        else:
            # in a narrow window the meaning goes below the input
            box = ipywidgets.HBox
            layout = shared_layout(align_items="center", flex_flow="row wrap")
            self._note.layout = shared_layout(margin="0 0 0 8px", flex="1 1 18em")
        self.row = box(layout=layout)
        self._say(setting.value)
        self.input.observe(self._changed, names="value")

    def _changed(self, change: Any) -> None:
        key, value = self._setting.key, change["new"]
        try:
            if self._setting.kind == "yaml":
                self._draft.put_text(key, value)
            else:
                self._draft.put({key: None if value in ("", ()) else value})
        except InputError as error:
            self.error = str(error).removeprefix(f"{key}: ")
            self._note.value = red(self.error)
            return
        self.error = ""
        self._say(self._draft.changes.get(key))
        self._on_change()

    def _say(self, value: Any) -> None:
        """Say what a valid value means, whether it is likely, and how to take it back."""
        key, draft = self._setting.key, self._draft
        asked = html.escape(doubt(key, value))
        self._note.value = f"<div><b>{asked}</b></div>{self._meaning}" if asked else self._meaning
        is_edited = draft.is_edited(key)
        if is_edited and self._back is None:
            self._back = ipywidgets.Button(
                description="↺", tooltip=f"Take back: {key}", layout=shared_layout(width="2.8em")
            )
            self._back.on_click(lambda _: draft.take_back(key))
        self.row.children = (self.input, *([self._back] if is_edited else []), self._note)


def _input(setting: Setting, label: str, cell: str | None) -> Any:
    """Make the widget for a kind of value."""
    is_yaml = setting.kind == "yaml" and setting.value is not None
    text = yaml_text(setting.value) if is_yaml else setting.value or ""
    common: dict[str, Any] = {
        "description": label,
        "tooltip": f"{setting.description} ({setting.wanted})",
    }
    is_long = len(str(text)) > MANY and setting.kind != "names"
    width = f"calc({cell} - 4px)" if cell else WIDE if is_long else FORM
    common["layout"] = shared_layout(width=width)
    wide = {"description_width": "0" if cell and not label else "5em" if cell else LABEL}
    if setting.kind == "switch":
        style = _shared(ipywidgets.widgets.widget_bool.CheckboxStyle, **wide)
        return ipywidgets.Checkbox(setting.value, indent=not cell, style=style, **common)
    style = _shared(ipywidgets.widgets.widget_string.TextStyle, **wide)
    if setting.kind == "colour":
        return ipywidgets.ColorPicker(value=setting.value, style=wide, **common)
    if setting.kind == "names":
        rows = min(max(len(setting.choices), 2), MOST_ROWS)  # of one row a browser makes a menu
        return ipywidgets.SelectMultiple(
            options=setting.choices, value=setting.value or (), rows=rows, style=wide, **common
        )
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


OnChange = Callable[[], None]


class Switches:
    """Check boxes for a setting that restricts the run to some names.

    Parameters
    ----------
    key
        The setting: a list of names; None: all.
    names, active
        All of them, and those that are on.
    draft, on_change
        As for `Field`.

    Attributes
    ----------
    boxes
        The check box of each name.
    message
        What is wrong, such as nothing being left.
    """

    def __init__(
        self,
        key: str,
        names: Sequence[str],
        active: Iterable[str],
        draft: Draft,
        on_change: OnChange,
    ) -> None:
        self.message = ipywidgets.HTML()
        layout = shared_layout(width="13em")
        on = set(active)
        self.boxes = {
            name: ipywidgets.Checkbox(name in on, description=name, indent=False, layout=layout)
            for name in names
        }

        def changed(_: Any) -> None:
            chosen = [name for name, box in self.boxes.items() if box.value]
            wanted = None if len(chosen) == len(names) else chosen
            _put(draft, {key: wanted}, self.message, on_change)

        for box in self.boxes.values():
            box.observe(changed, names="value")


def sources(draft: Draft, on_change: OnChange) -> Any:
    """Make the list of uncertainty sources, to be searched and switched on and off."""
    box = ipywidgets.Text(placeholder="search the sources", layout=shared_layout(width="26em"))
    count, message, listed = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.VBox()
    values = {one.key: one.value for one in draft.settings}
    groups = {
        title: {
            name: _switch(name, keys, values, draft, lambda c: _put(draft, c, message, on_change))
            for name, keys in entries.items()
        }
        for title, entries in _by_correction(draft.config).items()
    }
    shown: list[Any] = []

    def show(_: Any = None) -> None:
        words, parts = box.value.lower().split(), []
        shown.clear()
        for title, switches in groups.items():
            hits = [
                switch
                for name, switch in switches.items()
                if all(word in f"{title} {switch.tooltip}".lower() for word in words)
            ]
            if hits:
                grid = shared_layout(grid_template_columns="repeat(auto-fill, 19em)")
                parts += [ipywidgets.HTML(title), ipywidgets.GridBox(hits, layout=grid)]
            shown.extend(hits)
        count.value = f"{len(shown)} of {sum(map(len, groups.values()))} sources"
        listed.children = tuple(parts)

    box.observe(show, names="value")
    show()
    buttons = [_all(shown, on=True), _all(shown, on=False)]
    return ipywidgets.VBox([ipywidgets.HBox([box, *buttons, count]), message, listed])


def _all(shown: Sequence[Any], *, on: bool) -> ipywidgets.Button:
    """Make a button that switches all that a search has found."""
    what = "on" if on else "off"
    button = ipywidgets.Button(
        description=f"all {what}",
        tooltip=f"Switch all sources that are listed below {what}",
        layout=shared_layout(width="6em"),
    )

    def clicked(_: Any) -> None:
        for switch in shown:
            switch.value = on

    button.on_click(clicked)
    return button


def _by_correction(config: Config) -> dict[str, dict[str, list[str]]]:
    """Give the settings that switch a source, by correction and source, of all years."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in ("corrections", "systematics"):
        for year, entries in getattr(config, part).items():
            for entry in entries:
                place = ".".join([part, *([year] if year else []), entry.name])
                group = found.setdefault(_title(entry), {})
                for source in entry.uncertainty_sources:
                    key = f"{place}.uncertainty_sources.{source.name}.processes"
                    group.setdefault(source.name, []).append(key)
    return {title: group for title, group in found.items() if group}


def _title(entry: Correction) -> str:
    columns = ", ".join(f"{ref.obj}.{ref.field}" for ref in entry.target)
    shown = f"{html.escape(entry.name)}</b>: changes {html.escape(columns)}"
    return f"<b>{shown}" if columns else "<b>event weights</b>"


def _switch(
    name: str,
    keys: Sequence[str],
    values: Mapping[str, Any],
    draft: Draft,
    put: Callable[[dict[str, Any]], None],
) -> ipywidgets.Checkbox:
    """Switch a source off by letting it concern no process."""
    on = {key: draft.originals[key] or None for key in keys}
    switch = ipywidgets.Checkbox(
        any(values[key] != () for key in keys),
        description=name,
        tooltip=", ".join(key.removesuffix(".processes") for key in keys),
        indent=False,
        layout=shared_layout(width="18em"),
    )

    def changed(change: Any) -> None:
        put({key: on[key] if change["new"] else () for key in keys})

    switch.observe(changed, names="value")
    return switch


def _put(draft: Draft, changes: dict[str, Any], message: Any, on_change: OnChange) -> None:
    try:
        draft.put(changes)
    except InputError as error:
        message.value = red(str(error))
        return
    message.value = ""
    on_change()
