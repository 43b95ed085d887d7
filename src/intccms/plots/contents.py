"""The numbers of a figure of data and simulation, taken from the book."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intccms.histograms import Book, total_uncertainty
from intccms.plots.blinding import Blind, hidden_bins
from intccms.plots.style import Look

__all__ = ["Contents", "contents"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contents:
    """What a figure of data and simulation shows, per visible bin."""

    edges: FloatArray
    label: str
    backgrounds: dict[str, FloatArray]  # from the bottom of the stack to its top
    signals: dict[str, FloatArray]  # those to be overlaid, not scaled
    down: FloatArray
    up: FloatArray
    data: FloatArray | None  # NaN where hidden; None without data
    hidden: npt.NDArray[np.bool_]

    @property
    def total(self) -> FloatArray:
        """Sum of the backgrounds."""
        return sum(self.backgrounds.values(), start=np.zeros(self.edges.size - 1))

    @property
    def centers(self) -> FloatArray:
        """Middle of the bins."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def shows_data(self) -> bool:
        """Whether there is at least one bin with data to be seen."""
        return self.data is not None and not bool(self.hidden.all())

    def data_errors(self) -> FloatArray:
        """Distances to the ends of the Garwood interval, shape (2, n_bins)."""
        from hist.intervals import poisson_interval  # and scipy.stats, half a second

        assert self.data is not None
        seen = np.nan_to_num(self.data)
        low, high = poisson_interval(seen)
        return np.stack([seen - low, high - seen])


def contents(
    book: Book, channel: str, observable: str, look: Look, blind: Blind = None
) -> Contents:
    """All numbers of one figure; hidden data are not among them.

    Parameters
    ----------
    book, channel, observable
        What is drawn.
    look
        Says which processes are signal, and the order of the others.
    blind
        Data that are left out.
    """
    axis = book.histogram(channel, observable).axes[0]
    ordered = look.ordered(book.mc_processes)
    values = {
        name: np.asarray(book.slice(channel, observable, name).values(), dtype=np.float64)
        for name in book.processes
    }
    backgrounds = {name: values[name] for name in ordered if not look.is_signal(name)}
    down, up = total_uncertainty(book, channel, observable, backgrounds)
    hidden = hidden_bins(book.reach(channel, observable), blind)
    data = None
    if book.data_processes:
        observed = np.sum([values[name] for name in book.data_processes], axis=0)
        data = np.where(hidden, np.nan, observed)
    return Contents(
        edges=axis.edges,
        label=book.label(channel, observable),
        backgrounds=backgrounds,
        signals={name: values[name] for name in look.overlaid(book.mc_processes)},
        down=down,
        up=up,
        data=data,
        hidden=hidden,
    )
