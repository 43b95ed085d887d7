"""Write the book to ``histograms.root`` and ``histograms.pkl``, and read it back equal.

The ROOT paths are ``<channel>/<observable>/<process>/<variation>``; a text beside them, ``book``,
holds what a TH1 has no place for. A variation that a process lacks is not written.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import uproot

from intccms.errors import InputError
from intccms.histograms.book import NOMINAL, Book, HistogramKey
from intccms.utils.output import write_bytes

__all__ = [
    "PICKLE_NAME",
    "ROOT_NAME",
    "load",
    "load_root",
    "load_years",
    "save",
    "save_years",
]

ROOT_NAME = "histograms.root"
PICKLE_NAME = "histograms.pkl"
FORMAT = "intccms histograms"
VERSION = 1


def save(book: Book, directory: Path) -> tuple[Path, Path]:
    """Write both files, each replaced in one step.

    Parameters
    ----------
    book
        What is written.
    directory
        Made if it is not there.

    Returns
    -------
    tuple of Path
        The ROOT file and the pickle.
    """
    memory = io.BytesIO()
    with uproot.recreate(memory) as file:
        for channel, observable in book.histograms:
            for process in book.processes:
                for variation in book.variations(process):
                    name = f"{channel}/{observable}/{process}/{variation}"
                    file[name] = book.slice(channel, observable, process, variation)
        file["book"] = json.dumps(_description(book))
        written = memory.getvalue()  # uproot closes the buffer at the end
    root = directory / ROOT_NAME
    write_bytes(root, written)
    return root, _save_pickle(book, directory)


def _save_pickle(book: Book, directory: Path) -> Path:
    content = _header() | {
        "histograms": book.histograms,
        "varied": book.varied,
        "data_processes": book.data_processes,
    }
    path = directory / PICKLE_NAME
    write_bytes(path, pickle.dumps(content, protocol=5))
    return path


def save_years(books: Mapping[str, Book], directory: Path) -> None:
    """Write the book of each year to ``<year>/histograms.pkl``; those of other years go.

    Parameters
    ----------
    books
        By year.
    directory
        That of the book of all years.
    """
    for path in directory.glob(f"*/{PICKLE_NAME}"):
        if path.parent.name not in books:
            path.unlink()
    for year, book in books.items():
        _save_pickle(book, directory / year)


def load_years(directory: Path) -> dict[str, Book]:
    """Read what `save_years` wrote: the book of each year, none where there is one year only."""
    return {
        path.parent.name: load(path.parent) for path in sorted(directory.glob(f"*/{PICKLE_NAME}"))
    }


def load(directory: Path) -> Book:
    """Read the book that `save` wrote into `directory`.

    Only for files that one trusts: reading a pickle may run what it contains.

    Raises
    ------
    InputError
        If the pickle is not there, is damaged or is of a version that this code does not know.
    """
    path = directory / PICKLE_NAME
    try:
        content = pickle.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"no histograms in {directory}: run the analysis first") from None
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): run the analysis again") from error
    _check(content, path)
    return Book(content["histograms"], content["varied"], content["data_processes"])


def load_root(path: Path) -> Book:
    """Read the book back from the ROOT file alone.

    Raises
    ------
    InputError
        If the file is not there, or is not one that `save` wrote.
    """
    if not path.exists():
        raise InputError(f"no histograms at {path}: run the analysis first")
    with uproot.open(path) as file:
        if "book" not in file.keys(cycle=False):
            raise InputError(f"{path} was not written by intccms: it has no text 'book'")
        described = json.loads(str(file["book"]))
        _check(described, path)
        varied = {name: tuple(labels) for name, labels in described["varied"].items()}
        histograms = {}
        for channel, observable in described["histograms"]:
            key = (channel, observable)
            histograms[key] = _assembled(file, key, varied, described)
    return Book(histograms, varied, tuple(described["data_processes"]))


def _header() -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION}


def _description(book: Book) -> dict[str, Any]:
    axis: tuple[str, ...] = ()
    for histogram in book.histograms.values():
        axis = tuple(histogram.axes["variation"])
    return _header() | {
        "histograms": [list(key) for key in book.histograms],
        "varied": book.varied,
        "variations": axis,
        "data_processes": book.data_processes,
    }


def _check(content: Any, path: Path) -> None:
    """Refuse what this code would misread."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} does not hold histograms of intccms: run the analysis again")
    if content.get("version") != VERSION:
        raise InputError(
            f"{path} has version {content.get('version')}, this intccms reads {VERSION}:"
            " run the analysis again"
        )


def _assembled(
    file: Any, key: HistogramKey, varied: dict[str, tuple[str, ...]], described: dict[str, Any]
) -> hist.Hist[Any]:
    """One histogram of the book, from its TH1s."""
    folder = file["/".join(key)]
    first = folder[f"{next(iter(varied))}/{NOMINAL}"]
    histogram = hist.Hist(
        hist.axis.Variable(
            first.axis().edges(), name=key[1], label=first.member("fXaxis").member("fTitle")
        ),
        hist.axis.StrCategory(list(varied), name="process", overflow=False),
        hist.axis.StrCategory(described["variations"], name="variation", overflow=False),
        storage=hist.storage.Weight(),
    )
    view: Any = histogram.view(flow=True)
    for row, (process, labels) in enumerate(varied.items()):
        is_data = process in described["data_processes"]
        for column, variation in enumerate(described["variations"]):
            if is_data and variation != NOMINAL:
                continue
            known = variation == NOMINAL or variation in labels
            stored = folder[f"{process}/{variation if known else NOMINAL}"]
            view["value"][:, row, column] = stored.values(flow=True)
            view["variance"][:, row, column] = stored.variances(flow=True)
    return histogram
