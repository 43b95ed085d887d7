"""Statistical and systematic uncertainties of summed processes, from the book's variations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from intccms.histograms.book import NOMINAL, Book

__all__ = ["shifts", "total_uncertainty", "uncertainty_sources"]

FloatArray = npt.NDArray[np.float64]
DIRECTIONS = ("up", "down")


def uncertainty_sources(book: Book, processes: Iterable[str]) -> tuple[str, ...]:
    """All sources of which at least one of the processes has a variation, in the book's order."""
    names: dict[str, None] = {}
    for process in processes:
        for variation in book.variations(process):
            source, _, direction = variation.rpartition("_")
            if source and direction in DIRECTIONS:
                names[source] = None
    return tuple(names)


def shifts(
    book: Book, channel: str, observable: str, processes: Iterable[str]
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Change of the summed processes under each source.

    Parameters
    ----------
    book, channel, observable
        What is looked at.
    processes
        Those that are summed: their shifts by one source are fully correlated.

    Returns
    -------
    dict
        Source to (down, up), varied minus nominal, each of shape (n_bins,) without flow. A
        direction that was not evaluated is 0.
    """
    names = tuple(processes)
    histogram = book.histogram(channel, observable)
    values = np.asarray(histogram.values())  # to slice a histogram takes a thousand times as long
    rows = {name: list(histogram.axes["process"]).index(name) for name in names}
    columns = {label: column for column, label in enumerate(histogram.axes["variation"])}
    result = {}
    for source in uncertainty_sources(book, names):
        by_direction = {direction: np.zeros(len(values)) for direction in DIRECTIONS}
        for direction, total in by_direction.items():
            label = f"{source}_{direction}"
            for name in names:
                if label in book.varied[name]:
                    of_process = values[:, rows[name]]
                    total += of_process[:, columns[label]] - of_process[:, columns[NOMINAL]]
        result[source] = (by_direction["down"], by_direction["up"])
    return result


def total_uncertainty(
    book: Book, channel: str, observable: str, processes: Iterable[str]
) -> tuple[FloatArray, FloatArray]:
    """Statistical ⊕ systematic uncertainty of the sum of processes.

    Each source adds its upward change in quadrature to `up` and its downward one to `down`,
    whichever of its two variations gives it (where both go one way, the larger counts once).

    Returns
    -------
    down, up : shape (n_bins,)
        Positive distances from the nominal sum, without flow bins.
    """
    names = tuple(processes)
    statistical = np.zeros(book.histogram(channel, observable).axes[0].size)
    for name in names:
        variances = book.slice(channel, observable, name).variances()
        assert variances is not None  # the storage is Weight
        statistical += variances
    down2, up2 = statistical.copy(), statistical.copy()
    for low, high in shifts(book, channel, observable, names).values():
        up2 += np.maximum(np.maximum(low, high), 0.0) ** 2
        down2 += np.minimum(np.minimum(low, high), 0.0) ** 2
    return np.sqrt(down2), np.sqrt(up2)
