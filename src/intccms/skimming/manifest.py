"""The list of a dataset's parts: what a skim holds, from which events, and whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from intccms.skimming.parts import SkimPart

__all__ = ["SkimManifest"]

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SkimManifest:
    """The parts of one dataset, in the order of files and entries; empty chunks have no file."""

    dataset: str
    format: str
    tree_name: str
    fingerprint: str  # of the skim selection
    n_listed: int  # files in the complete listing
    columns: tuple[str, ...]  # branches that every file of the skim holds
    parts: tuple[SkimPart, ...]

    @classmethod
    def of(cls, parts: Iterable[SkimPart], *, format: str, tree_name: str) -> SkimManifest:  # noqa: A002
        """Put the parts of one dataset together.

        Raises
        ------
        ValueError
            If there are none, or they are of different skims.
        """
        ordered = tuple(sorted(parts, key=lambda part: (part.file_index, part.entry_start)))
        same = {(part.dataset, part.fingerprint, part.n_listed) for part in ordered}
        if len(same) != 1:
            raise ValueError(f"parts of different skims: {sorted(same)}")
        dataset, fingerprint, n_listed = same.pop()
        held = [set(part.columns) for part in ordered if part.path]
        columns = tuple(sorted(set.intersection(*held))) if held else ()
        return cls(
            dataset=dataset,
            format=format,
            tree_name=tree_name,
            fingerprint=fingerprint,
            n_listed=n_listed,
            columns=columns,
            parts=ordered,
        )

    @classmethod
    def from_json(cls, text: str) -> SkimManifest:
        """Read back `to_json`.

        Raises
        ------
        ValueError
            If it is no manifest.
        """
        plain = json.loads(text)
        parts = [SkimPart.from_json(part) for part in plain["parts"]]
        return cls.of(parts, format=plain["format"], tree_name=plain["tree_name"])

    def to_json(self) -> str:
        """Give it as the text of ``manifest.json``."""
        plain: Mapping[str, Any] = {"version": VERSION, **asdict(self)}
        return json.dumps(plain, indent=1) + "\n"

    def check(
        self,
        *,
        fingerprint: str,
        format: str,
        lfns: Sequence[str],
        columns: Iterable[str] = (),  # noqa: A002
    ) -> None:
        """Check that this skim stands for the files and the selection asked for.

        Parameters
        ----------
        fingerprint, format
            Of the skim selection and the output, as configured now.
        lfns
            The files wanted, numbered as in the complete listing.
        columns
            Branches that the analysis reads.

        Raises
        ------
        InputError
            Saying which and how to remake it.
        """
