"""Write the book as ROOT file, JSON and pickle, and read it back equal, from the JSON.

The ROOT paths are ``<channel>/<observable>/<process>/<variation>``; a variation that a process
lacks is not written. What lies outside of the edges of a folded observable is in its first and last
bin there, as in fit and figures. In the JSON each histogram is as UHI says, flow bins and all of
its bits; any library that knows UHI makes histograms of it:
``hist.Hist(content["histograms"][0]["uhi"])``. The pickle is for users: nothing here reads it, as
reading a pickle may run what somebody has put there.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uproot
from hist.serialization import from_uhi, to_uhi

from intccms.errors import InputError
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
    overlaps: dict[str, dict[tuple[str, str], int]] = {}
    try:
        for one in content["overlaps"]:
            first, second = one["channels"]
            overlaps.setdefault(one["process"], {})[first, second] = one["events"]
        book = Book(
            {(one["channel"], one["observable"]): _histogram(one) for one in content["histograms"]},
            {process: tuple(labels) for process, labels in content["varied"].items()},
            tuple(content["data_processes"]),
            overlaps=overlaps,
        )
        return book, content.get("made_with")
    except Exception as error:  # whatever the library makes of what is not as it was written
        raise InputError(f"{path} is damaged ({error!r}): run the analysis again") from error


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
