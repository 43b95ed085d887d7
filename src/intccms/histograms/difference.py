"""Which templates of two books differ, bin by bin. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from intccms.histograms.book import Book

BoolArray = npt.NDArray[np.bool_]
Hidden = Callable[[str, str, npt.NDArray[np.float64]], BoolArray]  # channel, observable, edges


@dataclass(frozen=True)
class TemplateChange:
    """One template that is not the same in two books.

    Parameters
    ----------
    n_bins
        How many bins differ, under- and overflow included.
    low, high
        Ends of the bin that differs most, in standard deviations where it has some.
    before, after
        Its content.
    error
        Statistical error of the difference, as if the books had no event in common: that of both
        in quadrature. Where they share events it is too large.
    reason
        What keeps the bins from being compared; then all else is 0.
    """

    channel: str
    observable: str
    process: str
    variation: str
    n_bins: int = 0
    low: float = 0.0
    high: float = 0.0
    before: float = 0.0
    after: float = 0.0
    error: float = 0.0
    reason: str = ""

    @property
    def relative(self) -> float | None:
        """Change over the content before; None where that is 0."""
        return (self.after - self.before) / self.before if self.before else None

    @property
    def significance(self) -> float | None:
        """Change in standard deviations; None where there is no error."""
        return (self.after - self.before) / self.error if self.error else None


def template_changes(
    before: Book, after: Book, hidden: Hidden, *, rtol: float = 0.0
) -> Iterator[TemplateChange]:
    """Yield every template that differs.

    Parameters
    ----------
    before, after
        The books.
    hidden
        Which bins of data must not be seen, of shape (n_bins,); where one is hidden, so are
        under- and overflow.
    rtol
        Relative difference of contents and errors that is let pass.
    """
    for key in dict.fromkeys((*before.histograms, *after.histograms)):
        for process in dict.fromkeys((*before.processes, *after.processes)):
            labels = [
                book.variations(process)
                if process in book.varied and key in book.histograms
                else ()
                for book in (before, after)
            ]
            for variation in dict.fromkeys((*labels[0], *labels[1])):
                where = (*key, process, variation)
                if variation not in labels[0]:
                    yield TemplateChange(*where, reason="only in the second")
                elif variation not in labels[1]:
                    yield TemplateChange(*where, reason="only in the first")
                else:
                    yield from _compared(before, after, where, hidden, rtol)


def _labels(book: Book, key: tuple[str, str], process: str) -> tuple[str, ...]:
    has = key in book.histograms and process in book.varied
    return book.variations(process) if has else ()


def _compared(
    before: Book, after: Book, where: tuple[str, str, str, str], hidden: Hidden, rtol: float
) -> Iterator[TemplateChange]:
    first, second = before.slice(*where), after.slice(*where)
    edges = np.asarray(first.axes[0].edges, dtype=np.float64)
    if not np.array_equal(edges, second.axes[0].edges):
        yield TemplateChange(*where, reason="other bins")
        return
    left, right = _view(first), _view(second)
    shown = np.ones(edges.size + 1, dtype=np.bool_)
    if where[2] in (*before.data_processes, *after.data_processes):
        mask = hidden(where[0], where[1], edges)
        shown = ~np.concatenate([[mask.any()], mask, [mask.any()]])
    differs = shown & ~(_close(left["value"], right["value"], rtol)
                        & _close(left["variance"], right["variance"], rtol))  # fmt: skip
    if not differs.any():
        return
    change = np.abs(right["value"] - left["value"]) * differs
    errors = np.sqrt(left["variance"] + right["variance"])
    sigmas = np.divide(change, errors, out=np.zeros_like(change), where=errors > 0)
    bin_ = int(np.lexsort((differs, change, sigmas))[-1])
    ends = np.concatenate([[-np.inf], edges, [np.inf]])
    yield TemplateChange(
        *where, int(differs.sum()), float(ends[bin_]), float(ends[bin_ + 1]),
        float(left["value"][bin_]), float(right["value"][bin_]), float(errors[bin_]),
    )  # fmt: skip


def _view(histogram: Any) -> Any:
    return histogram.view(flow=True)


def _close(left: Any, right: Any, rtol: float) -> BoolArray:
    return np.asarray(np.abs(left - right) <= rtol * np.maximum(np.abs(left), np.abs(right)))
