"""Events that are in the inputs more than once: (run, section, event) compared exactly.

Read on the workers, a range of luminosity sections at a time, so that the memory is bounded however
many events there are.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from awkward.contents import Content

from intccms.datasets import DatasetFiles
from intccms.datasets.files import best_first
from intccms.datasets.metadata import Metadata
from intccms.datasets.sections import LumiSections
from intccms.errors import IntccmsError, attempted
from intccms.execution.executors import Executor
from intccms.reading.columns import ReadMeter
from intccms.reading.source import Source, open_source

log = logging.getLogger(__name__)

IDENTITY = ("run", "luminosityBlock", "event")
EVENTS = 2_000_000  # that a worker compares at a time, with 20 bytes each, a few times over
ROWS = 500_000  # of a file that are read at a time
SHOWN = 5  # repeated events that are named

Options = Callable[[], Mapping[str, Any]]
Codes = npt.NDArray[np.uint64]  # as in `LumiSections`


@dataclass(frozen=True)
class Duplicates:
    """Events that are there more than once.

    Parameters
    ----------
    group
        What was compared: a dataset of simulation, or ``data``, all of it.
    n_events
        Events that were compared.
    n_repeated
        How many of them would have to go until each is there once.
    pairs
        Repeated events by the two datasets that hold them.
    first
        The first of them: run, section, event and two files that hold it.
    unread
        Files that could not be looked at.
    """

    group: str
    n_events: int = 0
    n_repeated: int = 0
    pairs: tuple[tuple[str, str, int], ...] = ()
    first: tuple[tuple[int, int, int, str, str], ...] = ()
    unread: tuple[str, ...] = ()

    def __add__(self, other: Duplicates) -> Duplicates:
        """Add what was found in other sections."""
        pairs: Counter[tuple[str, str]] = Counter()
        for one, two, n in (*self.pairs, *other.pairs):
            pairs[one, two] += n
        return Duplicates(
            self.group,
            self.n_events + other.n_events,
            self.n_repeated + other.n_repeated,
            tuple((one, two, n) for (one, two), n in sorted(pairs.items())),
            tuple(sorted({*self.first, *other.first})[:SHOWN]),
            tuple(sorted({*self.unread, *other.unread})),
        )

    @property
    def is_odd(self) -> bool:
        """Whether somebody should look at it."""
        return bool(self.n_repeated or self.unread)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Return one line for people."""
        unread = f"; {len(self.unread)} files could not be looked at" if self.unread else ""
        if not self.n_repeated:
            return f"{self.group}: none of {self.n_events:,} events is there twice{unread}"
        run, section, event, one, other = self.first[0]
        pairs = ", ".join(f"{n:,} in {one!r} and {two!r}" for one, two, n in self.pairs)
        return (
            f"{self.group}: {self.n_repeated:,} of {self.n_events:,} events are there twice "
            f"({pairs}); first: {run}:{section}:{event} in {one} and {other}{unread}"
        )


@dataclass(frozen=True)
class _Rows:
    """Rows of a file that hold events of one dataset."""

    dataset: str
    name: str
    pfns: tuple[str, ...]
    tree_name: str
    rows: tuple[int, int]
    sections: LumiSections | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.rows[1] - self.rows[0]


@dataclass(frozen=True)
class _Part:
    """Some luminosity sections, and all files that hold events of them."""

    group: str
    several: tuple[_Rows, ...]
    low: int
    high: int  # the first code that is not in the part


def count_duplicates(
    metadata: Metadata, executor: Executor, options: Options | None = None
) -> tuple[Duplicates, ...]:
    """Count the events that are in the inputs more than once.

    Events of collision data are compared in all datasets, those of simulation within their own.

    Parameters
    ----------
    metadata
        The files, or the parts of skims that stand in for them.
    executor
        Reads the identities.
    options
        Of the reader of skims, made on a worker.
    """
    groups: dict[str, list[_Rows]] = {}
    for files in metadata.fileset:
        group = "data" if files.is_data else files.dataset
        groups.setdefault(group, []).extend(_rows(metadata, files))
    counted = _counted(groups, executor, options)
    missed = {
        group: [replace(one, sections=None) for one in groups[group]]
        for group, total in counted.items()
        if not total.unread and total.n_events < sum(one.n_rows for one in groups[group])
    }
    if missed:  # the tree of luminosity sections does not list all sections of the events
        counted |= _counted(missed, executor, options)
    return tuple(counted.values())


def _counted(
    groups: Mapping[str, list[_Rows]], executor: Executor, options: Options | None
) -> dict[str, Duplicates]:
    totals = {group: Duplicates(group) for group in groups}
    parts: list[_Part] = []
    for group, several in groups.items():
        known, unread = _with_sections(several, executor, options)
        totals[group] += Duplicates(group, unread=unread)
        parts += _parts(group, known)
    for part, answer in executor.map(_compared, parts, arguments=(options,)):
        if isinstance(answer, Exception):
            names = tuple(one.name for one in part.several)
            answer = Duplicates(part.group, unread=names)
        totals[part.group] += answer
    return totals


def _rows(metadata: Metadata, files: DatasetFiles) -> Iterator[_Rows]:
    if metadata.skimmed_rows is None:
        for count in metadata.files_of(files.dataset):
            known = LumiSections.from_text(count.sections) if count.sections else None
            pfns, rows = files.pfns(count.lfn), (0, count.n_events)
            yield _Rows(files.dataset, count.lfn, pfns, files.tree_name, rows, known)
        return
    for (dataset, name, _), pieces in metadata.skimmed_rows.items():
        for piece in pieces if dataset == files.dataset else ():
            if piece.rows[0] < piece.rows[1]:
                yield _Rows(dataset, name, piece.pfns, piece.tree_name, piece.rows)


def _with_sections(
    several: list[_Rows], executor: Executor, options: Options | None
) -> tuple[list[_Rows], tuple[str, ...]]:
    """Find out which sections files hold that do not say it; name those that cannot be read."""
    known = [one for one in several if one.sections is not None]
    unread: list[str] = []
    missing = [one for one in several if one.sections is None]
    for one, answer in executor.map(_seen, missing, arguments=(options,)):
        if isinstance(answer, _Rows):
            known.append(answer)
        else:
            unread.append(one.name)
    return known, tuple(unread)


def _seen(one: _Rows, options: Options | None) -> _Rows | None:
    identities = attempted(list, _identities(one, IDENTITY[:2], options))
    if isinstance(identities, Exception):
        log.debug("%s: %s", one.name, identities)
        return None
    return replace(one, sections=LumiSections.union(LumiSections.of(*ids) for ids in identities))


def _identities(
    one: _Rows, names: tuple[str, ...], options: Options | None
) -> Iterator[list[npt.NDArray[Any]]]:
    """Read identities, some rows at a time, at the first place where that works."""
    reason: object = "nowhere"
    for pfn in best_first(one.pfns):
        source = attempted(_opened, pfn, one, names, options)
        if isinstance(source, Exception):  # the next place may have it
            reason = source
            continue
        for start in range(*one.rows, ROWS):
            fetch = source.fetch(start, min(start + ROWS, one.rows[1]), ReadMeter())
            columns: dict[str, Content] = fetch(list(names), False)
            yield [ak.to_numpy(columns[name]) for name in names]
        return
    raise IntccmsError(f"{one.name}: {reason}")


def _opened(pfn: str, one: _Rows, names: tuple[str, ...], options: Options | None) -> Source:
    """Open a file that has the columns."""
    source = open_source(pfn, one.tree_name, {} if options is None else options())
    source.fetch(*one.rows, ReadMeter())(list(names), True)
    return source


def _parts(group: str, several: Iterable[_Rows]) -> Iterator[_Part]:
    """Cut the sections of all files into ranges with about `EVENTS` events."""
    files = [one for one in several if one.sections is not None and len(one.sections)]
    if not files:
        return
    all_codes = [one.sections.codes for one in files if one.sections is not None]
    shares = [
        np.full(len(codes), one.n_rows / len(codes))
        for one, codes in zip(files, all_codes, strict=True)
    ]
    codes, index = np.unique(np.concatenate(all_codes), return_inverse=True)
    expected = np.cumsum(np.bincount(index, weights=np.concatenate(shares)))
    number = (expected / EVENTS).astype(np.int64)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    lows = codes[starts].tolist()
    for low, high in zip(lows, [*lows[1:], int(codes[-1]) + 1], strict=True):
        inside = tuple(
            one
            for one, mine in zip(files, all_codes, strict=True)
            if np.searchsorted(mine, np.uint64(low)) < np.searchsorted(mine, np.uint64(high))
        )
        yield _Part(group, inside, low, high)


def _compared(part: _Part, options: Options | None) -> Duplicates:
    """Compare the events of a part, by classes of event numbers if there are too many."""
    n_classes = 1
    while True:
        total = Duplicates(part.group)
        for number in range(n_classes):
            one = _compared_class(part, number, n_classes, options)
            if one is None:
                break
            total += one
        else:
            return total
        n_classes *= 4


def _compared_class(
    part: _Part, number: int, n_classes: int, options: Options | None
) -> Duplicates | None:
    """Compare the events of a part whose number is of one class; None: there are too many."""
    columns: list[list[Codes]] = []  # section, event number and position of the file, by block
    unread: list[str] = []
    n_events = 0
    for owner, one in enumerate(part.several):
        identities = _identities(one, IDENTITY, options)
        while block := attempted(next, identities, None):
            if isinstance(block, Exception):  # what cannot be read is lost when it is processed
                log.debug("%s: %s", one.name, block)
                unread.append(one.name)
                break
            run, section, event = (ids.astype(np.uint64) for ids in block)
            code = run << np.uint64(32) | section
            keep = (code >= np.uint64(part.low)) & (code < np.uint64(part.high))
            keep &= event % np.uint64(n_classes) == np.uint64(number)
            n_kept = int(keep.sum())
            columns.append([code[keep], event[keep], np.full(n_kept, owner, dtype=np.uint64)])
            n_events += n_kept
            if n_events > 4 * EVENTS:
                return None
    if not n_events:
        return Duplicates(part.group, unread=tuple(unread))
    codes, events, owners = (np.concatenate(blocks) for blocks in zip(*columns, strict=True))
    order = np.lexsort((owners, events, codes))
    codes, events, owners = codes[order], events[order], owners[order]
    same = np.flatnonzero((codes[1:] == codes[:-1]) & (events[1:] == events[:-1]))
    pairs: Counter[tuple[str, str]] = Counter()
    twins = np.stack([owners[same], owners[same + 1]])
    distinct, counts = np.unique(twins, axis=1, return_counts=True)
    for first, second, n in zip(*distinct.tolist(), counts.tolist(), strict=True):
        pairs[part.several[first].dataset, part.several[second].dataset] += n
    shown = []
    for at in same[:SHOWN].tolist():
        where = divmod(int(codes[at]), 2**32)  # run, section
        files = (part.several[owners[at]].name, part.several[owners[at + 1]].name)
        shown.append((*where, int(events[at]), *files))
    ordered = tuple((one, other, n) for (one, other), n in sorted(pairs.items()))
    return Duplicates(part.group, n_events, len(same), ordered, tuple(shown), tuple(unread))
