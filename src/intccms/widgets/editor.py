"""The configuration editor of the notebooks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets

from intccms.dashboards import Table
from intccms.errors import ConfigError
from intccms.schema import Config
from intccms.widgets import sections
from intccms.widgets.draft import Draft
from intccms.widgets.sections import Page, form

__all__ = ["ConfigEditor"]

WHERE = ("general.executor", "general.facility", "general.n_workers", "general.chunk_size")
PAGES: dict[str, Page] = {
    "General": form("general.", without=("general.metrics", *WHERE)),
    "Datasets": sections.datasets,
    "Channels": sections.channels,
    "Systematics": sections.sources,
    "Skimming": form("preprocess."),
    "Statistics": form("statistics.", "mva."),
    "Plotting": sections.colours,
    "Facility": form(*WHERE, "general.metrics"),
    "Search": sections.search,
}
AREA = ipywidgets.Layout(width="60em", height="6em")


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
        self._status = ipywidgets.HTML()
        self._changes = ipywidgets.Textarea(disabled=True, layout=AREA)
        self._path = ipywidgets.Text(value="overrides.yaml", description="file")
        save = ipywidgets.Button(description="Save")
        load = ipywidgets.Button(description="Load")
        save.on_click(lambda _: self._file("save"))
        load.on_click(lambda _: self._file("load"))
        below = ipywidgets.HBox([self._path, save, load])
        self.box = ipywidgets.VBox([self._tabs, self._status, self._changes, below])
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

    def _build(self, *, anew: bool = False) -> None:
        """Make the page that is open, if it was not open before."""
        index = self._tabs.selected_index or 0
        pages = list(self._tabs.children)
        if anew:
            pages = [ipywidgets.VBox([]) for _ in PAGES]
        if not pages[index].children:
            pages[index] = list(PAGES.values())[index](self.draft, self._show)
        self._tabs.children = tuple(pages)

    def _show(self) -> None:
        changes = self.overrides
        self._status.value = (
            f"{len(changes)} settings differ from the file; as overrides for "
            "<code>analysis.py</code> and the notebooks:"
        )
        lines = [shlex.join(changes), f"overrides = {changes!r}"] if changes else []
        self._changes.value = "\n".join(lines)

    def _file(self, what: str) -> None:
        try:
            getattr(self.draft, what)(self._path.value)
        except (ConfigError, OSError) as error:
            self._status.value = f"<span style='color:#b00020'>{error}</span>"
            return
        if what == "load":
            self._build(anew=True)
        self._show()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.box._repr_mimebundle_(**kwargs)
