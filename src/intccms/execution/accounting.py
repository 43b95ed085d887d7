"""Sums, and the books of what was planned, processed and lost: events, sections of the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from coffea.processor import accumulate

from intccms.datasets.contents import FileCount, FileFailure
from intccms.datasets.sections import LumiSections
from intccms.execution.tasks import ChunkReport
from intccms.storage import write_text

WAITING = 8  # results that are added at once: it walks through all keys of the total each time


def merged(several: Iterable[Any]) -> Any:
    """Return the sum of results, which stay as they are."""
    return accumulate([{}, *several])


class Totals:
    """The sum of all results of each group.

    Parameters
    ----------
    group_of
        Names the group of an item, e.g. its dataset.
    """

    def __init__(self, group_of: Callable[[Any], str]) -> None:
        self.group_of = group_of
        self._totals: dict[str, Any] = {}
        self._waiting: dict[str, list[Any]] = {}
        self._n_waiting = 0

    def take(self, group: str, sums: Any) -> None:
        """Add one result, or the sum of several."""
        self._waiting.setdefault(group, []).append(sums)
        self._n_waiting += 1
        if self._n_waiting >= WAITING:
            self._add()

    def _add(self) -> None:
        for group, several in self._waiting.items():
            total = self._totals.setdefault(group, {})
            accumulate([several[0] if len(several) == 1 else merged(several)], total)
        self._waiting, self._n_waiting = {}, 0

    @property
    def by_group(self) -> dict[str, Any]:
        """The totals of all groups that have one."""
        self._add()
        return self._totals


@dataclass
class Amount:
    """Files, chunks, events and sum of weights.

    A number is None where it is not known: what is in a file that never opened.
    """

    files: int = 0
    chunks: int | None = 0
    events: int | None = 0
    sumw: float | None = 0.0


@dataclass(frozen=True)
class LostChunk:
    """Input that was planned and not processed; entries are None for a file that never opened."""

    dataset: str
    file: str
    entries: tuple[int, int] | None
    error: str


@dataclass(frozen=True)
class RepeatedFile:
    """Another name of a file, which was read once, as `same_as` of `same_dataset`."""

    dataset: str
    file: str
    same_dataset: str
    same_as: str


@dataclass
class DatasetLedger:
    """The books of one dataset; ``planned − processed`` is what was lost."""

    planned: Amount = field(default_factory=Amount)
    processed: Amount = field(default_factory=Amount)
    lost: Amount = field(default_factory=Amount)
    resumed: Amount = field(default_factory=Amount)
    files_of_unknown_size: int = 0
    sumw_source: str = "events"
    weights: dict[str, Any] | None = None  # see `WeightReport`; None: of data, or not known


@dataclass
class Ledger:
    """The books of a run.

    Parameters
    ----------
    datasets
        By dataset key.
    lost_chunks
        Each with its reason.
    repeated_files
        Names of files that were read under another name.
    retries
        Tries after the first, summed over the chunks that were not taken from an earlier run.
    """

    datasets: dict[str, DatasetLedger] = field(default_factory=dict)
    lost_chunks: list[LostChunk] = field(default_factory=list)
    repeated_files: list[RepeatedFile] = field(default_factory=list)
    retries: int = 0

    @classmethod
    def closed(
        cls,
        datasets: Iterable[str],
        reports: Sequence[ChunkReport],
        never_opened: Sequence[LostChunk],
    ) -> Ledger:
        """Balance the books when every chunk has its report.

        Parameters
        ----------
        datasets
            Keys in the order of the configuration.
        reports
            One for each planned chunk.
        never_opened
            Files of the listings that could not be counted.
        """
        ledger = cls({dataset: DatasetLedger() for dataset in datasets})
        lost_files: dict[str, set[str]] = {}
        done_files: dict[str, set[str]] = {}
        for report in reports:
            book = ledger.datasets[report.dataset]
            if not report.status.is_resumed:  # its tries were made in an earlier run
                ledger.retries += report.tries - 1
            known = None if report.status.is_lost else report.sumw
            _book(book.planned, report.n_planned, known)
            if report.status.is_lost:
                _book(book.lost, report.n_planned, None)
                lost_files.setdefault(report.dataset, set()).add(report.file)
                entries = (report.entry_start, report.entry_stop)
                error = f"{report.error_type}: {report.error}"
                ledger.lost_chunks.append(LostChunk(report.dataset, report.file, entries, error))
                continue
            _book(book.processed, report.n_events, report.sumw)
            done_files.setdefault(report.dataset, set()).add(report.file)
            if report.status.is_resumed:
                _book(book.resumed, report.n_events, report.sumw)
        for dataset, book in ledger.datasets.items():
            lost = lost_files.get(dataset, set())
            done = done_files.get(dataset, set())
            book.planned.files = len(lost | done)
            book.lost.files, book.processed.files = len(lost), len(done - lost)
        ledger._add_unopened(never_opened)
        return ledger

    def add_empty(self, dataset: str) -> None:
        """Count a file without events, which makes no chunk."""
        book = self.datasets[dataset]
        book.planned.files += 1
        book.processed.files += 1

    def _add_unopened(self, never_opened: Sequence[LostChunk]) -> None:
        for lost in never_opened:
            book = self.datasets[lost.dataset]
            for amount in (book.planned, book.lost):
                amount.files += 1
                amount.chunks = amount.events = amount.sumw = None
            book.files_of_unknown_size += 1
        self.lost_chunks.extend(never_opened)

    @property
    def n_processed(self) -> int:
        """Events processed in all datasets."""
        return sum(book.processed.events or 0 for book in self.datasets.values())

    @property
    def is_complete(self) -> bool:
        """Whether nothing at all was lost."""
        return not self.lost_chunks

    def lost_fraction(self) -> float:
        """Return the largest part that any dataset lost: of events, of files where unknown."""
        return max((_fraction(book) for book in self.datasets.values()), default=0.0)

    def rows(self) -> list[list[str]]:
        """Return the table to show: one line a dataset, and the total."""
        header = ["dataset", "files", "chunks", "events planned", "processed", "lost"]
        lines = [
            [
                dataset,
                f"{book.processed.files}/{book.planned.files}",
                f"{book.processed.chunks}/{_shown(book.planned.chunks)}",
                _shown(book.planned.events),
                _shown(book.processed.events),
                _shown(book.lost.events) if book.lost.files else "0",
            ]
            for dataset, book in self.datasets.items()
        ]
        return [header, *lines]

    def to_dict(self) -> dict[str, Any]:
        """Return the part of ``run_summary.json`` that this is."""
        return {
            "datasets": {name: asdict(book) for name, book in self.datasets.items()},
            "lost_chunks": [asdict(lost) for lost in self.lost_chunks],
            "repeated_files": [asdict(one) for one in self.repeated_files],
            "retries": self.retries,
        }


def _book(amount: Amount, n_events: int, sumw: float | None) -> None:
    amount.chunks = (amount.chunks or 0) + 1
    amount.events = (amount.events or 0) + n_events
    amount.sumw = None if sumw is None or amount.sumw is None else amount.sumw + sumw


def _fraction(book: DatasetLedger) -> float:
    if not book.lost.files:
        return 0.0
    if book.planned.events:
        return (book.lost.events or 0) / book.planned.events
    return book.lost.files / max(book.planned.files, 1)


def _shown(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


NOTHING = LumiSections.union(())


@dataclass(frozen=True)
class FileSections:
    """The sections of one data file.

    Parameters
    ----------
    listed
        In its ``LuminosityBlocks`` tree; None if it has none or never opened.
    seen
        In its processed events, before any cut.
    is_whole
        Whether every event of the file was processed.
    """

    dataset: str
    listed: LumiSections | None
    seen: LumiSections
    is_whole: bool

    @property
    def known(self) -> LumiSections:
        """All sections that the file is known to hold."""
        return self.seen if self.listed is None else self.listed + self.seen

    @property
    def may_hold_more(self) -> bool:
        """Whether the file may hold events of sections that are not known."""
        return self.listed is None and not self.is_whole


@dataclass(frozen=True)
class SharedSections:
    """Certified sections that two datasets hold: an event in both would count twice."""

    datasets: tuple[str, str]
    n_sections: int
    first: tuple[int, int]  # run and section

    def __str__(self) -> str:
        """Say it in one line."""
        one, other = self.datasets
        run, section = self.first
        return (
            f"{self.n_sections:,} luminosity sections are in both {one!r} and {other!r} (first: "
            f"run {run}, section {section}); an event in both counts twice unless a 'selection' of "
            "one dataset leaves it out; general.check_duplicates=True counts such events"
        )


@dataclass(frozen=True)
class LumiBooks:
    """The certified sections of the data of a run; ``expected − processed`` is missing.

    Parameters
    ----------
    expected
        In the planned files.
    processed
        Those of which no event is lost.
    files_without_tree
        Files that opened and have no ``LuminosityBlocks`` tree: of these, sections without an
        event are in neither set.
    files_of_unknown_sections
        Lost files and parts of files of which no list of sections exists.
    without_golden_json
        Datasets whose lumi mask names no golden JSON: all their sections count as certified.
    shared
        What any two datasets have in common.
    """

    expected: LumiSections
    processed: LumiSections
    files_without_tree: int = 0
    files_of_unknown_sections: int = 0
    without_golden_json: tuple[str, ...] = ()
    shared: tuple[SharedSections, ...] = ()

    @property
    def missing(self) -> LumiSections:
        """Sections of which something is lost."""
        return self.expected - self.processed

    def to_dict(self) -> dict[str, Any]:
        """Return the part of ``run_summary.json`` that this is."""
        expected = self.expected.n_by_run()
        return {
            "expected": len(self.expected),
            "processed": len(self.processed),
            "missing_by_run": {
                str(run): {"expected": expected[run], "missing": n, "fraction": n / expected[run]}
                for run, n in self.missing.n_by_run().items()
            },
            "files_without_tree": self.files_without_tree,
            "files_of_unknown_sections": self.files_of_unknown_sections,
            "without_golden_json": list(self.without_golden_json),
            "shared": [asdict(one) for one in self.shared],
        }


def file_sections(
    counts: Iterable[FileCount],
    failures: Iterable[FileFailure],
    *,
    seen: Mapping[str, Mapping[str, LumiSections]],
    n_processed: Mapping[tuple[str, str], int],
) -> Iterator[FileSections]:
    """Bring together what is known of the sections of each file.

    Parameters
    ----------
    counts, failures
        Planned files that opened and those that did not.
    seen
        Sections of the processed events, by dataset and uuid of the file.
    n_processed
        Number of processed events, by dataset and LFN.
    """
    for file in counts:
        listed = None if file.sections is None else LumiSections.from_text(file.sections)
        is_whole = n_processed.get((file.dataset, file.lfn), 0) == file.n_events
        found = seen.get(file.dataset, {}).get(file.uuid, NOTHING)
        yield FileSections(file.dataset, listed, found, is_whole)
    for failure in failures:
        yield FileSections(failure.dataset, None, NOTHING, is_whole=False)


def balanced(
    files: Iterable[FileSections], golden_jsons: Mapping[str, Sequence[str]]
) -> LumiBooks | None:
    """Find the sections that were processed with all their events.

    A section may be in several files and datasets; if one of these files is not whole, the
    section is not processed. That holds for every section of such a file: the lost entries may
    hold events of any of them, as nothing says that a file is ordered by section.

    A file whose list of sections is not known is taken to hold what other datasets have and its
    own has not, if the two have sections in common. Otherwise it is taken to hold sections that
    no other file holds.

    Parameters
    ----------
    files
        All planned files; those of other datasets than `golden_jsons` has are left out.
    golden_jsons
        By data dataset, the files that say which sections are certified.

    Returns
    -------
    LumiBooks or None
        None if there is no data.
    """
    files = tuple(files)
    known: dict[str, LumiSections] = {}
    partial: list[LumiSections] = []
    n_without, n_unknown = 0, 0
    uncertain: list[str] = []
    for dataset, paths in golden_jsons.items():
        own = [file for file in files if file.dataset == dataset]
        known[dataset] = certified(LumiSections.union(file.known for file in own), paths)
        lost = LumiSections.union(file.known for file in own if not file.is_whole)
        partial.append(lost & known[dataset])
        n_without += sum(file.listed is None and file.is_whole for file in own)
        n_lost = sum(file.may_hold_more for file in own)
        n_unknown += n_lost
        uncertain += [dataset] if n_lost else []
    if not known:
        return None
    for dataset in uncertain:
        mine = known[dataset]
        partial += [
            certified(other - mine, golden_jsons[dataset])
            for other in known.values()
            if len(other & mine)
        ]
    expected = LumiSections.union(known.values())
    return LumiBooks(
        expected,
        expected - LumiSections.union(partial),
        n_without,
        n_unknown,
        tuple(dataset for dataset, paths in golden_jsons.items() if not paths),
        tuple(_shared(known)),
    )


def _shared(known: Mapping[str, LumiSections]) -> Iterator[SharedSections]:
    for (one, mine), (other, theirs) in combinations(known.items(), 2):
        both = mine & theirs
        if len(both):
            yield SharedSections((one, other), len(both), both.first)


def certified(sections: LumiSections, golden_jsons: Iterable[str]) -> LumiSections:
    """Keep the sections that are in all of the golden JSONs."""
    for path in golden_jsons:
        sections = sections.within(json.loads(Path(path).read_text()))
    return sections


def write_golden_json(path: Path, sections: LumiSections) -> None:
    """Write sections as a golden JSON, one line a run, as brilcalc and `LumiMask` read it."""
    lines = [f'"{run}": {json.dumps(pairs)}' for run, pairs in sections.to_ranges().items()]
    write_text(path, "{" + ",\n ".join(lines) + "}\n")
