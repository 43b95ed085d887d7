"""Rows of a smaller file that stand in for the entries of a chunk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fsspec.core import url_to_fs

NO_SUM: dict[str, list[Any]] = {"levels": [], "sums": []}  # exact sum of nothing


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
    n_in, sumw, sections, spectrum
        Of all events before any cut: their number, the exact sum of their weights in terms of
        JSON and, for data, their luminosity sections as text, for simulation how the weights are
        spread.
    weights
        Titles and sums of their other weights, as text; the second half of a chunk has them, too.
    size_bytes, sha256
        Of the file; one of another size is not the one that was written.
    is_verified
        Whether the checksum is looked at before the file is read.
    is_selected
        Whether the skim selection of this run is applied.
    missing
        Why there is nothing to read; empty if there is.
    """

    pfns: tuple[str, ...]
    tree_name: str
    rows: tuple[int, int]
    entries: tuple[int, int]
    n_in: int
    sumw: Mapping[str, Any]
    sections: str | None = None
    weights: str = ""
    spectrum: Mapping[str, Any] | None = None
    size_bytes: int = 0
    sha256: str = ""
    is_verified: bool = False
    is_selected: bool = True
    missing: str = ""

    @property
    def whole(self) -> dict[str, Any]:
        """What the processor must know besides the events, in terms of JSON."""
        return {
            "n_events": self.n_in,
            "sumw": dict(self.sumw),
            "sections": self.sections,
            "weights": self.weights,
            "spectrum": self.spectrum,
            "is_selected": self.is_selected,
        }


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
    sections = None if piece.sections is None else ""
    none = (piece.entries[1], piece.entries[1])
    nothing: dict[str, Any] = {"n_in": 0, "sumw": NO_SUM, "sections": sections, "spectrum": None}
    rest = replace(piece, rows=(middle, stop), entries=none, **nothing)
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
