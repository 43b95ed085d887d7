"""Which luminosity sections of the data were processed, so that the luminosity can follow a loss.

Reads golden JSONs; `write_golden_json` replaces one file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from intccms.datasets.contents import FileCount, FileFailure
from intccms.datasets.sections import LumiSections
from intccms.storage import write_text

__all__ = [
    "FileSections",
    "LumiBooks",
    "SharedSections",
    "balanced",
    "file_sections",
    "write_golden_json",
]

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
                str(run): {
                    "expected": expected[run],
                    "missing": n_missing,
                    "fraction": n_missing / expected[run],
                }
                for run, n_missing in self.missing.n_by_run().items()
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
