"""Rows of a smaller file that stand in for the entries of a chunk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Required, TypedDict

from fsspec.core import url_to_fs


class OriginalJson(TypedDict):
    """What is known of all events of a chunk before any cut, in terms of JSON.

    ``n_events`` is their number, ``sumw`` the exact sum of their weights, ``spectrum`` how these
    are spread, ``weights`` the titles and sums of their other weights, ``sections`` the luminosity
    sections of data. ``is_selected`` says whether the skim selection of this run is applied.
    """

    n_events: int
    sumw: Any
    weights: str
    spectrum: Any
    sections: str | None
    is_selected: bool


class EventMetadata(TypedDict, total=False):
    """What the events of a chunk are, as their ``metadata`` says it.

    ``entries`` are those of the file, ``entrystart`` begins the chunk as it was planned: a half
    draws the random numbers of the whole. ``piece`` names a part of a planned chunk, ``source`` is
    what a skim must know of the file, ``whole`` what a skim knows of all events.
    """

    dataset: Required[str]
    filename: str
    fileuuid: str
    entrystart: int
    entrystop: int
    entries: list[int]
    piece: str
    source: Mapping[str, Any]
    whole: OriginalJson
    version: str  # of the schema, as coffea has it


NOTHING: OriginalJson = {
    "n_events": 0,
    "sumw": {"levels": [], "sums": []},
    "weights": "",
    "spectrum": None,
    "sections": None,
    "is_selected": True,
}


@dataclass(frozen=True)
class SkimmedRows:
    """What a skim has kept of some entries of the original.

    Parameters
    ----------
    pfns
        Where the file can be opened; if nothing was kept, files that have the same columns.
    tree_name, rows
        Where in the file: from the first row up to the second.
    entries
        Of the original, likewise.
    whole
        What is known of all events of these entries.
    size_bytes, sha256
        Of the file; one of another size is not the one that was written.
    is_verified
        Whether the checksum is looked at before the file is read.
    missing
        Why there is nothing to read; empty if there is.
    """

    pfns: tuple[str, ...]
    tree_name: str
    rows: tuple[int, int]
    entries: tuple[int, int]
    whole: OriginalJson
    size_bytes: int = 0
    sha256: str = ""
    is_verified: bool = False
    missing: str = ""


def halved(pieces: tuple[SkimmedRows, ...]) -> list[tuple[SkimmedRows, ...]]:
    """Split pieces of a chunk in two; what is known of all events goes with the first.

    Returns
    -------
    list
        One entry only if there is nothing to split.
    """
    if len(pieces) > 1:
        middle = len(pieces) // 2
        return [pieces[:middle], pieces[middle:]]
    (piece,) = pieces
    first, stop = piece.rows
    if stop - first < 2:
        return [pieces]
    middle = (first + stop) // 2
    none = (piece.entries[1], piece.entries[1])
    nothing: OriginalJson = {
        **NOTHING,
        "weights": piece.whole["weights"],  # whose titles are wanted
        "sections": None if piece.whole["sections"] is None else "",
        "is_selected": piece.whole["is_selected"],
    }
    rest = replace(piece, rows=(middle, stop), entries=none, whole=nothing)
    return [(replace(piece, rows=(first, middle)),), (rest,)]


def check_unchanged(pfn: str, piece: SkimmedRows, options: Mapping[str, Any]) -> None:
    """Check that a file of a skim is the one that was written.

    Parameters
    ----------
    pfn, piece
        The file, and what is known of it.
    options
        Of the reader; ``storage_options`` are those of fsspec.

    Raises
    ------
    OSError
        If it cannot be looked at.
    ValueError
        If it is another one.
    """
    if piece.missing:
        raise FileNotFoundError(piece.missing)
    if not piece.size_bytes:
        return
    fs, path = url_to_fs(pfn, **options.get("storage_options", {}))
    fs.invalidate_cache()
    size_bytes = fs.info(path)["size"]
    if size_bytes != piece.size_bytes:
        raise ValueError(
            f"{pfn} has {size_bytes} bytes, the manifest says {piece.size_bytes}: "
            "it was truncated or replaced after the skim was made"
        )
    if not piece.is_verified:
        return
    with fs.open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != piece.sha256:
            raise ValueError(f"{pfn} was changed after the skim was made: its SHA-256 is another")
