"""The list of a dataset's parts: what a skim holds, from which events, and whether it is whole."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from intccms.errors import InputError, nearest
from intccms.histograms.exact import ExactJson, SpectrumJson


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
    sumw: ExactJson  # JSON form of the exact sum of weights of all `n_in` events
    fingerprint: str  # of the skim selection
    weights: str = ""  # titles and sums of other weights of all `n_in` events, packed
    weight: str = ""  # what `sumw` is the sum of, in words; empty for data
    spectrum: SpectrumJson | None = None  # how the weights of simulation are spread, as JSON
    piece: str = ""  # of a chunk that was halved, e.g. "0_25000": parts need names of their own
    is_data: bool = False
    sections: str | None = None  # of the events of data, before any cut: "297050:12-137,140"
    source_events: int | None = None  # entries of the source file
    source_sumw: float | None = None  # of its Runs tree
    source_count: int | None = None  # generated events, of its Runs tree
    source_sections: str | None = None  # of data, of its LuminosityBlocks tree
    source_digest: str | None = None  # of the source file, see `datasets.files`
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
        """Return the fields as plain data, which the part shares."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


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
    """Return the parts of a group their rows in the file of the first."""
    rows, placed = 0, []
    for part in group:
        placed.append(replace(part, path=group[0].path, rows=(rows, rows + part.n_out)))
        rows += part.n_out
    return tuple(placed)


VERSION = 1
COMMON = ("dataset", "fingerprint", "n_listed")  # of a manifest and of each of its parts
REMAKE = "make it again with general.run_skimming=True and general.use_skimmed_input=False"


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries of a source file that a skim says nothing about; `stop` None: to its end."""

    file_index: int
    source: str
    start: int
    stop: int | None

    def __str__(self) -> str:
        """Return file and entries in words."""
        entries = f"entries {self.start} to {'its end' if self.stop is None else self.stop}"
        return f"{entries} of file {self.file_index} ({self.source})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SkimManifest:
    """The parts of one dataset, in the order of files and entries.

    Chunks of which no event was kept are parts without a file; a source file without events has
    one part from entry 0 to 0.
    """

    dataset: str
    format: str
    tree_name: str
    fingerprint: str  # of the skim selection
    n_listed: int  # files in the complete listing
    columns: tuple[str, ...]  # branches that every file of the skim holds
    parts: tuple[SkimPart, ...]

    @classmethod
    def of(cls, parts: Iterable[SkimPart], *, file_format: str, tree_name: str) -> SkimManifest:
        """Put the parts of one dataset together.

        Raises
        ------
        ValueError
            If there are none, or they are of different skims.
        """
        ordered = tuple(sorted(parts, key=_place))
        same = {(part.dataset, part.fingerprint, part.n_listed) for part in ordered}
        if len(same) != 1:
            raise ValueError(f"a manifest is of one skim, these are parts of {sorted(same)}")
        dataset, fingerprint, n_listed = same.pop()
        column_sets = [set(columns) for columns in {part.columns for part in ordered if part.path}]
        return cls(
            dataset=dataset,
            format=file_format,
            tree_name=tree_name,
            fingerprint=fingerprint,
            n_listed=n_listed,
            columns=tuple(sorted(set.intersection(*column_sets))) if column_sets else (),
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
        try:
            plain = json.loads(text)
            common = {name: plain[name] for name in COMMON}
            sets = [tuple(names) for names in plain["column_sets"]]
            parts = [
                SkimPart.from_json({**part, **common, "columns": sets[part["columns"]]})
                for part in plain["parts"]
            ]
            return cls.of(parts, file_format=plain["format"], tree_name=plain["tree_name"])
        except (IndexError, KeyError, TypeError) as exc:
            raise ValueError(f"not a manifest: {type(exc).__name__}: {exc}") from exc

    def to_json(self) -> str:
        """Return the text of ``manifest.json``: one line a part, equal things said once."""
        sets = {columns: i for i, columns in enumerate({part.columns: 0 for part in self.parts})}
        head = {
            "version": VERSION,
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "column_sets": list(sets),
        }
        del head["parts"]
        lines: list[str] = []
        for part in self.parts:
            plain = part.to_json() | {"columns": sets[part.columns]}
            lines.append(json.dumps({k: v for k, v in plain.items() if k not in COMMON}))
        body = ",\n  ".join(lines)
        return f'{json.dumps(head, indent=1)[:-2]},\n "parts": [\n  {body}\n ]\n}}\n'

    @property
    def paths(self) -> tuple[str, ...]:
        """Files of the skim, each once."""
        return tuple(dict.fromkeys(part.path for part in self.parts if part.path))

    def gaps(self, lfns: Sequence[str]) -> list[Gap]:
        """List the entries of the wanted files that no part is from.

        Parameters
        ----------
        lfns
            The files wanted; their positions are those in the complete listing.
        """
        of_file = defaultdict(list)
        for part in self.parts:
            of_file[part.file_index].append(part)
        gaps: list[Gap] = []
        for index, lfn in enumerate(lfns):
            reached, parts = 0, of_file[index]
            for part in parts:
                if part.entry_start > reached:
                    gaps.append(Gap(index, lfn, reached, part.entry_start))
                reached = max(reached, part.entry_stop)
            end = parts[0].source_events if parts else None
            if not parts or (end is not None and reached < end):
                gaps.append(Gap(index, lfn, reached, end))
        return gaps

    def check(
        self,
        *,
        fingerprint: str,
        file_format: str,
        lfns: Sequence[str],
        columns: Collection[str] = (),
        is_whole: bool = True,
    ) -> None:
        """Check that this skim stands for the wanted files, selection and branches.

        Parameters
        ----------
        fingerprint, file_format
            Of the skim selection and the output as they are configured now.
        lfns
            The files wanted; their positions are those in the complete listing.
        columns
            Branches that the analysis reads.
        is_whole
            Whether it must say something about every event of these files.

        Raises
        ------
        InputError
            Saying what differs and how to make the skim again.
        """
        problems = self._problems(fingerprint, file_format, lfns, columns)
        gaps = self.gaps(lfns) if is_whole else []
        if gaps:
            others = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
            problems = [*problems, f"is incomplete: it lacks {gaps[0]}{others}"]
        for problem in problems:
            raise InputError(f"the skim of {self.dataset} {problem}; {REMAKE}")

    def _problems(
        self, fingerprint: str, file_format: str, lfns: Sequence[str], columns: Collection[str]
    ) -> Iterable[str]:
        if self.format != file_format:
            wanted = f"preprocess.skimming.output.format is {file_format}"
            yield f"is in {self.format}, but {wanted}: set it to {self.format}"
        if self.fingerprint != fingerprint:
            yield "was made with another selection than preprocess.skimming has now"
        for part in self.parts:
            if part.file_index < len(lfns) and part.source != lfns[part.file_index]:
                yield (
                    f"was made from another list of files: its file {part.file_index} was "
                    f"{part.source} and is {lfns[part.file_index]} now"
                )
        missing = [name for name in columns if name not in self.columns] if self.columns else []
        if missing:
            yield f"lacks the branch {missing[0]!r}; {nearest(missing[0], self.columns)}"


def _place(part: SkimPart) -> tuple[int, int, int]:
    return part.file_index, part.entry_start, part.entry_stop


def selected_parts(
    files: Iterable[Sequence[SkimPart]], fingerprint: str | None = None
) -> list[SkimPart]:
    """Choose, of all records that were found, one for each event.

    A run that was killed can leave the same chunk in two files: whole and in halves, or alone and
    put together with others. Both hold the same events.

    Parameters
    ----------
    files
        The records of each file.
    fingerprint
        Of the selection that is wanted; None: the one that most events are from.
    """
    known = [list(records) for records in files]
    n_events: Counter[tuple[str, int]] = Counter()
    n_of_source: Counter[tuple[int, str, str | None]] = Counter()
    for part in (part for records in known for part in records):
        if fingerprint is None or part.fingerprint == fingerprint:
            n_events[part.fingerprint, part.n_listed] += part.n_in
            n_of_source[_source(part)] += part.n_in
    if not n_events:
        return []
    skim = max(n_events, key=lambda key: n_events[key])
    chosen: dict[int, list[SkimPart]] = defaultdict(list)
    for records in sorted(known, key=lambda one: (-len(one), -sum(part.n_in for part in one))):
        for part in records:
            taken, index = chosen[part.file_index], part.file_index
            best = max((n for key, n in n_of_source.items() if key[0] == index), default=0)
            if (part.fingerprint, part.n_listed) != skim or n_of_source[_source(part)] < best:
                continue
            start, stop = part.entry_start, part.entry_stop
            if not any(start < one.entry_stop and one.entry_start < stop for one in taken):
                taken.append(part)
    return [part for parts in chosen.values() for part in parts]


def _source(part: SkimPart) -> tuple[int, str, str | None]:
    """Tell which file a part is from; the same place may have had several, one after the other."""
    return part.file_index, part.uuid, part.source_digest
