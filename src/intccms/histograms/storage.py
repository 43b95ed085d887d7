"""Write the book as ROOT file, JSON and pickle, and read it back equal, from the JSON.

The ROOT paths are ``<channel>/<observable>/<process>/<variation>``; a variation that a process
lacks is not written. What lies outside of the edges of a folded observable is in its first and last
bin there, as in fit and figures. In the JSON each histogram is as UHI says, flow bins and all of
its bits; any library that knows UHI makes histograms of it:
``hist.Hist(content["histograms"][0]["uhi"])``. The pickle is for users: nothing here reads it, as
reading a pickle may run what somebody has put there. At the end: which bins of two books differ.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import numpy as np
import numpy.typing as npt
import uproot
from hist.serialization import from_uhi, to_uhi

from intccms.errors import InputError, attempted
from intccms.histograms.book import Book
from intccms.storage import write_bytes, write_text

ROOT_NAME = "histograms.root"
JSON_NAME = "histograms.json"
PICKLE_NAME = "histograms.pkl"
FORMAT = "intccms histograms"
VERSION = 2
AXES = ("process", "variation")  # after that of the observable


def save(
    book: Book, directory: Path, made_with: Mapping[str, Any] | None = None
) -> tuple[Path, Path]:
    """Write all files, each replaced in one step; the one that is read back comes last.

    Parameters
    ----------
    book
        What is written.
    directory
        Made if it is not there.
    made_with
        What the book was made with, in terms of JSON; `load_with_origin` gives it back.

    Returns
    -------
    tuple of Path
        The ROOT file and the JSON.
    """
    memory = io.BytesIO()
    with uproot.recreate(memory) as file:
        for channel, observable in book.histograms:
            for process in book.processes:
                for variation in book.variations(process):
                    name = f"{channel}/{observable}/{process}/{variation}"
                    file[name] = book.slice(channel, observable, process, variation)
        file["made_with"] = json.dumps(made_with or {})
        written = memory.getvalue()  # uproot closes the buffer at the end
    root = directory / ROOT_NAME
    write_bytes(root, written)
    content = {"histograms": book.histograms, "varied": book.varied,
               "data_processes": book.data_processes}  # fmt: skip
    write_bytes(directory / PICKLE_NAME, pickle.dumps(content, protocol=5))
    return root, _save_json(book, directory, made_with)


def _save_json(book: Book, directory: Path, made_with: Mapping[str, Any] | None) -> Path:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "made_with": made_with,
        "varied": book.varied,
        "data_processes": book.data_processes,
        "overlaps": [
            {"process": process, "channels": pair, "events": n_events}
            for process, pairs in book.overlaps.items()
            for pair, n_events in pairs.items()
        ],
        "histograms": [
            {"channel": channel, "observable": observable, "uhi": to_uhi(histogram)}
            for (channel, observable), histogram in book.histograms.items()
        ],
    }
    path = directory / JSON_NAME
    write_text(path, json.dumps(content, default=_listed))
    return path


def _listed(value: Any) -> Any:
    """Turn arrays into lists; the digits of a float in JSON give the same bits again."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is nothing that JSON has")


def save_years(books: Mapping[str, Book], directory: Path) -> None:
    """Write the book of each year to ``<year>/histograms.json``; those of other years go.

    Parameters
    ----------
    books
        By year.
    directory
        That of the book of all years.
    """
    for path in directory.glob(f"*/{JSON_NAME}"):
        if path.parent.name not in books:
            path.unlink()
    for year, book in books.items():
        _save_json(book, directory / year, None)


def remove(directory: Path) -> None:
    """Remove what `save` and `save_years` wrote."""
    for name in (JSON_NAME, ROOT_NAME, PICKLE_NAME):
        (directory / name).unlink(missing_ok=True)
    save_years({}, directory)


def load_years(directory: Path) -> dict[str, Book]:
    """Read what `save_years` wrote: the book of each year, none where there is one year only."""
    return {
        path.parent.name: load(path.parent) for path in sorted(directory.glob(f"*/{JSON_NAME}"))
    }


def load(directory: Path) -> Book:
    """Read the book that `save` wrote into `directory`; see `load_with_origin`."""
    return load_with_origin(directory)[0]


def load_with_origin(directory: Path) -> tuple[Book, dict[str, Any] | None]:
    """Read what `save` wrote into `directory`; whoever wrote it, nothing of it is run.

    Returns
    -------
    Book, dict or None
        The histograms, and what they were made with, as far as it was saved.

    Raises
    ------
    InputError
        If it is not there, is damaged or is of a version that this code does not know.
    """
    path = directory / JSON_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {JSON_NAME} in {directory}: run the analysis first") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): run the analysis again") from error
    _check(content, path)
    book = attempted(_book, content)
    if isinstance(book, Exception):  # whatever the library makes of what is not as it was written
        raise InputError(f"{path} is damaged ({book!r}): run the analysis again") from book
    return book, content.get("made_with")


def _book(content: Mapping[str, Any]) -> Book:
    overlaps: dict[str, dict[tuple[str, str], int]] = {}
    for one in content["overlaps"]:
        first, second = one["channels"]
        overlaps.setdefault(one["process"], {})[first, second] = one["events"]
    return Book(
        {(one["channel"], one["observable"]): _histogram(one) for one in content["histograms"]},
        {process: tuple(labels) for process, labels in content["varied"].items()},
        tuple(content["data_processes"]),
        overlaps=overlaps,
    )


def _check(content: Any, path: Path) -> None:
    """Refuse what this code would misread."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} does not hold histograms of intccms: run the analysis again")
    if content.get("version") != VERSION:
        raise InputError(
            f"{path} has version {content.get('version')}, this intccms reads {VERSION}:"
            " run the analysis again"
        )


def _histogram(saved: Mapping[str, Any]) -> hist.Hist[Any]:
    histogram: hist.Hist[Any] = hist.Hist(from_uhi(saved["uhi"]))
    names = [axis.name for axis in histogram.axes]
    if names != [saved["observable"], *AXES]:
        raise ValueError(f"a histogram has the axes {names}")
    if histogram.storage_type is not hist.storage.Weight:
        raise ValueError(f"a histogram has the storage {histogram.storage_type.__name__}")
    return histogram


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
