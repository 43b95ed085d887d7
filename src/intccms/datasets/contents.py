"""What an event file holds: entries, identity, sums of weights and luminosity sections.

Opens files, local or remote; one that cannot be opened is an answer too, never an exception.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from struct import Struct
from typing import Any

import awkward as ak
import fsspec
import pyarrow.parquet
import uproot
from uproot.deserialization import numbytes_version

from intccms.datasets.files import (
    Stamp,
    UnreachableError,
    best_first,
    blocks_of,
    bound_waiting,
    check_reachable,
    digest_of_blocks,
    digest_of_place,
    digest_of_source,
    drop_handle,
    has_failed,
    note_failure,
    stamp,
)
from intccms.datasets.fileset import DatasetFiles, file_format
from intccms.datasets.sections import LumiSections
from intccms.errors import BadContentError, attempted
from intccms.redaction import redacted

Look = Callable[[Any, "FileCount"], Any]  # at an open tree or parquet file

_TREES = ("TTree", "TNtuple", "TNtupleD", "TChain", "ROOT::RNTuple")
_TTREE_VERSIONS = range(16, 21)  # in which the number of entries follows four base classes
_PARQUET_TAIL = 8  # bytes: length of the footer (4, little endian), then "PAR1"


@dataclass(frozen=True, slots=True)
class FileQuery:
    """One file to be opened."""

    dataset: str
    lfn: str
    pfns: tuple[str, ...]  # where to try, in this order
    tree_name: str
    rounds: int = 4  # through all remote places, before the file is given up
    pause_s: float = 0.5  # after the first round, doubled after each further one
    is_data: bool = False  # its luminosity sections are wanted
    weight_branch: str | None = None  # whoever looks at the open file may want it
    known: FileCount | None = None  # from an earlier look; it counts if the file is the same


@dataclass(frozen=True, slots=True)
class FileCount:
    """What is known of a file that could be opened."""

    dataset: str
    lfn: str
    pfn: str  # where it was opened
    uuid: str
    n_events: int
    runs_sumw: float | None = None  # None without Runs tree, or without weights in it
    runs_count: int | None = None  # generated events
    # Of data: "297050:12-137,140" from the LuminosityBlocks tree; None: there is none.
    sections: str | None = None
    # What it is, see `identity`; files are equal if they hold the same.
    size_bytes: int | None = field(default=None, compare=False)
    modified: str = field(default="", compare=False)
    digest: str = field(default="", compare=False)

    @property
    def is_filtered(self) -> bool:
        """Whether it does not hold all events that were generated for it."""
        return self.runs_count not in (None, self.n_events)


@dataclass(frozen=True, slots=True)
class FileFailure:
    """A file that could not be opened, and why."""

    dataset: str
    lfn: str
    error_type: str
    error: str  # one line
    trees: tuple[str, ...] | None = None  # what it holds, if it opens but lacks the tree

    def __post_init__(self) -> None:
        """Leave credentials out of what is said."""
        object.__setattr__(self, "error", redacted(self.error))

    @property
    def is_unreachable(self) -> bool:
        """Whether a server that may have it took no connection."""
        return self.error_type == UnreachableError.__name__


class _NoSuchTree(Exception):
    """The file is readable, but does not hold the tree."""

    def __init__(self, text: str, trees: tuple[str, ...]) -> None:
        super().__init__(text)
        self.trees = trees


def count(query: FileQuery) -> FileCount | FileFailure:
    """Open a file and say what it holds.

    Parameters
    ----------
    query
        The file. Its places are tried in order; the remote ones again after a pause, as a
        server may be busy.

    Returns
    -------
    FileCount or FileFailure
        What it holds, or for each place the reason why it could not be read there.
    """
    known = unchanged(query)
    return examine(query)[0] if known is None else known


def unchanged(query: FileQuery, *, if_gone: FileCount | None = None) -> FileCount | None:
    """Return what is known of a file from before, with the place where it is now.

    Parameters
    ----------
    query
        The file; what is known of it counts as long as nobody says that it has changed.
    if_gone
        What is returned if it is nowhere any more.

    Returns
    -------
    FileCount or None
        None if the file has changed: it has to be opened.
    """
    known = query.known
    if known is None:
        return None
    as_it_was = replace(known, pfn=known.pfn if known.pfn in query.pfns else query.pfns[0])
    for pfn in best_first(query.pfns):
        if has_failed(pfn):  # with thousands of files nobody waits for it again
            return as_it_was
        now = attempted(same_file, known, pfn)
        if isinstance(now, FileNotFoundError):
            continue
        if isinstance(now, Exception):  # whoever reads the file will see
            note_failure(pfn, now)
            return as_it_was
        return None if now is None else replace(known, pfn=pfn, modified=now.modified)
    return if_gone


def same_file(known: FileCount, pfn: str) -> Stamp | None:
    """Return the stamp of the file at `pfn` if it is the one that was opened before, else None.

    It is if size and version are those that the same place said then. Else its bytes decide: a
    file that was only touched, copied or found at another server is the same.

    Raises
    ------
    OSError
        If it cannot be looked at.
    """
    now = stamp(pfn)
    if now.size_bytes != known.size_bytes:
        return None
    if pfn == known.pfn and now.modified and now.modified == known.modified:
        return now
    return now if known.digest and digest_of_place(pfn, now.size_bytes) == known.digest else None


def examine(query: FileQuery, look: Look | None = None) -> tuple[FileCount | FileFailure, Any]:
    """Open a file, say what it holds, and let somebody else look before it is closed.

    Parameters
    ----------
    query
        As for `count`.
    look
        Called with the open tree (or pyarrow's ``ParquetFile``) and what `count` says of it; if it
        fails the file has failed.

    Returns
    -------
    tuple
        What `count` returns, and what `look` did, or None.
    """
    reasons: dict[str, Exception] = {}
    for pfn in _attempts(query):
        counted = attempted(_count_at, pfn, query, look)
        if not isinstance(counted, Exception):
            return counted
        reasons[pfn] = counted  # a file can fail in any way; none may be lost
        drop_handle(pfn)
        note_failure(pfn, counted)
        gone = [isinstance(reasons.get(one), UnreachableError) for one in query.pfns]
        if all(gone):
            break
    last = next(reversed(reasons.values()))
    failure = FileFailure(
        dataset=query.dataset,
        lfn=query.lfn,
        error_type=_error_type(reasons.values()),
        error="; ".join(_one_line(pfn, reason) for pfn, reason in reasons.items()),
        trees=last.trees if isinstance(last, _NoSuchTree) else None,
    )
    return failure, None


def _error_type(reasons: Collection[Exception]) -> str:
    """Name the error of a file: that of the last place, unless another one may have it."""
    *_, last = reasons
    if any(isinstance(one, UnreachableError) for one in reasons):
        return UnreachableError.__name__
    return "NoSuchTree" if isinstance(last, _NoSuchTree) else type(last).__name__


def _attempts(query: FileQuery) -> Iterator[str]:
    """Yield every place, in the order to try."""
    yield from best_first(query.pfns)
    remote = tuple(pfn for pfn in query.pfns if "://" in pfn)
    for n_done in range(query.rounds - 1 if remote else 0):
        time.sleep(query.pause_s * 2**n_done)
        yield from best_first(remote)


def _one_line(pfn: str, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if pfn in text else f"{text} ({pfn})"


def _count_at(pfn: str, query: FileQuery, look: Look | None) -> tuple[FileCount, Any]:
    check_reachable(pfn)
    if file_format(pfn) == "parquet":
        return _count_parquet(pfn, query, look)
    bound_waiting(pfn)
    place = _stamp(pfn)
    # As a dict: a plain name is split at a colon. No caches: trees with 1600 branches are large.
    with uproot.open({pfn: None}, object_cache=None, array_cache=None) as file:
        classes = file.classnames(cycle=False)
        _check_tree(classes, query.tree_name)
        runs_sumw, runs_count = _runs_sums(file) if classes.get("Runs") in _TREES else (None, None)
        tree = file[query.tree_name] if look is not None else None
        n_events = _n_entries(file, query.tree_name) if tree is None else int(tree.num_entries)
        size_bytes = int(file.file.source.num_bytes if place is None else place.size_bytes)
        counted = FileCount(
            query.dataset,
            query.lfn,
            pfn,
            str(file.file.uuid),
            n_events=n_events,
            runs_sumw=runs_sumw,
            runs_count=runs_count,
            sections=_sections(file, classes) if query.is_data else None,
            size_bytes=size_bytes,
            modified="" if place is None else place.modified,
            digest=digest_of_source(file.file.source, size_bytes),
        )
        return counted, look(tree, counted) if look is not None else None


def _stamp(pfn: str) -> Stamp | None:
    """Ask for size and version; a server that only hands out the file itself says nothing."""
    answer = attempted(stamp, pfn)
    if not isinstance(answer, Exception):
        return answer
    if "://" in pfn:
        return None
    raise answer


def _n_entries(file: Any, tree_name: str) -> int:
    """Read the number of entries; a TTree has it in front of its branches, which take long."""
    key = file.key(tree_name)
    if key.fClassName == "TTree":
        chunk, cursor = key.get_uncompressed_chunk_cursor()
        _, version, _ = numbytes_version(chunk, cursor, {})
        if version in _TTREE_VERSIONS:
            for _ in range(4):  # its base classes
                begin = cursor.index
                n_bytes, _, _ = numbytes_version(chunk, cursor, {})
                cursor.move_to(begin + n_bytes)
            return int(cursor.field(chunk, Struct(">q"), {}))
    return int(file[tree_name].num_entries)


def _check_tree(classes: dict[str, str], tree_name: str) -> None:
    """Raise if a file with these keys (name: class) does not hold the tree."""
    trees = tuple(name for name, kind in classes.items() if kind in _TREES)
    if tree_name not in classes:
        raise _NoSuchTree(f"no tree {tree_name!r}, the trees there: {list(trees)}", trees)
    if tree_name not in trees:
        kind = classes[tree_name]
        raise _NoSuchTree(f"{tree_name!r} is no tree but a {kind}", trees)


def _runs_sums(file: Any) -> tuple[float | None, int | None]:
    """Sum the weights and numbers of generated events over the runs of a file."""
    runs = file["Runs"]
    if runs.num_entries == 0:
        return None, None
    columns = set(runs.keys())

    def total(name: str) -> Any:
        for column in (name, f"{name}_"):  # NanoAOD before v6 has the underscore
            if column in columns:
                value = runs[column].array(library="np").sum().item()
                if not math.isfinite(value):
                    raise BadContentError(f"the sum of {column} in the tree Runs is {value}")
                return value
        return None

    return total("genEventSumw"), total("genEventCount")


def _sections(file: Any, classes: dict[str, str]) -> str | None:
    """List the luminosity sections of a file, those without an event included."""
    if classes.get("LuminosityBlocks") not in _TREES:
        return None
    tree = file["LuminosityBlocks"]
    names = ("run", "luminosityBlock")
    if not set(names) <= set(tree.keys()):
        return None
    runs, sections = (ak.to_numpy(tree[name].array()) for name in names)
    return LumiSections.of(runs, sections).to_text()


def _count_parquet(pfn: str, query: FileQuery, look: Look | None) -> tuple[FileCount, Any]:
    """Read the footer; a parquet file has no uuid, the digest of footer and size stands in."""
    place = _stamp(pfn)
    with fsspec.open(pfn, "rb") as file:
        parquet = pyarrow.parquet.ParquetFile(file)
        size_bytes = file.seek(0, 2)
        file.seek(size_bytes - _PARQUET_TAIL)
        n_footer = int.from_bytes(file.read(4), "little") + _PARQUET_TAIL
        file.seek(size_bytes - n_footer)
        digest = hashlib.sha256(file.read(n_footer) + str(size_bytes).encode())
        counted = FileCount(
            query.dataset,
            query.lfn,
            pfn,
            digest.hexdigest(),
            n_events=parquet.metadata.num_rows,
            size_bytes=size_bytes,
            modified="" if place is None else place.modified,
            digest=digest_of_blocks(size_bytes, partial(blocks_of, file)),
        )
        return counted, look(parquet, counted) if look is not None else None


def dataset_spec(
    files: DatasetFiles,
    counts: Iterable[FileCount],
    failures: Iterable[FileFailure],
    steps: dict[tuple[str, str], list[tuple[int, int]]],
) -> dict[str, Any]:
    """Describe a dataset as coffea's ``DatasetSpec``, ready for JSON.

    Parameters
    ----------
    files
        The dataset.
    counts, failures
        Its files; the keys are the places where they can be opened.
    steps
        Entry ranges by dataset and LFN.
    """
    specs: dict[str, dict[str, Any]] = {
        files.pfns(failure.lfn)[0]: {"lfn": failure.lfn} for failure in failures
    }
    for file in counts:
        specs[file.pfn] = {
            "lfn": file.lfn,
            "num_entries": file.n_events,
            "uuid": file.uuid,
            "steps": steps.get((file.dataset, file.lfn), [(0, 0)]),
        }
    for pfn, spec in specs.items():
        spec["format"] = file_format(pfn)
        spec["object_path"] = files.tree_name if spec["format"] == "root" else None
    about = {"process": files.process, "year": files.year, "is_data": files.is_data}
    return {"files": specs, "metadata": about | {"xsec_pb": files.xsec_pb}}
