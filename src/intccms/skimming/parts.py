"""What is known of the kept events of one chunk: where they came from and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["SkimPart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkimPart:
    """The kept events of one chunk; the upper fields are the caller's, the lower the writer's.

    `to_json` gives what can be written as JSON, `from_json` reads that back.
    """

    dataset: str
    source: str  # LFN, or the path as it was listed
    uuid: str  # of the source file
    file_index: int  # of the source, in the complete listing of the dataset
    n_listed: int  # files in the complete listing
    chunk: int  # number of the planned work item in its file
    entry_start: int
    entry_stop: int
    n_in: int  # events of the chunk, before any cut
    sumw: dict[str, Any]  # JSON form of the exact sum of weights of all `n_in` events
    fingerprint: str  # of the skim selection
    weights: str = ""  # titles and sums of other weights of all `n_in` events, packed
    weight: str = ""  # what `sumw` is the sum of, in words; empty for data
    spectrum: dict[str, Any] | None = None  # how the weights of simulation are spread, as JSON
    piece: str = ""  # of a chunk that was halved, e.g. "0_25000": parts need names of their own
    is_data: bool = False
    sections: str | None = None  # of the events of data, before any cut: "297050:12-137,140"
    source_events: int | None = None  # entries of the source file
    source_sumw: float | None = None  # of its Runs tree
    source_count: int | None = None  # generated events, of its Runs tree
    source_sections: str | None = None  # of data, of its LuminosityBlocks tree
    source_digest: str | None = None  # of the source file, see `datasets.identity`
    # Dataset and name under which the events of this file are read, if it is a copy of another.
    same_as: tuple[str, str] | None = None

    n_out: int = 0  # kept events
    path: str = ""  # below the output directory; "": no event was kept, there is no file
    rows: tuple[int, int] = (0, 0)  # of the file: from the first up to the second
    size_bytes: int = 0  # of the file
    sha256: str = ""  # of the file
    columns: tuple[str, ...] = ()  # branches in the file

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> SkimPart:
        """Read back `to_json`.

        Raises
        ------
        ValueError
            If it is not the record of a part.
        """
        names = {field.name for field in fields(cls)}
        try:
            values = {name: value for name, value in plain.items() if name in names}
            first, stop = values.get("rows", (0, 0))
            columns = tuple(values.get("columns", ()))
            same_as = values.get("same_as")
            values["same_as"] = None if same_as is None else tuple(same_as)
            return cls(**(values | {"rows": (int(first), int(stop)), "columns": columns}))
        except (AttributeError, TypeError) as exc:
            raise ValueError(f"not the record of a part: {exc}") from exc

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data, which it shares."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
