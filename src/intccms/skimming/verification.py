"""Whether a file of a skim holds what was meant to be written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from intccms.errors import SkimWriteError
from intccms.skimming.writers import Columns, columns_of, n_rows

__all__ = ["Checksums", "sha256_of", "verify_file"]

BLOCK = 1 << 20


class Checksums:
    """Checksums of columns over type, list lengths and values, in which batches do not show."""

    def __init__(self) -> None:
        self.n_rows = 0
        self._types: dict[str, str] = {}
        self._hashes: dict[str, tuple[Any, Any]] = {}

    def add(self, name: str, values: ak.Array) -> None:
        """Take in the next values of a column."""
        counts, flat = self._hashes.setdefault(name, (hashlib.sha256(), hashlib.sha256()))
        if values.ndim > 1:
            counts.update(np.ascontiguousarray(ak.num(values), dtype=np.int64))
            values = ak.flatten(values)
        numbers = np.ascontiguousarray(ak.to_numpy(values))
        self._types[name] = str(numbers.dtype)
        flat.update(numbers)

    def through(self, batches: Iterable[Columns]) -> Iterator[Columns]:
        """Hand batches on, each taken in."""
        for batch in batches:
            for name, values in batch.items():
                self.add(name, values)
            self.n_rows += len(next(iter(batch.values())))
            yield batch

    def digests(self) -> dict[str, str]:
        """Give type and checksum of each column."""
        return {
            name: f"{self._types[name]} {counts.hexdigest()} {flat.hexdigest()}"
            for name, (counts, flat) in self._hashes.items()
        }


def verify_file(path: Path, kind: str, tree: str, *, rows: int, meant: Checksums | None) -> None:
    """Read a local file again.

    Parameters
    ----------
    path, kind, tree
        As it was written.
    rows
        Entries it must have.
    meant
        Of the columns it must have; None: only entries are counted.

    Raises
    ------
    SkimWriteError
        If it holds anything else.
    """
    found = n_rows(path, kind, tree)
    if found != rows:
        raise SkimWriteError(f"{path} holds {found} entries after {rows} were written")
    if meant is None:
        return
    read = Checksums()
    for name, values in columns_of(path, kind, tree):
        read.add(name, values)
    expected, got = meant.digests(), read.digests()
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            raise SkimWriteError(f"{path} does not hold the values of {name} that were written")


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a local file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
