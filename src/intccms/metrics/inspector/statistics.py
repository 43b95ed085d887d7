"""Records of files → what a dataset holds: events, bytes by branch, compression, what is odd.

Pure. Takes the records one by one and keeps of each what the plots and checks need.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from intccms.execution.memory import Load, choose
from intccms.histograms.exact import WeightReport, WeightSpectrum
from intccms.metrics.inspector.record import FileRecord, IntArray, collection_of

if TYPE_CHECKING:
    from intccms.metrics.inspector.rucio import SizeSummary

SHOWN = 5  # names in one text
OUTLIER_SIGMAS = 6.0  # of the median absolute deviation
OUTLIER_FRACTION = 0.3  # of the median, at least
OUTLIER_FILES = 5  # in a dataset, at least
OUTLIER_EVENTS = 100  # in a file, at least

Files = list[FileRecord]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that somebody should look at."""

    kind: str  # e.g. "unreadable", "missing_branch"
    dataset: str
    path: str  # of the file, or of the first of several
    text: str
    n_files: int = 1


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
    problems = []
    for record in every:
        if record.error is not None:
            kind = "unreadable" if record.n_events is None else "damaged"
            text = f"{record.error_type}: {record.error}"
            problems.append(Problem(kind, record.dataset, record.path, text))
    for record in every if disagreement is not None else ():
        text = disagreement(record)  # type: ignore[misc,assignment]
        if text is not None:
            problems.append(Problem("catalogue", record.dataset, record.path, text))
    problems += [*_twins(good), *_repeated(good)]
    for files in _grouped(good, lambda record: record.dataset).values():
        problems += [*_missing_branches(files), *_compressions(files), *_outliers(files)]
    return tuple(problems)


def _grouped(records: Iterable[FileRecord], key: Callable[[FileRecord], K]) -> dict[K, Files]:
    groups: dict[K, Files] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def _of_several(kind: str, files: Files, text: str) -> Problem:
    """Name the problem of files of one dataset, after the first of them."""
    count = "1 file" if len(files) == 1 else f"{len(files):,} files"
    return Problem(kind, files[0].dataset, files[0].path, f"{count} {text}", len(files))


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
    groups = _grouped(records, lambda one: "" if one.is_data else one.dataset or "-")
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


def _missing_branches(files: Files) -> Iterator[Problem]:
    layouts = _grouped(files, lambda record: record.branches)
    union = frozenset(  # ROOT's own names for collections in RNTuples are not the user's
        name for names in layouts for name in names if not name.startswith("_")
    )
    for names, group in layouts.items():
        missing = sorted(union.difference(names))
        if missing:
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            text = f"without {', '.join(missing[:SHOWN])}{more}, which other files have"
            yield _of_several("missing_branch", group, text)


def _compressions(files: Files) -> Iterator[Problem]:
    """Find files that are stored in another way than the others, and those without events."""
    with_events = [record for record in files if record.n_events]
    groups = _grouped(with_events, lambda record: f"{record.format} {record.compression}")
    usual = max(groups, key=lambda name: len(groups[name]), default="")
    for name, group in groups.items():
        if name != usual:
            yield _of_several("compression", group, f"stored as {name}, the others as {usual}")
    empty = [record for record in files if record.n_events == 0]
    if empty:
        yield _of_several("no_events", empty, "without a single event")


def _outliers(files: Files) -> Iterator[Problem]:
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
            yield Problem("bytes_per_event", record.dataset, record.path, text)


OUTLIER_FACTOR = 10.0
RANGES = 1024  # that one vector read of XRootD asks for at most
WORKER_BYTES = 2e9


@dataclass(frozen=True, slots=True)
class BranchStatistics:
    """Sums over the files that have a branch."""

    name: str
    collection: str
    compressed_bytes: int
    uncompressed_bytes: int
    n_baskets: int
    n_files: int
    n_events: int  # in these files

    @property
    def bytes_per_event(self) -> float:
        """Compressed bytes per event."""
        return self.compressed_bytes / self.n_events if self.n_events else 0.0

    @property
    def ratio(self) -> float | None:
        """Uncompressed over compressed bytes; None if there are none."""
        return self.uncompressed_bytes / self.compressed_bytes if self.compressed_bytes else None

    def __add__(self, other: BranchStatistics) -> BranchStatistics:
        """Add up those of other files."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in self.__slots__[2:]}
        return replace(self, **sums)


@dataclass(frozen=True, slots=True)
class DatasetStatistics:
    """One dataset.

    Parameters
    ----------
    n_files, n_failed
        Files that were looked at; how many of them could not be read or are damaged.
    n_listed
        Files that the dataset has: more than `n_files` if a sample was looked at.
    events_per_file, file_sizes : shape (n_files - n_failed,)
        In the order of `paths`; sizes in bytes, 0 where nobody knows.
    cluster_events
        Median number of events in a cluster.
    weights
        How the weights of simulation are spread; None where that is not known of all files.
    """

    dataset: str
    process: str
    is_data: bool
    n_files: int
    n_failed: int
    n_listed: int
    paths: tuple[str, ...]
    events_per_file: IntArray
    file_sizes: IntArray
    branches: dict[str, BranchStatistics]
    compressions: dict[str, int]
    formats: dict[str, int]
    root_versions: dict[str, int]
    cluster_events: float
    runs_sumw: float | None
    run_range: tuple[int, int] | None
    lumi_range: tuple[int, int] | None
    weights: WeightReport | None = None

    @property
    def n_events(self) -> int:
        """Events in the readable files."""
        return int(self.events_per_file.sum())

    @property
    def size_bytes(self) -> int:
        """Bytes of the readable files."""
        return int(self.file_sizes.sum())

    @property
    def bytes_per_event(self) -> float:
        """File size per event."""
        return self.size_bytes / self.n_events if self.n_events else 0.0

    @property
    def ratio(self) -> float | None:
        """Uncompressed over compressed bytes of all branches."""
        packed = sum(branch.compressed_bytes for branch in self.branches.values())
        bare = sum(branch.uncompressed_bytes for branch in self.branches.values())
        return bare / packed if packed else None

    @property
    def scale(self) -> float:
        """By what sums over the readable files are multiplied to stand for all listed ones."""
        n_readable = self.n_files - self.n_failed
        return self.n_listed / n_readable if n_readable else 0.0

    def summary(self) -> dict[str, Any]:
        """Give the numbers, ready for JSON."""
        names = (
            "dataset process is_data n_files n_failed n_listed n_events size_bytes bytes_per_event "
            "ratio compressions formats root_versions cluster_events runs_sumw run_range lumi_range"
        )
        events = self.events_per_file
        spread = np.quantile(events, [0.0, 0.5, 1.0]).tolist() if len(events) else None
        return {name: getattr(self, name) for name in names.split()} | {
            "n_branches": len(self.branches),
            "events_per_file_min_median_max": spread,
            "weights": None if self.weights is None else self.weights.to_dict(),
        }


@dataclass(frozen=True)
class Statistics:
    """All datasets, and what is odd about their files."""

    datasets: dict[str, DatasetStatistics]
    problems: tuple[Problem, ...]

    @property
    def n_files(self) -> int:
        """Files that were looked at."""
        return sum(one.n_files for one in self.datasets.values())

    @property
    def n_failed(self) -> int:
        """Files that cannot be read, or are damaged."""
        return sum(one.n_failed for one in self.datasets.values())

    @property
    def n_events(self) -> int:
        """Events in the readable files."""
        return sum(one.n_events for one in self.datasets.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of the readable files."""
        return sum(one.size_bytes for one in self.datasets.values())

    def branches(self, dataset: str | None = None) -> tuple[BranchStatistics, ...]:
        """Give the branches of one dataset, or of all together, the largest first."""
        chosen = self.datasets.values() if dataset is None else [self.datasets[dataset]]
        sums: dict[str, BranchStatistics] = {}
        for branch in (branch for one in chosen for branch in one.branches.values()):
            before = sums.get(branch.name)
            sums[branch.name] = branch if before is None else before + branch
        return tuple(sorted(sums.values(), key=lambda one: (-one.compressed_bytes, one.name)))

    def collections(self, dataset: str | None = None) -> dict[str, int]:
        """Compressed bytes by collection, the largest first."""
        sums: Counter[str] = Counter()
        for branch in self.branches(dataset):
            sums[branch.collection] += branch.compressed_bytes
        return dict(sums.most_common())

    def summary(self, n_branches: int = 50) -> dict[str, Any]:
        """Give everything, with the largest branches, ready for JSON."""
        return {
            "n_files": self.n_files,
            "n_failed": self.n_failed,
            "n_events": self.n_events,
            "size_bytes": self.size_bytes,
            "datasets": {name: one.summary() for name, one in self.datasets.items()},
            "collections": self.collections(),
            "branches": [asdict(branch) for branch in self.branches()[:n_branches]],
            "problems": [asdict(problem) for problem in self.problems],
        }


PER_BRANCH = ("compressed_bytes", "uncompressed_bytes", "n_baskets")


@dataclass
class _Sums:
    """What is kept of a dataset while records come in."""

    files: Files = field(default_factory=list)  # without the bytes of branches
    by_layout: dict[tuple[str, ...], IntArray] = field(default_factory=dict)
    cluster_events: list[int] = field(default_factory=list)

    def take(self, record: FileRecord) -> None:
        """Add one file."""
        slim: Any = dict.fromkeys((*PER_BRANCH, "clusters"), np.empty(0, dtype=np.int64))
        self.files.append(replace(record, **slim))
        if record.error is None:
            table = np.stack([getattr(record, name) for name in PER_BRANCH])
            self.by_layout[record.branches] = self.by_layout.get(record.branches, 0) + table
            self.cluster_events += np.diff(record.clusters).tolist()


def aggregate_statistics(
    results: Iterable[FileRecord],
    size_summary: SizeSummary | None = None,
    *,
    n_listed: Mapping[str, int] | None = None,
    outlier_factor: float = OUTLIER_FACTOR,
) -> Statistics:
    """Add the records of files up, by dataset and by branch, and look for what is odd.

    Parameters
    ----------
    results
        What `inspect_files` yields.
    size_summary
        What `rucio.fetch_file_sizes` found: fills sizes in, and is compared with the files.
    n_listed
        Files of each dataset in all, where only a sample was inspected.
    outlier_factor
        As ``general.weight_outlier_factor``.
    """
    sums: dict[str, _Sums] = {}
    for record in results:
        sums.setdefault(record.dataset, _Sums()).take(record)
    size_of = (lambda _: None) if size_summary is None else size_summary.size_of
    listed = n_listed or {}
    datasets = {
        name: _dataset(one, size_of, listed.get(name, 0), outlier_factor)
        for name, one in sums.items()
    }
    records = [record for one in sums.values() for record in one.files]
    problems = find_problems(records, None if size_summary is None else size_summary.disagreement)
    absurd = tuple(
        Problem("absurd_weights", name, one.paths[0], str(one.weights), len(one.paths))
        for name, one in datasets.items()
        if one.weights is not None and one.weights.is_odd
    )
    return Statistics(datasets, (*problems, *absurd))


def _dataset(
    sums: _Sums, size_of: Callable[[str], int | None], n_listed: int, outlier_factor: float
) -> DatasetStatistics:
    first, good = sums.files[0], [record for record in sums.files if record.error is None]
    sumw = [record.runs_sumw for record in good if record.runs_sumw is not None]
    spectra = [record.spectrum for record in good if record.n_events]
    known = [spectrum for spectrum in spectra if spectrum is not None]
    has_weights = bool(known) and len(known) == len(spectra)
    file_sizes = [
        size_of(record.path) or 0 if record.size_bytes is None else record.size_bytes
        for record in good
    ]
    return DatasetStatistics(
        dataset=first.dataset,
        process=first.process or first.dataset,
        is_data=first.is_data,
        n_files=len(sums.files),
        n_failed=len(sums.files) - len(good),
        n_listed=max(n_listed, len(sums.files)),
        paths=tuple(record.path for record in good),
        events_per_file=np.array([record.n_events for record in good], dtype=np.int64),
        file_sizes=np.array(file_sizes, dtype=np.int64),
        branches=_branches(good, sums.by_layout),
        compressions=_counted(record.compression for record in good),
        formats=_counted(record.format for record in good),
        root_versions=_counted(record.root_version for record in good),
        cluster_events=float(np.median(sums.cluster_events)) if sums.cluster_events else 0.0,
        runs_sumw=sum(sumw) if sumw and len(sumw) == len(good) else None,
        run_range=_joined(record.run_range for record in good),
        lumi_range=_joined(record.lumi_range for record in good),
        weights=sum(known, WeightSpectrum()).report(outlier_factor) if has_weights else None,
    )


def _branches(
    files: Files, by_layout: Mapping[tuple[str, ...], IntArray]
) -> dict[str, BranchStatistics]:
    branches: dict[str, BranchStatistics] = {}
    for names, group in _grouped(files, lambda record: record.branches).items():
        layout, n_events = frozenset(names), sum(record.n_events or 0 for record in group)
        for name, (packed, bare, n) in zip(names, by_layout[names].T.tolist(), strict=True):
            collection = collection_of(name, layout)
            branch = BranchStatistics(name, collection, packed, bare, n, len(group), n_events)
            branches[name] = branches[name] + branch if name in branches else branch
    return branches


def _counted(values: Iterable[str]) -> dict[str, int]:
    """Count names, the most common first; where there is none, nothing is counted."""
    return dict(Counter(filter(None, values)).most_common())


def _joined(ranges: Iterable[tuple[int, int] | None]) -> tuple[int, int] | None:
    known = [one for one in ranges if one is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


@dataclass(frozen=True, slots=True)
class DatasetForecast:
    """What is read of one dataset.

    Parameters
    ----------
    n_events, n_bytes, n_baskets
        Of all listed files; estimated where a sample was inspected.
    fraction
        Part of the compressed bytes of all branches.
    n_requests
        Vector reads, if each chunk is fetched in as few as possible.
    memory_bytes
        Of a worker with such a chunk, copies and a full batch of object variations included.
    seconds
        On all cores; None without a measured rate.
    """

    dataset: str
    branches: tuple[str, ...]
    missing: tuple[str, ...]  # asked for, in no file
    n_events: int
    bytes_per_event: float
    fraction: float
    n_bytes: int
    n_baskets: int
    n_requests: int
    chunk_size: int
    n_chunks: int
    memory_bytes: int
    seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """What is read of all datasets."""

    datasets: dict[str, DatasetForecast]
    n_cores: int
    rate_hz_per_core: float | None

    @property
    def n_events(self) -> int:
        """Events of all datasets."""
        return sum(one.n_events for one in self.datasets.values())

    @property
    def n_bytes(self) -> int:
        """Compressed bytes that will be read."""
        return sum(one.n_bytes for one in self.datasets.values())

    @property
    def chunk_size(self) -> int:
        """The smallest chunk size of all datasets: one that suits each."""
        return min((one.chunk_size for one in self.datasets.values()), default=0)

    @property
    def seconds(self) -> float | None:
        """Time on all cores; None without a measured rate."""
        times = [one.seconds for one in self.datasets.values()]
        return None if None in times else sum(time or 0.0 for time in times)

    def summary(self) -> dict[str, Any]:
        """Give it, ready for JSON."""
        return {
            "n_cores": self.n_cores,
            "rate_hz_per_core": self.rate_hz_per_core,
            "n_events": self.n_events,
            "n_bytes": self.n_bytes,
            "chunk_size": self.chunk_size,
            "seconds": self.seconds,
            "datasets": {name: asdict(one) for name, one in self.datasets.items()},
        }


def forecast(
    statistics: Statistics,
    columns: Mapping[str, Collection[str]],
    *,
    n_cores: int = 1,
    rate_hz_per_core: float | None = None,
    memory_bytes: float = WORKER_BYTES,
    batch_bytes: float = 0.0,
) -> Forecast:
    """Say what reading these columns takes.

    Parameters
    ----------
    statistics
        Of the files.
    columns
        Names of the branches that are read, by dataset.
    n_cores
        That work at the same time.
    rate_hz_per_core
        Events per second and core, as an earlier run has measured it.
    memory_bytes, batch_bytes
        Of a worker, and the bound of a batch of object variations in it.

    Examples
    --------
    >>> forecast(Statistics({}, ()), {}).n_bytes
    0
    """
    n_events = round(sum(one.n_events * one.scale for one in statistics.datasets.values()))
    load = Load(0.0, 0.0, 0, batch_bytes, memory_bytes, n_events, n_cores)
    datasets = {
        name: _forecast(one, columns.get(name, ()), load, rate_hz_per_core)
        for name, one in statistics.datasets.items()
    }
    return Forecast(datasets, n_cores, rate_hz_per_core)


def _forecast(
    files: DatasetStatistics, columns: Collection[str], load: Load, rate_hz_per_core: float | None
) -> DatasetForecast:
    read = [files.branches[name] for name in sorted(set(columns) & set(files.branches))]
    n_events = round(files.n_events * files.scale)
    packed = sum(branch.compressed_bytes for branch in read)
    everything = sum(branch.compressed_bytes for branch in files.branches.values())
    in_memory = sum(branch.uncompressed_bytes / max(branch.n_events, 1) for branch in read)
    stored = sum(branch.bytes_per_event for branch in read)
    load = replace(load, event_bytes=in_memory, stored_bytes=stored)
    chunk_size = choose(load).n_events
    sizes = files.events_per_file.tolist()
    n_baskets = round(sum(branch.n_baskets for branch in read) * files.scale)
    n_chunks = round(files.scale * sum(math.ceil(n / chunk_size) for n in sizes))
    return DatasetForecast(
        dataset=files.dataset,
        branches=tuple(branch.name for branch in read),
        missing=tuple(sorted(set(columns) - set(files.branches))),
        n_events=n_events,
        bytes_per_event=stored,
        fraction=packed / everything if everything else 0.0,
        n_bytes=round(packed * files.scale),
        n_baskets=n_baskets,
        n_requests=max(n_chunks, math.ceil(n_baskets / RANGES)),
        chunk_size=chunk_size,
        n_chunks=n_chunks,
        memory_bytes=round(load.needed(min(chunk_size, max(sizes, default=0)))),
        seconds=n_events / (rate_hz_per_core * load.n_workers) if rate_hz_per_core else None,
    )
