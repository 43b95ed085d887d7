"""The configuration editor of the notebooks."""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets

from intccms.errors import InputError
from intccms.metrics.tables import Table
from intccms.schema import Config
from intccms.widgets import sections
from intccms.widgets.draft import Draft
from intccms.widgets.fields import FORM, LABEL, red, shared_layout
from intccms.widgets.sections import Page, form
from intccms.widgets.switches import sources

__all__ = ["ConfigEditor"]

WHERE = ("general.executor", "general.facility", "general.n_workers", "general.chunk_size")
TOOLTIPS = {
    "save": "Write the changes to the file",
    "load": "Replace the changes by those of the file",
    "reset": "Take all changes back",
}
PAGES: dict[str, Page] = {
    "General": form("general.", without=("general.metrics", *WHERE)),
    "Datasets": sections.datasets,
    "Channels": sections.channels,
    "Systematics": sources,
    "Skimming": form("preprocess."),
    "Statistics": form("statistics.", "mva."),
    "Plotting": sections.colours,
    "Facility": form(*WHERE, "general.metrics"),
    "Search": sections.search,
}
# Read-only text can be selected and copied by keyboard, which a disabled widget cannot.
COPY = """<div style="display:flex;gap:6px;align-items:flex-start;margin:2px 0">
<label style="width:18em;text-align:right;margin-right:6px">{title}</label>
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
        self._tabs = ipywidgets.Tab(children=[ipywidgets.VBox([]) for _ in PAGES])
        for index, title in enumerate(PAGES):
            self._tabs.set_title(index, title)
        self._status, self._copies = ipywidgets.HTML(), ipywidgets.HTML()
        self._path = ipywidgets.Text(
            value="overrides.yaml",
            description="file of overrides",
            style={"description_width": LABEL},
            layout=shared_layout(width=FORM),
        )
        buttons = []
        for what in ("save", "load", "reset"):
            button = ipywidgets.Button(description=what.title(), tooltip=TOOLTIPS[what])
            button.on_click(lambda _, what=what: self._act(what))
            buttons.append(button)
        below = ipywidgets.HBox([self._path, *buttons])
        self.box = ipywidgets.VBox([self._tabs, self._status, self._copies, below])
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
            _close(child)

    def _changed(self) -> None:
        self._stale = set(range(len(PAGES))) - {self._tabs.selected_index}
        self._show()

    def _show(self) -> None:
        changes = self.overrides
        many = "setting differs" if len(changes) == 1 else "settings differ"
        self._status.value = f"{len(changes)} {many} from the file"
        parameters = json.dumps({"overrides": changes}, ensure_ascii=False)  # which is YAML
        texts = {
            "command line": shlex.join(changes),
            "cell of a notebook": f"overrides = {changes!r}",
            "papermill": f"-y {shlex.quote(parameters)}",
        }
        self._copies.value = "".join(
            COPY.format(title=title, text=html.escape(text)) for title, text in texts.items()
        )

    def _act(self, what: str) -> None:
        """Save, load or take back the changes."""
        path = () if what == "reset" else (self._path.value,)
        try:
            getattr(self.draft, what)(*path)
        except (InputError, OSError) as error:
            self._status.value = red(str(error))
            return
        self._stale = set(range(len(PAGES)))
        self._build()
        self._show()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.box._repr_mimebundle_(**kwargs)


def _close(box: Any) -> None:
    """Take a page from the kernel, but for layouts and styles, which pages share."""
    for child in getattr(box, "children", ()):
        _close(child)
    box.close()
