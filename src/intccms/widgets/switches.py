"""What can be switched off: processes, channels and sources of uncertainty."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ipywidgets

from intccms.errors import InputError
from intccms.schema import Config, Correction
from intccms.widgets.draft import Draft
from intccms.widgets.fields import red, shared_layout

__all__ = ["Switches", "sources"]

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
