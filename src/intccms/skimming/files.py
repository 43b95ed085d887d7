"""The files of a skim in its storage: parts, records of empty chunks, manifests."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from intccms.errors import SkimWriteError
from intccms.skimming.manifest import SkimManifest
from intccms.skimming.parts import SkimPart
from intccms.skimming.storage import Storage
from intccms.skimming.verification import Checksums, sha256_of, verify_file
from intccms.skimming.writers import SUFFIX, Columns, columns_of, record_of, write_file

__all__ = ["EMPTY", "MANIFEST", "Record", "SkimFiles", "is_part", "place_of"]

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
EMPTY = "empty"  # suffix of the record of a chunk of which no event was kept
_PART = re.compile(r"/file_\d+/part_\d+(_[\w-]+)?\.(parquet|root|empty)$")


@dataclass(frozen=True, slots=True)
class Record:
    """What a file says about itself: format, tree and the chunks whose events it holds."""

    format: str
    tree_name: str
    parts: tuple[SkimPart, ...]

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Record:
        """Read back `to_json`."""
        parts = tuple(SkimPart.from_json(part) for part in plain["parts"])
        return cls(plain["format"], plain["tree_name"], parts)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        parts = [part.to_json() for part in self.parts]
        return {"format": self.format, "tree_name": self.tree_name, "parts": parts}


@dataclass(frozen=True)
class SkimFiles:
    """Files of one format in one storage.

    Parameters
    ----------
    storage, format, tree_name, verify
        Where and how.
    options
        Of the writer, resolved.
    """

    storage: Storage
    format: str
    tree_name: str
    verify: str
    options: Mapping[str, Any]

    def write(self, parts: Sequence[SkimPart], batches: Iterable[Columns]) -> tuple[SkimPart, ...]:
        """Write the file that all `parts` are in, one batch after the other, and check it."""
        path, rows = parts[0].path, parts[-1].rows[1]
        record = Record(self.format, self.tree_name, tuple(parts)).to_json()
        meant = Checksums() if self.verify == "full" else None
        if meant is not None:
            batches = meant.through(batches)
        with self.storage.draft(path) as draft:
            write_file(
                draft,
                self.format,
                batches,
                tree=self.tree_name,
                record=record,
                options=self.options,
            )
            if self.verify != "off":
                verify_file(draft, self.format, self.tree_name, rows=rows, meant=meant)
            size_bytes, sha256 = draft.stat().st_size, sha256_of(draft)
        if self.verify == "full" and self.storage.sha256(path) != sha256:
            self.storage.remove(path)
            raise SkimWriteError(f"{self.storage.url(path)} is not what was sent there")
        return tuple(replace(part, size_bytes=size_bytes, sha256=sha256) for part in parts)

    def write_empty(self, part: SkimPart) -> None:
        """Write the record of a chunk of which no event was kept."""
        record = Record(self.format, self.tree_name, (part,)).to_json()
        self.storage.write(f"{place_of(part)}.{EMPTY}", json.dumps(record).encode())

    def batches(self, parts: Sequence[SkimPart]) -> Iterator[Columns]:
        """Read the rows of parts, one part after the other."""
        for part in parts:
            with self.storage.local_copy(part.path) as copy:
                yield dict(columns_of(copy, self.format, self.tree_name, part.rows))

    def manifest(self, dataset: str) -> SkimManifest | None:
        """Read the manifest of a dataset; None: there is none that can be read."""
        text = self.storage.read(f"{dataset}/{MANIFEST}")
        try:
            return None if text is None else SkimManifest.from_json(text.decode())
        except ValueError as exc:
            log.warning("%s is damaged: %s", self.storage.url(f"{dataset}/{MANIFEST}"), exc)
            return None

    def record(self, path: str) -> Record | None:
        """Read what a file says about itself, size and checksum included; None: nothing."""
        try:
            if path.endswith(f".{EMPTY}"):
                return Record.from_json(json.loads(self.storage.read(path) or b""))
            kind = "parquet" if path.endswith(SUFFIX["parquet"]) else "ttree"
            with self.storage.local_copy(path) as copy:
                record = Record.from_json(record_of(copy, kind))
                size_bytes, sha256 = copy.stat().st_size, sha256_of(copy)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            log.warning("%s is left out: it cannot be read: %s", self.storage.url(path), exc)
            return None
        parts = (replace(part, size_bytes=size_bytes, sha256=sha256) for part in record.parts)
        return replace(record, parts=tuple(parts))


def place_of(part: SkimPart) -> str:
    """Name the file of a chunk below the output directory, without its suffix."""
    name = f"part_{part.chunk}" + (f"_{part.piece}" if part.piece else "")
    return f"{part.dataset}/file_{part.file_index}/{name}"


def is_part(path: str) -> bool:
    """Say whether a file has the name of a part or of the record of an empty chunk."""
    return _PART.search(path) is not None
