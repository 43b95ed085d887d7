"""What is odd about the files of a dataset: failures, twins, outliers, things that do not match.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from intccms.metrics.inspector.record import FileRecord

__all__ = ["Problem", "find_problems"]

SHOWN = 5  # names in one text
OUTLIER_SIGMAS = 6.0  # of the median absolute deviation
OUTLIER_FRACTION = 0.3  # of the median, at least
OUTLIER_FILES = 5  # in a dataset, at least
OUTLIER_EVENTS = 100  # in a file, at least

Groups = dict[str, list[FileRecord]]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that somebody should look at."""

    kind: str  # e.g. "unreadable", "missing_branch"
    dataset: str
    path: str  # of the file, or of the first of several
    text: str
    n_files: int = 1

    def summary(self) -> dict[str, Any]:
        """Give it, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def find_problems(
    records: Iterable[FileRecord], disagreement: Callable[[FileRecord], str | None] | None = None
) -> tuple[Problem, ...]:
    """Find what is odd, the worst first.

    Parameters
    ----------
    records
        Of all files.
    disagreement
        Says in what a file differs from what a catalogue says of it.
    """
    every = list(records)
    good = [record for record in every if record.error is None]
    groups: Groups = {}
    for record in good:
        groups.setdefault(record.dataset, []).append(record)
    found = [
        Problem(
            "unreadable" if record.n_events is None else "damaged",
            record.dataset,
            record.path,
            f"{record.error_type}: {record.error}",
        )
        for record in every
        if record.error is not None
    ]
    found += _differing(every, disagreement)
    found += _twins(good)
    found += _repeated(good)
    for dataset, files in groups.items():
        found += _missing_branches(dataset, files)
        found += _compressions(dataset, files)
        found += _empty(dataset, files)
        found += _outliers(dataset, files)
    return tuple(found)


def _differing(
    records: list[FileRecord], disagreement: Callable[[FileRecord], str | None] | None
) -> Iterator[Problem]:
    for record in records if disagreement is not None else ():
        text = disagreement(record) if disagreement is not None else None
        if text is not None:
            yield Problem("catalogue", record.dataset, record.path, text)


def _twins(records: list[FileRecord]) -> Iterator[Problem]:
    """Find files that are copies of one another: their events would count twice."""
    first: dict[str, FileRecord] = {}
    for record in records:
        other = first.setdefault(record.uuid, record)
        if other is not record:
            text = f"the same file (uuid {record.uuid}) as {other.path}"
            if other.dataset != record.dataset:
                text += f" of {other.dataset}"
            yield Problem("duplicate_uuid", record.dataset, record.path, text)


def _repeated(records: list[FileRecord]) -> Iterator[Problem]:
    """Find events that several files hold.

    Run, section and number name an event of data anywhere, one of simulation only within its
    dataset.
    """
    groups: Groups = {}
    for record in records:
        groups.setdefault("" if record.is_data else record.dataset or "-", []).append(record)
    for files in groups.values():
        pairs: Counter[tuple[int, int]] = Counter()
        lengths = [len(record.event_hashes) for record in files]
        hashes = np.concatenate([record.event_hashes for record in files])
        owner = np.repeat(np.arange(len(files)), lengths)
        order = np.lexsort((owner, hashes))
        same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        for index in same.tolist():
            pairs[int(owner[order[index]]), int(owner[order[index + 1]])] += 1
        for (one, two), n_shared in pairs.items():
            if files[one].uuid != files[two].uuid:
                n_seen = min(lengths[one], lengths[two])
                text = f"{n_shared} of {n_seen} events that were compared are in {files[one].path}"
                yield Problem("repeated_events", files[two].dataset, files[two].path, text)


def _missing_branches(dataset: str, files: list[FileRecord]) -> Iterator[Problem]:
    layouts: dict[tuple[str, ...], list[FileRecord]] = {}
    for record in files:
        layouts.setdefault(record.branches, []).append(record)
    union = frozenset(  # ROOT's own names for collections in RNTuples are not the user's
        name for names in layouts for name in names if not name.startswith("_")
    )
    for names, group in layouts.items():
        missing = sorted(union.difference(names))
        if missing:
            text = f"{_files(group)} without {_named(missing)}, which other files have"
            yield Problem("missing_branch", dataset, group[0].path, text, len(group))


def _compressions(dataset: str, files: list[FileRecord]) -> Iterator[Problem]:
    groups: dict[str, list[FileRecord]] = {}
    for record in files:
        if record.n_events:
            groups.setdefault(f"{record.format} {record.compression}", []).append(record)
    usual = max(groups, key=lambda one: len(groups[one]), default="")
    for name, group in groups.items():
        if name != usual:
            text = f"{_files(group)} stored as {name}, the others as {usual}"
            yield Problem("compression", dataset, group[0].path, text, len(group))


def _empty(dataset: str, files: list[FileRecord]) -> Iterator[Problem]:
    empty = [record for record in files if record.n_events == 0]
    if empty:
        text = f"{_files(empty)} without a single event"
        yield Problem("no_events", dataset, empty[0].path, text, len(empty))


def _outliers(dataset: str, files: list[FileRecord]) -> Iterator[Problem]:
    """Find files whose events are much larger or smaller than those of the others."""
    chosen = [one for one in files if (one.n_events or 0) >= OUTLIER_EVENTS and one.size_bytes]
    if len(chosen) < OUTLIER_FILES:
        return
    sizes = np.array([(one.size_bytes or 0) / (one.n_events or 1) for one in chosen])
    median = float(np.median(sizes))
    sigma = 1.4826 * float(np.median(np.abs(sizes - median)))
    limit = max(OUTLIER_SIGMAS * sigma, OUTLIER_FRACTION * median)
    for record, size in zip(chosen, sizes.tolist(), strict=True):
        if abs(size - median) > limit:
            text = f"{size:,.0f} bytes per event, the median of its dataset is {median:,.0f}"
            yield Problem("bytes_per_event", dataset, record.path, text)


def _files(group: list[FileRecord]) -> str:
    return "1 file" if len(group) == 1 else f"{len(group):,} files"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
