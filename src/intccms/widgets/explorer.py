"""The explorer of results: pick a channel and an observable, look; from saved histograms only."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt

from intccms.errors import InputError, IntccmsError
from intccms.histograms import Book, storage
from intccms.metrics.tables import Table, with_error
from intccms.plots import blind_of, data_mc, look_of, systematics
from intccms.schema import Config, load_config
from intccms.storage import Output

__all__ = ["ResultExplorer"]

DATA_MC, GRID, RANKING, YIELDS = (
    "data and simulation",
    "variations",
    "sizes of variations",
    "yields",
)
ALL = "all"
PIXELS = 620


class ResultExplorer:
    """A form that shows what a run has saved; no event is read.

    Parameters
    ----------
    config
        That of the run: where its histograms are, colours, labels, luminosity, blinding.

    Attributes
    ----------
    channel, observable, view, processes, source, log
        The choices.

    Raises
    ------
    InputError
        If there are no histograms.
    """

    def __init__(self, config: Any) -> None:
        self.config: Config = load_config(config)
        self.book: Book = storage.load(Path(Output(self.config.general).histograms_dir))
        names = self.book.processes
        sources = sorted({_source(v) for labels in self.book.varied.values() for v in labels})
        self.channel = ipywidgets.Dropdown(options=self.book.channels, description="channel")
        self.observable = ipywidgets.Dropdown(description="observable")
        self.view = ipywidgets.Dropdown(
            options=(DATA_MC, GRID, RANKING, YIELDS), description="show"
        )
        self.processes = ipywidgets.SelectMultiple(
            options=names, value=names, description="processes", rows=min(len(names), 10)
        )
        self.source = ipywidgets.Dropdown(options=(ALL, *sources), description="source")
        self.log = ipywidgets.Checkbox(description="logarithmic")
        self.picture = ipywidgets.Image(format="png", width=PIXELS)
        self.text = ipywidgets.HTML()
        choices = (
            self.channel, self.observable, self.view, self.processes, self.source, self.log
        )  # fmt: skip
        shown = ipywidgets.VBox([self.picture, self.text], layout={"margin": "0 0 0 12px"})
        left = ipywidgets.VBox(choices, layout={"flex": "0 0 320px"})
        self.box = ipywidgets.HBox([left, shown])
        self.channel.observe(self._list, names="value")
        for widget in choices[1:]:
            widget.observe(self._show, names="value")
        self._list()

    def figure(self) -> tuple[Any, Any]:
        """Draw what is chosen, as figure and axes.

        Raises
        ------
        InputError
            If what is chosen has nothing to show.
        """
        where = (self.channel.value, self.observable.value)
        book = _restricted(self.book, self.processes.value, self.source.value)
        look = replace(look_of(self.config, self.book), log=self.log.value)
        if self.view.value == DATA_MC:
            return data_mc(book, *where, look=look, blind=blind_of(self.config, *where))
        process = next((name for name in book.mc_processes if book.varied[name]), None)
        if process is None:
            raise InputError("none of these processes has this variation")
        draw = systematics.grid if self.view.value == GRID else systematics.summary
        return draw(book, *where, process, look=look)

    def yields(self) -> Table:
        """List the yields of the chosen processes, and what the chosen source does to them."""
        where = (self.channel.value, self.observable.value)
        is_blind = blind_of(self.config, *where) is not None
        rows = [["process", "yield", "up", "down"]]
        for process in self.processes.value:
            if is_blind and process in self.book.data_processes:
                rows.append([process, "blinded", "-", "-"])
                continue
            value, error = _yield(self.book, *where, process)
            cells = [with_error(value, error)]
            for direction in ("up", "down"):
                label = f"{self.source.value}_{direction}"
                known = label in self.book.varied[process] and value
                varied = _yield(self.book, *where, process, label)[0] if known else value
                cells.append(f"{varied / value - 1:+.2%}" if known else "-")
            rows.append([process, *cells])
        return Table(f"Yields in {self.channel.value}", rows)

    def _list(self, _: Any = None) -> None:
        names = self.book.observables(self.channel.value)
        kept = self.observable.value if self.observable.value in names else names[0]
        self.observable.options, self.observable.value = names, kept
        self._show()

    def _show(self, _: Any = None) -> None:
        self.text.value, self.picture.layout.display = "", "none"
        if not (self.observable.value and self.processes.value):
            return
        try:
            if self.view.value == YIELDS:
                self.text.value = self.yields()._repr_html_()
                return
            figure, _axes = self.figure()
        except IntccmsError as error:
            self.text.value = html.escape(str(error))
            return
        memory = io.BytesIO()
        figure.savefig(memory, format="png", dpi=80)
        plt.close(figure)
        self.picture.value = memory.getvalue()
        self.picture.layout.display = "block"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.box._repr_mimebundle_(**kwargs)


def _source(label: str) -> str:
    return label.rpartition("_")[0]


def _restricted(book: Book, processes: Iterable[str], source: str) -> Book:
    """Return the book with some processes and the variations of one source, or of all."""
    wanted = set(processes)
    varied = {
        name: tuple(label for label in labels if source in (ALL, _source(label)))
        for name, labels in book.varied.items()
        if name in wanted
    }
    data = tuple(name for name in book.data_processes if name in wanted)
    return replace(book, varied=varied, data_processes=data)


def _yield(
    book: Book, channel: str, observable: str, process: str, variation: str = "nominal"
) -> tuple[float, float]:
    view: Any = book.slice(channel, observable, process, variation).view(flow=True)
    return float(view["value"].sum()), float(view["variance"].sum() ** 0.5)
