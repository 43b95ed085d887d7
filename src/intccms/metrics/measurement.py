"""One measured run: chunk reports and samples, what follows from them, and its files on disk."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import uproot

from intccms.errors import InputError
from intccms.execution.tasks import PARTS, ChunkReport, ChunkStatus
from intccms.metrics.definitions import METRICS, Measured, by_old_names, evaluate, violations
from intccms.metrics.inspector.record import layout_of
from intccms.metrics.worker_tracker import Timeline
from intccms.storage import write_json, write_text

REPORTS, TIMELINE, METRICS_JSON = "receipts.jsonl", "worker_timeline.json", "metrics.json"


@dataclass(frozen=True)
class Coverage:
    """What was read of the trees of a dataset; bytes are compressed sizes of baskets.

    Parameters
    ----------
    n_columns, column_bytes
        Branches that chunks of this run have read.
    n_branches, tree_bytes
        All branches, for the same entries.
    largest
        The branches that took most bytes.
    """

    n_columns: int
    n_branches: int
    column_bytes: int
    tree_bytes: int
    largest: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """What was measured of one run.

    Parameters
    ----------
    name
        Of its directory.
    started, wall_s
        Seconds since the epoch, and from the first chunk to the last.
    reports
        One for each planned chunk.
    timeline
        Of the workers; None if they were not tracked.
    n_planned
        Chunks.
    coverage
        By dataset.
    target_gbps
        Data rate to compare with.
    notes
        Versions, executor and what else is to be remembered.
    """

    name: str
    started: float
    wall_s: float
    reports: tuple[ChunkReport, ...]
    timeline: Timeline | None = None
    n_planned: int | None = None
    coverage: Mapping[str, Coverage] = field(default_factory=dict)
    target_gbps: float = 200.0
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measured(self) -> Measured:
        """The numbers that the metrics are made of."""
        done = [report for report in self.reports if report.status.is_in_rates]
        cached = [report for report in done if report.status is ChunkStatus.CACHED]
        parts = (*PARTS, "decompress_s")
        covers = self.coverage.values()
        begun = [report.started for report in done if report.started]
        timeline = self.timeline or Timeline()
        core_s, worker_s, memory_byte_s = (
            timeline.integral(name, self.started, self.started + self.wall_s)
            for name in ("n_threads", "n_workers", "memory_bytes")
        )
        return Measured(
            n_events=sum(report.n_events for report in done),
            bytes_read=sum(report.bytes_read for report in done),
            wall_s=self.wall_s,
            warm_up_s=max(min(begun) - self.started, 0.0) if begun else None,
            n_chunks=len(done),
            chunk_s=sum(report.wall_s for report in done),
            core_s=core_s,
            worker_s=worker_s,
            n_planned=self.n_planned,
            n_cached=len(cached),
            n_events_cached=sum(report.n_events for report in cached),
            n_resumed=sum(report.status.is_resumed for report in self.reports),
            n_lost=sum(report.status.is_lost for report in self.reports),
            n_impossible=sum(not report.has_possible_times for report in self.reports),
            peak_workers=timeline.peak("n_workers"),
            peak_rss_bytes=max((report.rss_bytes for report in done), default=0),
            memory_byte_s=memory_byte_s,
            column_bytes=sum(one.column_bytes for one in covers) if covers else None,
            tree_bytes=sum(one.tree_bytes for one in covers) if covers else None,
            n_columns=max((one.n_columns for one in covers), default=None),
            n_branches=max((one.n_branches for one in covers), default=None),
            **{part: sum(getattr(report, part) for report in done) for part in parts},
        )

    @property
    def metrics(self) -> dict[str, float | None]:
        """All metrics by name."""
        return evaluate(self.measured)

    @property
    def violations(self) -> list[str]:
        """What cannot be, and shows a fault of the measurement."""
        return violations(self.measured)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds."""
        values = self.metrics
        return {
            "name": self.name,
            "started": self.started,
            "wall_s": self.wall_s,
            "target_throughput_gbps": self.target_gbps,
            "metrics": values,
            "also_known_as": by_old_names(values),
            "definitions": {
                one.name: {"label": one.label, "unit": one.unit, "formula": one.formula,
                           "meaning": one.doc}
                for one in METRICS
            },
            "violations": self.violations,
            "measured": asdict(self.measured),
            "coverage": {name: asdict(one) for name, one in self.coverage.items()},
            "n_planned": self.n_planned,
            "notes": dict(self.notes),
        }  # fmt: skip

    def save(self, directory: Path) -> None:
        """Write chunk reports, samples and metrics."""
        lines = [json.dumps(report.to_dict()) for report in self.reports]
        write_text(directory / REPORTS, "".join(f"{line}\n" for line in lines))
        if self.timeline is not None:
            self.timeline.save(directory / TIMELINE)
        write_json(directory / METRICS_JSON, self.to_dict())

    @classmethod
    def load(cls, directory: Path) -> Measurement:
        """Read what `save` has written.

        Raises
        ------
        InputError
            If something is missing or not as it was written.
        """
        directory = find_measurement(directory)
        try:
            saved = json.loads((directory / METRICS_JSON).read_text(encoding="utf-8"))
            reports = load_reports(directory / REPORTS)
            timeline = directory / TIMELINE
            return cls(
                saved["name"], saved["started"], saved["wall_s"], reports,
                Timeline.load(timeline) if timeline.exists() else None, saved["n_planned"],
                {name: Coverage(**one) for name, one in saved["coverage"].items()},
                saved["target_throughput_gbps"], saved["notes"],
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"no measurement in {directory}: {error!r}") from error


def load_reports(path: Path) -> tuple[ChunkReport, ...]:
    """Read chunk reports, also of a run that was killed: without a last line that is cut off."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return tuple(ChunkReport(**json.loads(line)) for line in lines[:-1])


def find_measurement(directory: Path) -> Path:
    """Return the directory of a measurement: this one, or the newest of an output directory.

    Raises
    ------
    InputError
        If there is none.
    """
    if (directory / METRICS_JSON).is_file():
        return directory
    saved = sorted(directory.glob(f"metrics/*/{METRICS_JSON}"), key=lambda one: one.stat().st_mtime)
    if not saved:
        advice = "give an output directory, or one of those in its metrics/"
        raise InputError(f"no measurement in {directory}: {advice}")
    return saved[-1].parent


N_LARGEST = 10


class TreePlace(NamedTuple):
    """A tree of a dataset, and where its file can be opened."""

    dataset: str
    pfns: Sequence[str]
    tree_name: str


class TreeSizes(NamedTuple):
    """Compressed sizes of the branches of one file."""

    n_events: int
    branches: Mapping[str, int]


def tree_sizes(place: TreePlace) -> TreeSizes | None:
    """Open a file where it can be opened; None if that is nowhere, or it is no tree."""
    for pfn in place.pfns:
        try:
            with uproot.open({pfn: place.tree_name}) as tree:
                layout = layout_of(tree)
                sizes = layout.compressed_bytes.tolist()
                branches = dict(zip(layout.branches, sizes, strict=True))
                return TreeSizes(int(tree.num_entries), branches)
        except Exception:  # noqa: BLE001, S112 - a number that is missing ends no run
            continue
    return None


def coverage_of(
    columns: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, TreeSizes | None],
    n_events: Mapping[str, int],
) -> dict[str, Coverage]:
    """Compare what was read with what there is.

    Parameters
    ----------
    columns
        Compressed bytes read, by dataset and branch.
    sizes
        Of one file of each dataset; the others are taken to be alike, event by event.
    n_events
        Processed, by dataset.

    Examples
    --------
    >>> sizes = {"data": TreeSizes(10, {"run": 50, "Muon_pt": 100, "Jet_pt": 250})}
    >>> coverage_of({"data": {"Muon_pt": 200}}, sizes, {"data": 20})["data"].tree_bytes
    800
    """
    coverage = {}
    for dataset, read in columns.items():
        size = sizes.get(dataset)
        if size is not None and size.n_events:
            per_event = sum(size.branches.values()) / size.n_events
            tree_bytes = round(per_event * n_events.get(dataset, 0))
            largest = dict(Counter(read).most_common(N_LARGEST))
            n_bytes = (sum(read.values()), tree_bytes)
            coverage[dataset] = Coverage(len(read), len(size.branches), *n_bytes, largest)
    return coverage
