"""From files to work items: every input file is opened once, then cut into entry ranges.

The files are opened by the executor that is handed in; `save` and `load` touch ``metadata/``.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from coffea.processor.executor import WorkItem

from intccms.datasets.contents import (
    FileCount,
    FileFailure,
    FileQuery,
    count,
    dataset_spec,
    unchanged,
)
from intccms.datasets.files import PAUSES_S
from intccms.datasets.fileset import DatasetFiles, Fileset
from intccms.datasets.skimmed_rows import SkimmedRows
from intccms.errors import ClusterLostError, InputError, WorkerLostError
from intccms.storage import write_json

log = logging.getLogger(__name__)

Place = tuple[str, str, int]  # dataset, LFN, first entry of a work item

N_LOOKS = 16  # files that are looked at at the same time, to see whether they have changed
_ADVICE = "run once with general.run_metadata_generation=True"


class Mapper(Protocol):
    """What `collect` needs of an executor."""

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any], /
    ) -> Iterator[tuple[Any, Any]]:
        """Yield (item, result), in any order."""
        ...


@dataclass(frozen=True, slots=True)
class Metadata:
    """All input files, opened or not, and the plan of work."""

    fileset: Fileset
    files: tuple[FileCount, ...]
    failures: tuple[FileFailure, ...]
    work_items: tuple[WorkItem, ...]  # filename is the LFN, usermeta {"file_index": i, "chunk": j}
    skimmed_rows: Mapping[Place, tuple[SkimmedRows, ...]] | None = (
        None  # of a skim, what it kept of each item
    )
    chunking: str = ""  # why the work is cut as it is, where that was not asked for
    twins: tuple[Twin, ...] = ()  # other names of files, which are not read

    def cut(self, chunk_size: int) -> Metadata:
        """Return the same files with work items of another size."""
        items = work_items(self.fileset, self.files, chunk_size)
        return replace(self, work_items=tuple(items))

    def rows_of(self, item: WorkItem) -> tuple[SkimmedRows, ...] | None:
        """Return what a skim has kept of a work item; None where originals are read."""
        if self.skimmed_rows is None:
            return None
        return self.skimmed_rows[item.dataset, item.filename, item.entrystart]

    def files_of(self, dataset: str) -> tuple[FileCount, ...]:
        """Return the opened files of a dataset."""
        return tuple(file for file in self.files if file.dataset == dataset)

    def failures_of(self, dataset: str) -> tuple[FileFailure, ...]:
        """Return the files of a dataset that could not be opened."""
        return tuple(file for file in self.failures if file.dataset == dataset)

    def twins_of(self, dataset: str) -> tuple[Twin, ...]:
        """Return the files of a dataset that are read under another name."""
        return tuple(twin for twin in self.twins if twin.file.dataset == dataset)

    def n_events(self, dataset: str) -> int:
        """Count the events of a dataset in the files that were opened."""
        return sum(file.n_events for file in self.files_of(dataset))


def collect(
    fileset: Fileset,
    executor: Mapper,
    *,
    chunk_size: int,
    on_file: Callable[[FileCount | FileFailure], None] | None = None,
    known: Mapping[tuple[str, str], FileCount] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Metadata:
    """Open every file of a fileset and plan the work.

    Parameters
    ----------
    fileset
        What `DatasetManager` found.
    executor
        Opens the files: an object whose ``map(function, items)`` yields (item, result).
    chunk_size
        Wanted number of events per work item.
    on_file
        Called for each file as soon as it is known, for a progress display.
    known
        Files, by dataset and LFN, that the inspector has looked at: those that are still the same
        are not opened again.
    tell
        Shows what is waited for; with an empty text, that it is over.

    Raises
    ------
    InputError
        If no file of a dataset can be read, or every readable one lacks the tree.
    """
    answers: dict[tuple[str, str], FileCount | FileFailure] = {}
    queries = [
        FileQuery(
            files.dataset,
            lfn,
            files.pfns(lfn),
            files.tree_name,
            is_data=files.is_data,
            known=(known or {}).get((files.dataset, lfn)),
        )
        for files in fileset
        for lfn in files.lfns
    ]
    for pause_s in (0.0, *PAUSES_S):
        time.sleep(pause_s)
        gone: list[FileQuery] = []
        for query, answer in executor.map(count, queries):
            if isinstance(answer, ClusterLostError):
                raise answer
            if isinstance(answer, WorkerLostError):
                answer = FileFailure(query.dataset, query.lfn, "KilledWorker", str(answer))
            if on_file is not None and (answer.dataset, answer.lfn) not in answers:
                on_file(answer)
            answers[answer.dataset, answer.lfn] = answer
            if isinstance(answer, FileFailure) and answer.is_unreachable:
                if not gone:
                    log.warning("%s; files there are tried again in the end", answer.error)
                    tell(answer.error)
                gone.append(query)
        if queries and not gone:
            tell("")
        queries = gone
        if not queries:
            break
    return _assembled(fileset, answers, chunk_size)


def _assembled(
    fileset: Fileset,
    answers: dict[tuple[str, str], FileCount | FileFailure],
    chunk_size: int | None,
) -> Metadata:
    """Bring the answers into the order of the fileset, check them, cut the work if asked to."""
    ordered = [
        answers.get((files.dataset, lfn))
        or FileFailure(files.dataset, lfn, "NoAnswer", "the executor returned nothing for it")
        for files in fileset
        for lfn in files.lfns
    ]
    counts = tuple(answer for answer in ordered if isinstance(answer, FileCount))
    failures = tuple(answer for answer in ordered if isinstance(answer, FileFailure))
    for files in fileset:
        if not any(file.dataset == files.dataset for file in counts):
            reasons = [failure for failure in failures if failure.dataset == files.dataset]
            raise InputError(_nothing_readable(files, reasons))
    counts, twins = without_twins(fileset, counts)
    items = work_items(fileset, counts, chunk_size) if chunk_size is not None else ()
    return Metadata(fileset, counts, failures, tuple(items), twins=twins)


def _nothing_readable(files: DatasetFiles, failures: list[FileFailure]) -> str:
    """Return why a dataset has no file to read."""
    head = f"dataset {files.dataset!r}"
    lacking = [failure for failure in failures if failure.trees is not None]
    if not lacking:
        first = f"{failures[0].error_type}: {failures[0].error}"
        return f"{head}: none of its {len(failures)} files can be read; first reason: {first}"
    trees = sorted({tree for failure in lacking for tree in failure.trees or ()})
    return (
        f"{head}: every readable file lacks the tree {files.tree_name!r}; trees there: {trees}; "
        f"see tree_name in the config; first: {lacking[0].error}"
    )


def save(metadata: Metadata, directory: str | Path) -> None:
    """Write ``fileset.json``, ``workitems.json`` and ``nanoaods.json``.

    Parameters
    ----------
    metadata
        What `collect` found.
    directory
        ``general.metadata_dir``. ``fileset.json`` loads as coffea's ``DataGroupSpec``.
    """
    directory = Path(directory)
    steps: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for item in metadata.work_items:
        entries = (item.entrystart, item.entrystop)
        steps.setdefault((item.dataset, item.filename), []).append(entries)
    groups, nanoaods = {}, {}
    for files in metadata.fileset:
        counts = metadata.files_of(files.dataset)
        twins = [twin.file for twin in metadata.twins_of(files.dataset)]
        failures = metadata.failures_of(files.dataset)
        groups[files.dataset] = dataset_spec(files, counts, failures, steps)
        nanoaods[files.dataset] = {
            "tree_name": files.tree_name,
            "nevts_total": metadata.n_events(files.dataset),
            "files": [_without_dataset(file, nevts=file.n_events) for file in (*counts, *twins)],
            "failures": [_without_dataset(failure) for failure in failures],
        }
    write_json(directory / "fileset.json", groups)
    write_json(directory / "workitems.json", [asdict(item) for item in metadata.work_items])
    write_json(directory / "nanoaods.json", nanoaods)  # last: `load` begins with it


def _without_dataset(answer: FileCount | FileFailure, **further: Any) -> dict[str, Any]:
    left_out = {"dataset", "n_events"}
    return {name: value for name, value in asdict(answer).items() if name not in left_out} | further


def load(directory: str | Path, fileset: Fileset, *, chunk_size: int | None = None) -> Metadata:
    """Read what `save` wrote, as far as it belongs to a fileset.

    Parameters
    ----------
    directory
        ``general.metadata_dir``.
    fileset
        The files that the configuration asks for now; saved files beyond them are left out.
        Redirectors may have changed since.
    chunk_size
        Wanted number of events per work item; None: the work items as they were saved.

    Raises
    ------
    InputError
        If there is no such metadata, a listed file or its tree is not in it, or a file has changed
        since. A file that cannot be looked at is taken as it was.
    """
    path = Path(directory) / "nanoaods.json"
    saved = _read(path)
    answers: dict[tuple[str, str], FileCount | FileFailure] = {}
    for files in fileset:
        answers.update(_unchanged(files, _saved_answers(files, saved, path), path))
    metadata = _assembled(fileset, answers, chunk_size)
    if chunk_size is not None:
        return metadata
    return replace(metadata, work_items=_saved_items(metadata, path.with_name("workitems.json")))


def _saved_answers(
    files: DatasetFiles, saved: Any, path: Path
) -> dict[tuple[str, str], FileCount | FileFailure]:
    """Find what was saved of each file of a dataset."""
    known: dict[str, FileCount | FileFailure] = {}
    try:
        block = saved.get(files.dataset, {"files": [], "failures": [], "tree_name": None})
        for fields in block["failures"]:
            trees = None if fields["trees"] is None else tuple(fields["trees"])
            known[fields["lfn"]] = FileFailure(files.dataset, **{**fields, "trees": trees})
        for fields in block["files"]:
            n_events = fields.pop("nevts")
            known[fields["lfn"]] = FileCount(files.dataset, n_events=n_events, **fields)
        tree_name = block["tree_name"]
    except (AttributeError, KeyError, TypeError) as error:
        raise _unlike_written(path, error) from error
    missing = [lfn for lfn in files.lfns if lfn not in known]
    if missing:
        what = f"{len(missing)} of {len(files.lfns)} files of dataset {files.dataset!r}"
        raise InputError(f"{path} lacks {what}, the first is {missing[0]}; {_ADVICE}")
    if tree_name != files.tree_name:
        what = f"tree {tree_name!r} of dataset {files.dataset!r}, not {files.tree_name!r}"
        raise InputError(f"{path} describes {what}; {_ADVICE}")
    return {(files.dataset, lfn): known[lfn] for lfn in files.lfns}


def _unchanged(
    files: DatasetFiles, saved: dict[tuple[str, str], FileCount | FileFailure], path: Path
) -> dict[tuple[str, str], FileCount | FileFailure]:
    """Look whether the files are still what was saved of them."""
    queries = [
        FileQuery(files.dataset, one.lfn, files.pfns(one.lfn), files.tree_name, known=one)
        for one in saved.values()
        if isinstance(one, FileCount)
    ]
    with ThreadPoolExecutor(N_LOOKS) as pool:
        looks_alike = list(pool.map(lambda query: unchanged(query, if_gone=query.known), queries))
    for query, one in zip(queries, looks_alike, strict=True):
        if one is None:
            what = f"{query.lfn} (dataset {query.dataset!r}) is not the file it describes"
            raise InputError(f"{path} is out of date: {what}; {_ADVICE}")
        saved[one.dataset, one.lfn] = one
    return saved


def _saved_items(metadata: Metadata, path: Path) -> tuple[WorkItem, ...]:
    """Read the saved work items of the files in `metadata`, in the order of these."""
    planned: dict[tuple[str, str], list[WorkItem]] = {}
    try:
        for fields in _read(path):
            item = WorkItem(**fields)
            planned.setdefault((item.dataset, item.filename), []).append(item)
    except TypeError as error:
        raise _unlike_written(path, error) from error
    for file in metadata.files:
        n_planned = sum(len(item) for item in planned.get((file.dataset, file.lfn), ()))
        if n_planned != file.n_events:
            what = f"{n_planned} of the {file.n_events} events of {file.lfn}"
            raise InputError(f"{path} plans {what}; {_ADVICE}")
    index = file_indices(metadata.fileset)  # the listing may have grown since
    return tuple(
        replace(item, usermeta={"file_index": index[file.dataset, file.lfn], "chunk": chunk})
        for file in metadata.files
        for chunk, item in enumerate(planned.get((file.dataset, file.lfn), ()))
    )


def _unlike_written(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not as it was written ({error!r}); {_ADVICE}")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"cannot read the saved metadata: {reason}: {path}; {_ADVICE}") from error


@dataclass(frozen=True, slots=True)
class Twin:
    """Another name of a file that is read under its first one."""

    file: FileCount
    same_dataset: str
    same_as: str  # LFN of the file that is read


def without_twins(
    fileset: Fileset, counts: Iterable[FileCount]
) -> tuple[tuple[FileCount, ...], tuple[Twin, ...]]:
    """Keep the first of the files that are copies of one another.

    An event of collision data counts once, in whatever dataset. Simulation of one process and year
    counts once, too; that of several years is normalised to the luminosity of each and is kept.
    So is a file of two datasets that both have a selection: each takes its part.

    Parameters
    ----------
    fileset
        What the datasets are.
    counts
        The files that opened, in the order of the fileset.

    Raises
    ------
    InputError
        If two different files have one uuid, if a file is simulation of two processes, or if
        nothing would be left of a simulated dataset.
    """
    distinct: list[FileCount] = []
    twins: list[Twin] = []
    seen: dict[str, list[FileCount]] = {}
    for file in counts:
        others = seen.setdefault(file.uuid, []) if file.uuid else []
        first = next((one for one in others if _is_twin(fileset, one, file)), None)
        if first is None:
            others.append(file)
            distinct.append(file)
            continue
        twins.append(Twin(file, first.dataset, first.lfn))
        log.warning("the same file twice, it is read once: %s", _names(first, file))
    left = {file.dataset for file in distinct}
    for twin in twins:
        files = fileset[twin.file.dataset]
        if files.dataset not in left and not files.is_data:
            raise InputError(
                f"every file of dataset {files.dataset!r} is in another one, too: {twin.file.lfn} "
                f"is {twin.same_as} of {twin.same_dataset!r}; leave one of the directories out"
            )
    return tuple(distinct), tuple(twins)


def _is_twin(fileset: Fileset, first: FileCount, file: FileCount) -> bool:
    """Return whether the events of two files with one uuid are to be counted once."""
    if not _same_content(first, file):
        raise InputError(
            f"two different files have one uuid: {_names(first, file)}; one of them was changed "
            "after it was copied: remove the one that is out of date"
        )
    one, other = fileset[first.dataset], fileset[file.dataset]
    if one is not other and one.has_selection and other.has_selection:
        return False
    if one.is_data and other.is_data:
        return True
    if one.is_data or other.is_data or one.process != other.process:
        raise InputError(
            f"one file for two processes, its events would count twice: {_names(first, file)}; "
            "remove it from one of them, or give each of these datasets its 'selection'"
        )
    if one is other or one.year == other.year:
        return True
    if first.lfn != file.lfn:
        log.warning("the same simulation stands for two years: %s", _names(first, file))
    return False


def _same_content(one: FileCount, other: FileCount) -> bool:
    if one.digest and other.digest:
        return one.digest == other.digest
    return one.n_events == other.n_events  # of a skim that an earlier version has made


def _names(one: FileCount, other: FileCount) -> str:
    return f"{one.lfn} ({one.dataset}) and {other.lfn} ({other.dataset})"


def work_items(
    fileset: Fileset, counts: Iterable[FileCount], chunk_size: int
) -> Iterator[WorkItem]:
    """Cut the events of each file into work items of about `chunk_size`."""
    index = file_indices(fileset)
    trees = {files.dataset: files.tree_name for files in fileset}
    for file in counts:
        for chunk, (start, stop) in enumerate(_ranges(file.n_events, chunk_size)):
            yield WorkItem(
                dataset=file.dataset,
                filename=file.lfn,
                treename=trees[file.dataset],
                entrystart=start,
                entrystop=stop,
                fileuuid=file.uuid,
                usermeta={"file_index": index[file.dataset, file.lfn], "chunk": chunk},
            )


def file_indices(fileset: Fileset) -> dict[tuple[str, str], int]:
    """Return the position of each file in the listing of its dataset, by dataset and LFN."""
    return {(files.dataset, lfn): i for files in fileset for i, lfn in enumerate(files.lfns)}


def _ranges(n_events: int, chunk_size: int) -> Iterator[tuple[int, int]]:
    """Cut entries into ranges of about `chunk_size`, as coffea does."""
    if n_events == 0:
        return
    step = math.ceil(n_events / max(round(n_events / chunk_size), 1))
    for start in range(0, n_events, step):
        yield start, min(start + step, n_events)
