"""Records of the parts of a skim on their way from the workers; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

import numpy as np

from intccms.histograms.exact import ExactSums
from intccms.skimming import SkimPart

__all__ = ["PER_DATASET", "PER_FILE", "SkimTable", "exact_as_json", "exact_from_json"]

PER_FILE = (
    "source_events", "source_sumw", "source_count", "source_sections", "source_digest"
)  # fmt: skip
PER_DATASET = ("dataset", "n_listed", "fingerprint", "is_data")


def exact_as_json(sumw: ExactSums) -> dict[str, Any]:
    """Write an exact sum in terms of JSON."""
    return {name: array.tolist() for name, array in sumw.to_arrays().items()}


def exact_from_json(plain: dict[str, Any]) -> ExactSums:
    """Read what `exact_as_json` gave."""
    sums = np.asarray(plain["sums"], dtype=np.float64).reshape(-1, 1)
    return ExactSums.from_arrays({"levels": np.asarray(plain["levels"], np.int64), "sums": sums})


@dataclass
class SkimTable:
    """The records of parts of one dataset, small enough for a hundred thousand of them.

    Parameters
    ----------
    lines
        One JSON text a part, without what all parts or all of a file have in common.
    columns
        Branches by the digest that a line has in their place.
    """

    lines: list[str] = field(default_factory=list)
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, part: SkimPart) -> SkimTable:
        """Take the record of one part."""
        plain = part.to_json()
        for name in (*PER_FILE, *PER_DATASET):
            del plain[name]
        digest = _digest(part.columns)
        line = json.dumps(plain | {"columns": digest}, separators=(",", ":"))
        return cls([line], {digest: part.columns})

    def __add__(self, other: SkimTable) -> SkimTable:
        """Both."""
        return SkimTable(self.lines + other.lines, self.columns | other.columns)

    def __iadd__(self, other: SkimTable) -> Self:
        """Take in the other; a table of many is not copied for each."""
        self.lines += other.lines
        self.columns |= other.columns
        return self

    def parts(self, common: dict[str, Any], files: dict[str, dict[str, Any]]) -> Iterator[SkimPart]:
        """Give the records back.

        Parameters
        ----------
        common
            What holds for the dataset.
        files
            What holds for a file, by its name.
        """
        for line in self.lines:
            plain = json.loads(line)
            columns = self.columns[plain["columns"]]
            yield SkimPart.from_json(
                plain | common | files.get(plain["source"], {}) | {"columns": columns}
            )


@lru_cache(maxsize=64)
def _digest(columns: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(columns).encode()).hexdigest()[:16]
