"""What a run has saved, in forms: beside the edges of a binning, and in the explorer of results."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from intccms.errors import InputError, IntccmsError
from intccms.histograms import Book, storage
from intccms.metrics.tables import Table, with_error
from intccms.pipeline.saved import book_for
from intccms.plots import Look, blind_of, data_mc, look_of, systematics
from intccms.schema import Config, load_config
from intccms.storage import Output
from intccms.widgets.draft import Draft, Setting
from intccms.widgets.fields import Field

WIDTH, HEIGHT = 420, 110  # pixels of the preview

FloatArray = NDArray[np.float64]


def saved_book(draft: Draft) -> Book | None:
    """Load the histograms that an earlier run of this configuration has left, if any."""
    try:
        return storage.load(Output(draft.config.general).histograms_dir)
    except (IntccmsError, OSError):
        return None


def merged(
    values: FloatArray, saved: Sequence[float], wanted: Sequence[float]
) -> tuple[FloatArray, list[float]]:
    """Add saved bins into wider ones.

    Parameters
    ----------
    values : shape (n_bins,)
        Content of the saved bins.
    saved, wanted
        Edges.

    Returns
    -------
    values : shape (n_wanted,)
        NaN in a bin whose edges the saved histogram does not have.
    missing
        Those edges.

    Examples
    --------
    >>> merged(np.array([1.0, 2.0, 4.0]), [0, 1, 2, 3], [0, 2, 3])
    (array([3., 4.]), [])
    """
    index = [
        int(np.argmin(np.abs(np.asarray(saved) - edge))) if _is_near(saved, edge) else -1
        for edge in wanted
    ]
    missing = [edge for edge, i in zip(wanted, index, strict=True) if i < 0]
    sums = [
        float(values[low:high].sum()) if min(low, high) >= 0 else np.nan
        for low, high in zip(index, index[1:], strict=False)
    ]
    return np.asarray(sums), missing


def _is_near(edges: Sequence[float], edge: float) -> bool:
    width = (edges[-1] - edges[0]) / len(edges)
    return bool(np.min(np.abs(np.asarray(edges) - edge)) < 1e-6 * width)


class BinningEditor:
    """A field for a binning with a preview that follows while one types.

    Parameters
    ----------
    setting, draft, on_change
        As for `Field`.
    where
        Channel and observable.
    book
        Histograms of an earlier run.

    Attributes
    ----------
    field
        The input.
    preview
        The picture.
    """

    def __init__(
        self,
        setting: Setting,
        draft: Draft,
        on_change: Callable[[], None],
        *,
        where: tuple[str, str],
        book: Book | None,
    ) -> None:
        self._draft, self._where, self._book = draft, where, book
        self.preview = ipywidgets.HTML()
        self._on_change = on_change
        self.field = Field(setting, draft, self._changed, cell="32em")
        self._show()

    def _changed(self) -> None:
        self._show()
        self._on_change()

    def _show(self) -> None:
        edges = _edges(self._draft, *self._where)
        known = self._book is not None and self._where in self._book.histograms
        if self._book is None or not known:
            self.preview.value = (
                f"{len(edges) - 1} bins; a picture comes with the histograms of a run"
            )
            return
        look = look_of(self._draft.config, self._book)
        total, data, saved = _contents(self._book, *self._where, look)
        bars, missing = merged(total, saved, edges)
        points, _ = merged(data, saved, edges)
        note = f"{len(edges) - 1} bins of the last run: background (bars) and data (dots) per width"
        lines: Sequence[float] = ()
        if missing:
            shown = ", ".join(f"{edge:g}" for edge in missing[:4])
            note = (
                f"the saved histogram has no edge at {shown}: its own bins are shown, and the "
                f"{len(edges)} new edges as lines; run again to see these bins"
            )
            lines, edges, bars, points = edges, saved, total, data
        is_blind = blind_of(self._draft.config, *self._where) is not None
        has_data = bool(self._book.data_processes) and not is_blind
        picture = _svg(edges, bars, points if has_data else None, lines)
        self.preview.value = f"{picture}<div style='line-height:1.3'>{note}</div>"


def _edges(draft: Draft, channel: str, observable: str) -> Sequence[float]:
    one = next(entry for entry in draft.config.channels if entry.name == channel)
    return next(entry.binning for entry in one.observables if entry.name == observable)


def _contents(
    book: Book, channel: str, observable: str, look: Look
) -> tuple[FloatArray, FloatArray, Any]:
    """Give background and data of all visible bins, and their edges."""
    axis = book.histogram(channel, observable).axes[0]
    total, data = np.zeros(len(axis)), np.zeros(len(axis))
    for process in book.processes:
        if look.is_signal(process):
            continue
        view: Any = book.slice(channel, observable, process).view()
        (data if process in book.data_processes else total).__iadd__(view["value"])
    return total, data, axis.edges.tolist()


def _svg(
    edges: Sequence[float], bars: FloatArray, points: FloatArray | None, lines: Sequence[float]
) -> str:
    """Draw densities: bars for the background, dots for data; and lines at some places."""
    widths = np.diff(np.asarray(edges))
    densities = bars / widths
    marks = np.full_like(bars, np.nan) if points is None else points / widths
    top = max((float(y) for y in (*densities, *marks) if y > 0), default=1.0)
    scale = WIDTH / (edges[-1] - edges[0])
    shapes = []
    for low, width, bar, mark in zip(edges, widths, densities, marks, strict=False):
        x, y = (low - edges[0]) * scale, HEIGHT * (1 - bar / top)
        if bar >= 0:
            shapes.append(
                f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width * scale - 1, 0.5):.1f}' "
                f"height='{HEIGHT - y:.1f}' fill='#6baed6'/>"
            )
        if mark >= 0:
            y = HEIGHT * (1 - mark / top)
            shapes.append(f"<circle cx='{x + width * scale / 2:.1f}' cy='{y:.1f}' r='2.5'/>")
    for line in lines:
        if edges[0] <= line <= edges[-1]:
            x = (line - edges[0]) * scale
            shapes.append(f"<path d='M{x:.1f} 0V{HEIGHT}' stroke='#bd1f01'/>")
    for x, anchor, edge in ((0, "start", edges[0]), (WIDTH, "end", edges[-1])):
        shapes.append(f"<text x='{x}' y='{HEIGHT + 14}' text-anchor='{anchor}'>{edge:g}</text>")
    return (
        f"<svg width='{WIDTH + 8}' height='{HEIGHT + 22}' viewBox='-4 -4 {WIDTH + 8} {HEIGHT + 22}'"
        f" font-size='12' fill='currentColor'>{''.join(shapes)}"
        f"<path d='M0 {HEIGHT}H{WIDTH}' stroke='currentColor'/></svg>"
    )


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
        That of the run: where its histograms are, colours, labels, blinding. Another luminosity
        or cross section is applied to what was saved.
    book
        The histograms of a run of it that has not saved them; None: those that were saved.

    Attributes
    ----------
    channel, observable, view, processes, source, log
        The choices.

    Raises
    ------
    InputError
        If there are no histograms, or they are not those that the configuration asks for.
    """

    def __init__(self, config: Any, book: Book | None = None) -> None:
        self.config: Config = load_config(config)
        self.book: Book = book or book_for(self.config)
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
