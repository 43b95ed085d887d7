"""The pages of the configuration editor: which settings stand where, and in what form."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets

from intccms.errors import ConfigError
from intccms.widgets.binning import BinningEditor, saved_book
from intccms.widgets.draft import Draft
from intccms.widgets.fields import Field
from intccms.widgets.settings import Setting, yaml_text

__all__ = ["Page", "channels", "colours", "datasets", "form", "search", "sources"]

Page = Callable[[Draft, Callable[[], None]], Any]
MAX_FOUND = 40  # rows that a search shows
NARROW = ipywidgets.Layout(width="7em")
MIDDLE = ipywidgets.Layout(width="16em")
WIDE = ipywidgets.Layout(width="26em")


def form(*keys: str, without: Iterable[str] = ()) -> Page:
    """Make a page of the settings whose keys begin like `keys`."""
    excluded = tuple(without)

    def page(draft: Draft, on_change: Callable[[], None]) -> Any:
        chosen = [
            one
            for one in draft.settings
            if one.key.startswith(keys) and not one.key.startswith(excluded or ("\0",))
        ]
        begin = len(keys[0].split(".")[0]) + 1
        rows = [Field(one, draft, on_change, label=one.key[begin:]).row for one in chosen]
        return ipywidgets.VBox(rows)

    return page


def search(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make a page that finds any setting by words of its key or its meaning."""
    box = ipywidgets.Text(placeholder="words of a key or a description", layout=WIDE)
    found = ipywidgets.VBox([])
    count = ipywidgets.HTML("")

    def show(_: Any = None) -> None:
        words = box.value.lower().split()
        hits = [
            one
            for one in draft.settings
            if words and all(word in f"{one.key} {one.description}".lower() for word in words)
        ]
        count.value = f"{len(hits)} settings" if words else ""
        rows = (Field(one, draft, on_change, label=one.key) for one in hits[:MAX_FOUND])
        found.children = tuple(field.row for field in rows)

    box.observe(show, names="value")
    return ipywidgets.VBox([ipywidgets.HBox([box, count]), found])


def datasets(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make the table of processes: which take part, from where, of which year."""
    processes = list(draft.config.datasets.datasets)
    active = set(draft.config.processes)
    switches = {
        one.name: ipywidgets.Checkbox(
            value=one.name in active, description=one.name, indent=False, layout=MIDDLE
        )
        for one in processes
    }
    message = ipywidgets.HTML("")

    def switched(_: Any) -> None:
        on = [name for name, box in switches.items() if box.value]
        wanted = None if len(on) == len(switches) else on
        _put(draft, {"general.processes": wanted}, message, on_change)

    for box in switches.values():
        box.observe(switched, names="value")
    table = {one.key: one for one in draft.settings}
    rows = [
        ipywidgets.HBox([
            switches[one.name],
            *(
                _cell(table[f"datasets.datasets.{one.name}.{name}"], draft, message, on_change)
                for name in ("years", "redirector", "cross_sections")
            ),
        ])
        for one in processes
    ]  # fmt: skip
    head = ipywidgets.HTML("<b>process · years · redirector · cross section [pb]</b>")
    limit = Field(table["datasets.max_files"], draft, on_change).row
    return ipywidgets.VBox([head, *rows, message, limit])


def _cell(setting: Setting, draft: Draft, message: Any, on_change: Callable[[], None]) -> Any:
    cell = ipywidgets.Text(
        value=yaml_text(setting.value), layout=MIDDLE, tooltip=setting.description
    )

    def changed(change: Any) -> None:
        try:
            draft.put_text(setting.key, change["new"])
        except ConfigError as error:
            message.value = _red(str(error))
            return
        message.value = ""
        on_change()

    cell.observe(changed, names="value")
    return cell


def sources(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make the list of uncertainty sources, to be searched and switched on and off."""
    box = ipywidgets.Text(placeholder="search", layout=WIDE)
    message = ipywidgets.HTML("")
    keys = [
        one.key
        for one in draft.settings
        if ".uncertainty_sources." in one.key and one.name == "processes"
    ]
    switches = {key: _source_switch(key, draft, message, on_change) for key in keys}

    def show(_: Any = None) -> None:
        words = box.value.lower().split()
        for key, switch in switches.items():
            is_found = all(word in key.lower() for word in words)
            switch.layout.display = "flex" if is_found else "none"

    box.observe(show, names="value")
    return ipywidgets.VBox([box, message, *switches.values()])


def _source_switch(
    key: str, draft: Draft, message: Any, on_change: Callable[[], None]
) -> ipywidgets.Checkbox:
    """Switch a source off by letting it concern no process."""
    before = next(one.value for one in draft.settings if one.key == key)
    correction, _, rest = key.partition(".uncertainty_sources.")
    name = rest.removesuffix(".processes")
    label = f"{name}  ({correction.partition('.')[2]})"
    switch = ipywidgets.Checkbox(
        value=before != (), description=label, indent=False, layout=ipywidgets.Layout(width="40em")
    )
    on = None if before == () else before

    def changed(change: Any) -> None:
        value = (None if on is None else list(on)) if change["new"] else []
        _put(draft, {key: value}, message, on_change)

    switch.observe(changed, names="value")
    return switch


def channels(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make the page of channels and observables, each with an editor of its binning."""
    parts: list[Any] = []
    table, book = {one.key: one for one in draft.settings}, saved_book(draft)
    for channel in draft.config.channels:
        parts.append(ipywidgets.HTML(f"<b>{channel.name}</b>"))
        place = f"channels.{channel.name}"
        parts.append(Field(table[f"{place}.fit_observable"], draft, on_change).row)
        for observable in channel.observables:
            key = f"{place}.observables.{observable.name}"
            parts.append(Field(table[f"{key}.label"], draft, on_change, label=observable.name).row)
            editor = BinningEditor(
                table[f"{key}.binning"],
                draft,
                on_change,
                where=(channel.name, observable.name),
                book=book,
            )
            parts.append(editor.box)
    return ipywidgets.VBox(parts)


def colours(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make the page of the look: colour and label of each process, and their order."""
    message = ipywidgets.HTML("")
    rows = []
    for name in draft.config.datasets.processes:
        colour = ipywidgets.ColorPicker(
            value=draft.config.plotting.process_colors.get(name, "#888888"),
            description=name,
            style={"description_width": "11em"},
            layout=WIDE,
        )
        label = ipywidgets.Text(
            value=draft.config.plotting.process_labels.get(name, name), layout=WIDE
        )
        for widget, table in ((colour, "process_colors"), (label, "process_labels")):

            def changed(change: Any, *, table: str = table, name: str = name) -> None:
                now = dict(getattr(draft.config.plotting, table))
                value = {**now, name: change["new"]}
                _put(draft, {f"plotting.{table}": value}, message, on_change)

            widget.observe(changed, names="value")
        rows.append(ipywidgets.HBox([colour, label]))
    order = next(one for one in draft.settings if one.key == "plotting.process_order")
    return ipywidgets.VBox([*rows, message, Field(order, draft, on_change).row])


def _put(
    draft: Draft, changes: dict[str, Any], message: Any, on_change: Callable[[], None]
) -> None:
    try:
        draft.put(changes)
    except ConfigError as error:
        message.value = _red(str(error))
        return
    message.value = ""
    on_change()


def _red(text: str) -> str:
    return f"<span style='color:#b00020'>{html.escape(text)}</span>"
