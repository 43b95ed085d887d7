"""Small parts of one source file → fewer files, in which each chunk keeps its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from intccms.skimming.parts import SkimPart

__all__ = ["groups", "laid_out"]


def groups(parts: Iterable[SkimPart], target_events: int) -> Iterator[tuple[SkimPart, ...]]:
    """Group parts that go into one file: in order of entries, closed once it has enough events.

    Parameters
    ----------
    parts
        Of one source file, each with kept events.
    target_events
        Kept events of a file, at least; the last one may have fewer.
    """
    group: list[SkimPart] = []
    for part in sorted(parts, key=lambda part: part.entry_start):
        group.append(part)
        if sum(one.n_out for one in group) >= target_events:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)


def laid_out(group: Sequence[SkimPart]) -> tuple[SkimPart, ...]:
    """Give the parts of a group their rows in the file of the first."""
    rows, placed = 0, []
    for part in group:
        placed.append(replace(part, path=group[0].path, rows=(rows, rows + part.n_out)))
        rows += part.n_out
    return tuple(placed)
