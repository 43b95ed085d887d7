"""What was inspected, as tables: datasets, problems, branches, sites, what will be read.

Pure: statistics in, rows out.
"""

from __future__ import annotations

from collections.abc import Iterable

from intccms.analysis.duplicates import Duplicates
from intccms.dashboards.tables import Table
from intccms.metrics.inspector import Forecast, Statistics
from intccms.metrics.inspector.rucio import SizeSummary

__all__ = [
    "branch_table",
    "dataset_table",
    "duplicates_table",
    "forecast_table",
    "problem_table",
    "site_table",
    "size_text",
]

PREFIXES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
SHOWN_PROBLEMS = 40
SHOWN_BRANCHES = 25


def size_text(n_bytes: float) -> str:
    """Write bytes in decimal units.

    Examples
    --------
    >>> size_text(1_234_567), size_text(12)
    ('1.23 MB', '12 B')
    """
    for size, unit in PREFIXES:
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def _time_text(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def dataset_table(statistics: Statistics) -> Table:
    """List events, sizes and storage of each dataset."""
    rows = [
        ["dataset", "files", "failed", "events", "size", "kB/event", "branches", "stored as",
         "events/cluster", "sum of weights", "effective events", "largest weight"]
    ]  # fmt: skip
    for name, one in statistics.datasets.items():
        of = f" of {one.n_listed:,}" if one.n_listed > one.n_files else ""
        stored = ", ".join([*one.formats, *one.compressions])
        rows.append(
            [
                name or "files",
                f"{one.n_files:,}{of}",
                f"{one.n_failed:,}",
                f"{one.n_events:,}",
                size_text(one.size_bytes),
                f"{one.bytes_per_event / 1e3:.2f}",
                f"{len(one.branches):,}",
                stored or "-",
                f"{one.cluster_events:,.0f}",
                "-" if one.runs_sumw is None else f"{one.runs_sumw:.6g}",
                "-" if one.weights is None else f"{one.weights.n_effective:,.4g}",
                "-" if one.weights is None else f"{one.weights.largest_share:.2g} of the sum",
            ]
        )
    return Table("Input files", rows)


def duplicates_table(found: Iterable[Duplicates]) -> Table:
    """List how many events are there more than once."""
    rows = [["compared", "events", "repeated", "in", "first", "not looked at"]]
    for one in found:
        pairs = [f"{first}, {second}: {n:,}" for first, second, n in one.pairs]
        run, section, event = one.first[0][:3] if one.first else (0, 0, 0)
        rows.append(
            [
                one.group,
                f"{one.n_events:,}",
                f"{one.n_repeated:,}",
                "; ".join(pairs) or "-",
                f"{run}:{section}:{event}" if one.first else "-",
                f"{len(one.unread):,} files",
            ]
        )
    return Table("Repeated events", rows)


def problem_table(statistics: Statistics) -> Table:
    """List what somebody should look at."""
    rows = [["dataset", "what", "file", "why"]]
    for one in statistics.problems[:SHOWN_PROBLEMS]:
        rows.append([one.dataset or "files", one.kind.replace("_", " "), one.path, one.text])
    more = len(statistics.problems) - SHOWN_PROBLEMS
    if more > 0:
        rows.append(["…", f"{more:,} more", "", ""])
    count = f"{len(statistics.problems):,}" if statistics.problems else "none"
    return Table(f"Problems: {count}", rows, is_text=True)


def branch_table(statistics: Statistics, forecast: Forecast | None = None) -> Table:
    """List the largest branches, and whether the analysis reads them."""
    used = (
        {name for one in forecast.datasets.values() for name in one.branches}
        if forecast is not None
        else None
    )
    rows = [["branch", "collection", "compressed", "ratio", "bytes/event", "baskets", "read"]]
    for one in statistics.branches()[:SHOWN_BRANCHES]:
        rows.append(
            [
                one.name,
                one.collection,
                size_text(one.compressed_bytes),
                "-" if one.ratio is None else f"{one.ratio:.2f}",
                f"{one.bytes_per_event:.1f}",
                f"{one.n_baskets:,}",
                "-" if used is None else ("yes" if one.name in used else "no"),
            ]
        )
    return Table("Largest branches", rows)


def forecast_table(forecast: Forecast) -> Table:
    """List what the analysis will read of each dataset."""
    rows = [
        ["dataset", "branches", "missing", "bytes/event", "of the file", "events", "bytes",
         "requests", "chunk size", "chunks", "memory/chunk", f"on {forecast.n_cores} cores"]
    ]  # fmt: skip
    for name, one in forecast.datasets.items():
        rows.append(
            [
                name or "files",
                f"{len(one.branches):,}",
                ", ".join(one.missing) or "-",
                f"{one.bytes_per_event:,.0f}",
                f"{one.fraction:.1%}",
                f"{one.n_events:,}",
                size_text(one.n_bytes),
                f"{one.n_requests:,}",
                f"{one.chunk_size:,}",
                f"{one.n_chunks:,}",
                size_text(one.memory_bytes),
                _time_text(one.seconds),
            ]
        )
    total = ["total", "", "", "", "", f"{forecast.n_events:,}", size_text(forecast.n_bytes)]
    rows.append([*total, "", "", "", "", _time_text(forecast.seconds)])
    return Table("What the analysis will read", rows)


def site_table(sizes: SizeSummary) -> Table:
    """List the sites that have replicas."""
    rows = [["site", "kind", "files", "size"]]
    for site, one in sizes.by_site().items():
        kind = sizes.sites.get(site, "?").lower()
        rows.append([site, kind, f"{one['n_files']:,}", size_text(one["size_bytes"])])
    known = f"{len(sizes.files):,} files, {size_text(sizes.size_bytes)}"
    unknown = f", {len(sizes.errors):,} unknown" if sizes.errors else ""
    doors = sizes.redirectors()
    behind = f"; on disk behind {', '.join(doors)}" if doors else ""
    return Table(f"Replicas that Rucio knows: {known}{unknown}{behind}", rows)
