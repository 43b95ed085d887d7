"""The pages of the configuration editor: which settings stand where, and in what form."""

from __future__ import annotations

import html
import inspect
import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import ipywidgets

from intccms import facility
from intccms.errors import InputError
from intccms.metrics.tables import Table
from intccms.schema import Config
from intccms.widgets.draft import Draft, Setting
from intccms.widgets.explorer import BinningEditor, saved_book
from intccms.widgets.fields import FORM, LABEL, Field, Switches, close, red, shared_layout, sources

Page = Callable[[Draft, Callable[[], None]], Any]

MAX_FOUND = 40  # rows that a search shows

CELLS = {"years": "7em", "redirector": "17em", "cross_sections": "11em"}

HEADS = {"years": "year", "redirector": "redirector", "cross_sections": "cross section [pb]"}

NAME = "13em"

ACROSS = "row wrap"


def form(*keys: str, without: Iterable[str] = ()) -> Page:
    """Make a page of the settings whose keys begin like `keys`."""
    excluded = tuple(without)

    def page(draft: Draft, on_change: Callable[[], None]) -> Any:
        chosen = [
            replace(one, choices=facility.known()) if one.key == "general.facility" else one
            for one in draft.settings
            if one.key.startswith(keys) and not one.key.startswith(excluded or ("\0",))
        ]
        begin = len(keys[0].split(".")[0]) + 1
        rows = [Field(one, draft, on_change, label=one.key[begin:]).row for one in chosen]
        return ipywidgets.VBox(rows)

    return page


def search(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make a page that finds any setting by words of its key or its meaning."""
    box = ipywidgets.Text(
        placeholder="words of a key or a description", layout=shared_layout(width=FORM)
    )
    found, count = ipywidgets.VBox([]), ipywidgets.HTML("")
    table = {one.key: one for one in draft.settings}
    made: dict[str, Any] = {}

    def show(_: Any = None) -> None:
        words = box.value.lower().split()
        hits = [
            one
            for one in table.values()
            if words and all(word in f"{one.key} {one.description}".lower() for word in words)
        ]
        count.value = f"{len(hits)} settings" if words else f"of {len(table)} settings"
        for one in hits[:MAX_FOUND]:
            made[one.key] = made.get(one.key) or _found(one, draft, on_change)
        found.children = tuple(made[one.key] for one in hits[:MAX_FOUND])

    box.observe(show, names="value")
    show()
    return ipywidgets.VBox([ipywidgets.HBox([box, count]), found])


def _found(setting: Setting, draft: Draft, on_change: Callable[[], None]) -> Any:
    key = ipywidgets.HTML(f"<code>{html.escape(setting.key)}</code>")
    return ipywidgets.VBox([key, Field(setting, draft, on_change).row])


def datasets(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make the table of processes: which take part, from where, of which year."""
    processes = draft.config.datasets.datasets
    table = {one.key: one for one in draft.settings}
    names = [one.name for one in processes]
    switches = Switches("general.processes", names, draft.config.processes, draft, on_change)
    rows = []
    for one in processes:
        cells = [
            Field(_alone(table[f"datasets.datasets.{one.name}.{key}"]), draft, on_change,
                  label="", cell=width).row
            for key, width in CELLS.items()
            if not (one.is_data and key == "cross_sections")
        ]  # fmt: skip
        rows.append(ipywidgets.HBox([switches.boxes[one.name], *cells]))
    heads = {"process": NAME, **{HEADS[key]: width for key, width in CELLS.items()}}
    head = ipywidgets.HBox([
        ipywidgets.HTML(f"<b>{text}</b>", layout=shared_layout(width=width))
        for text, width in heads.items()
    ])  # fmt: skip
    limit = Field(table["datasets.max_files"], draft, on_change).row
    return ipywidgets.VBox([head, *rows, switches.message, limit])


def _alone(setting: Setting) -> Setting:
    """Show what is the same for all directories without its list."""
    value: tuple[Any, ...] = setting.value
    is_alike = value[1:] == value[:-1]
    shown = (value[0] if value else None) if is_alike else value
    return replace(setting, value=shown, wanted="none" if shown is None else setting.wanted)


def channels(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make the page of channels and observables, each with an editor of its binning."""
    table, book = {one.key: one for one in draft.settings}, saved_book(draft)
    names = [one.name for one in draft.config.channels]
    active = [one.name for one in draft.config.active_channels]
    switches = Switches("general.channels", names, active, draft, on_change)
    parts: list[Any] = [switches.message]
    for channel in draft.config.channels:
        place = f"channels.{channel.name}"
        known = tuple(one.name for one in channel.observables)
        fitted = Field(table[f"{place}.fit_observable"], draft, on_change)
        parts += [switches.boxes[channel.name], fitted.row]
        for name in known:
            key = f"{place}.observables.{name}"
            label = Field(table[f"{key}.label"], draft, on_change, label="label", cell="32em").row
            editor = BinningEditor(
                table[f"{key}.binning"], draft, on_change, where=(channel.name, name), book=book
            )
            title = ipywidgets.HTML(f"<b>{html.escape(name)}</b>")
            left = ipywidgets.VBox([title, label, editor.field.row])
            layout = shared_layout(flex_flow=ACROSS, margin="0 0 8px 0")
            parts.append(ipywidgets.HBox([left, editor.preview], layout=layout))
    return ipywidgets.VBox(parts)


def objects_and_cuts(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make the page of the thresholds: keyword-only arguments of the functions of the user."""
    rows: list[Any] = []
    for place, group in groupby(
        (one for one in draft.settings if one.function), lambda one: one.key.rpartition(".")[0]
    ):
        settings = list(group)
        function: Any = settings[0].function
        told = (inspect.getdoc(function) or "").partition("\n")[0]
        name = getattr(function, "__name__", type(function).__name__)
        heading = (
            f"<b>{html.escape(place)}</b>: {html.escape(told)} <code>{html.escape(name)}</code>"
        )
        rows.append(ipywidgets.HTML(heading))
        rows += [Field(one, draft, on_change).row for one in settings]
    hint = "A keyword-only argument of a function, <code>*, met_min=50.0</code>, is a setting here."
    return ipywidgets.VBox([*rows, ipywidgets.HTML(hint)])


def colours(draft: Draft, on_change: Callable[[], None]) -> Any:
    """Make the page of the look: colour and label of each process, and their order."""
    plotting = draft.config.plotting
    rows = []
    for name in draft.config.datasets.processes:
        colour = Setting(
            f"plotting.process_colors.{name}", "colour",
            plotting.process_colors.get(name, "#888888"), "Colour", "#rrggbb",
        )  # fmt: skip
        label = Setting(
            f"plotting.process_labels.{name}", "words",
            plotting.process_labels.get(name, name), "Label in legends", "text, LaTeX allowed",
        )  # fmt: skip
        shown = ipywidgets.HTMLMath(label.value, layout=shared_layout(width="16em"))
        field = Field(label, draft, on_change, label="", cell="20em")
        ipywidgets.dlink((field.input, "value"), (shown, "value"), html.escape)
        title = ipywidgets.HTML(html.escape(name), layout=shared_layout(width=NAME))
        picker = Field(colour, draft, on_change, label="", cell="9em")
        rows.append(ipywidgets.HBox([title, picker.row, field.row, shown]))
    order = next(one for one in draft.settings if one.key == "plotting.process_order")
    return ipywidgets.VBox([*rows, Field(order, draft, on_change).row])


WHERE = ("general.executor", "general.facility", "general.n_workers", "general.chunk_size")

TOOLTIPS = {
    "save": "Write the changes to the file",
    "load": "Replace the changes by those of the file",
    "undo": "Take the last change back",
    "reset": "Take all changes of this form back",
}

PAGES: dict[str, Page] = {
    "General": form("general.", without=("general.metrics", *WHERE)),
    "Datasets": datasets,
    "Objects and cuts": objects_and_cuts,
    "Channels": channels,
    "Systematics": sources,
    "Skimming": form("preprocess."),
    "Statistics": form("statistics.", "mva."),
    "Plotting": colours,
    "Facility": form(*WHERE, "general.metrics"),
    "Search": search,
}

FORMS = ("command line", "cell of a notebook", "papermill")  # that the changes are copied in

# Titles as wide as their texts, in a second row where the window is narrow.
TITLES = """<style>.intccms-pages{--jp-widgets-horizontal-tab-width:auto}
.intccms-pages > .widget-tab-bar .lm-TabBar-content{flex-wrap:wrap}
.intccms-pages > .widget-tab-bar .lm-TabBar-tab{flex-shrink:0;min-width:0}</style>"""

# Read-only text can be selected and copied by keyboard, which a disabled widget cannot.
COPY = """<div style="display:flex;gap:6px;align-items:flex-start;margin:2px 0">
<label style="width:18em;margin-right:6px"></label>
<textarea readonly rows="2" aria-label="{title}" style="flex:1;max-width:60em;resize:vertical;
field-sizing:content;max-height:8em;font-family:var(--jp-code-font-family,monospace);font-size:12px">{text}</textarea>
<button class="jupyter-button" style="width:6em" title="Copy to the clipboard" onclick="
this.previousElementSibling.select();document.execCommand('copy')">Copy</button></div>"""


class ConfigEditor:
    """A form for a configuration; the last expression of a cell shows it.

    Parameters
    ----------
    source
        ``"module:name"``, a dict or a configuration; it is not changed.
    overrides
        Settings that differ from it from the start.

    Examples
    --------
    >>> editor = ConfigEditor("example_opendata.configs.configuration:config")
    >>> editor.draft.put_text("datasets.max_files", "1").datasets.max_files
    1
    >>> editor.overrides
    ['datasets.max_files=1']
    """

    def __init__(self, source: Any, overrides: Sequence[str] | Mapping[str, Any] = ()) -> None:
        self.draft = Draft(source, overrides)
        self.draft.on_replaced = self._renew
        self._tabs = ipywidgets.Tab(children=[ipywidgets.VBox([]) for _ in PAGES])
        for index, title in enumerate(PAGES):
            self._tabs.set_title(index, title)
        self._tabs.add_class("intccms-pages")
        self._status, self._copies = ipywidgets.HTML(), ipywidgets.HTML()
        wide: Any = {"style": {"description_width": LABEL}, "layout": shared_layout(width=FORM)}
        self._form = ipywidgets.Dropdown(options=FORMS, description="copy for", **wide)
        self._form.observe(lambda _: self._show(), names="value")
        self._path = ipywidgets.Text("overrides.yaml", description="file of overrides", **wide)
        buttons = []
        for what in TOOLTIPS:
            button = ipywidgets.Button(description=what.title(), tooltip=TOOLTIPS[what])
            button.on_click(lambda _, what=what: self._act(what))
            buttons.append(button)
        below = ipywidgets.HBox([self._path, *buttons, ipywidgets.HTML(TITLES)])
        self.box = ipywidgets.VBox([self._tabs, self._status, self._form, self._copies, below])
        self._stale: set[int] = set()
        self._tabs.observe(lambda _: self._build(), names="selected_index")
        self._tabs.selected_index = 0
        self._build()
        self._show()

    @property
    def config(self) -> Config:
        """The edited configuration, validated."""
        return self.draft.config

    @property
    def overrides(self) -> list[str]:
        """The changes, as the command line and the parameter ``overrides`` take them."""
        return self.draft.overrides()

    def diff(self) -> Table:
        """List what differs from the file."""
        return self.draft.diff()

    def _build(self) -> None:
        """Make the page that is open, if it is not there or something was changed elsewhere."""
        index = self._tabs.selected_index or 0
        page = self._tabs.children[index]  # stays, so that the keyboard's focus stays
        if page.children and index not in self._stale:
            return
        before = page.children
        page.children = (list(PAGES.values())[index](self.draft, self._changed),)
        self._stale.discard(index)
        for child in before:
            close(child)

    def _changed(self) -> None:
        self._stale = set(range(len(PAGES))) - {self._tabs.selected_index}
        self._show()

    def _show(self) -> None:
        changes = self.overrides
        many = "setting differs" if len(changes) == 1 else "settings differ"
        self._status.value = f"{len(changes)} {many} from the file"
        parameters = json.dumps({"overrides": changes}, ensure_ascii=False)  # which is YAML
        texts = (
            shlex.join(changes), f"overrides = {changes!r}", f"-y {shlex.quote(parameters)}"
        )  # fmt: skip
        text = html.escape(texts[self._form.index])
        self._copies.value = COPY.format(title=self._form.value, text=text)

    def _act(self, what: str) -> None:
        """Save, load or take back the changes."""
        path = (self._path.value,) if what in ("save", "load") else ()
        try:
            getattr(self.draft, what)(*path)
        except (InputError, OSError) as error:
            self._status.value = red(str(error))
        else:
            self._show()

    def _renew(self) -> None:
        """Show values that have changed otherwise than by typing."""
        self._stale = set(range(len(PAGES)))
        self._build()
        self._show()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.box._repr_mimebundle_(**kwargs)
