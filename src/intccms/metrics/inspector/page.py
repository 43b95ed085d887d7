"""Inspected files as tables, as figures that answer to the mouse, and as one page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from bokeh.embed import components
from bokeh.layouts import gridplot
from bokeh.models import LayoutDOM
from bokeh.resources import Resources

from intccms.engine.duplicates import Duplicates
from intccms.metrics.inspector.plots import all_figures, named
from intccms.metrics.inspector.rucio import SizeSummary
from intccms.metrics.inspector.statistics import Forecast, Statistics
from intccms.metrics.live import Drawing
from intccms.metrics.report import page
from intccms.metrics.tables import Table, size_text
from intccms.plots.treemap import treemap

SHOWN_PROBLEMS = 40
SHOWN_BRANCHES = 25
TOOLS = "pan,wheel_zoom,box_zoom,reset,save"
WIDTH, HEIGHT = 500, 300
ASPECT = 1.6


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
    for name, one in named(statistics):
        of = f" of {one.n_listed:,}" if one.n_listed > one.n_files else ""
        sums = ["-" if one.runs_sumw is None else f"{one.runs_sumw:.6g}", "-", "-"]
        if one.weights is not None:
            sums[1] = f"{one.weights.n_effective:,.4g}"
            sums[2] = f"{one.weights.largest_share:.2g} of the sum"
        rows.append(
            [
                name,
                f"{one.n_files:,}{of}",
                f"{one.n_failed:,}",
                f"{one.n_events:,}",
                size_text(one.size_bytes),
                f"{one.bytes_per_event / 1e3:.2f}",
                f"{len(one.branches):,}",
                ", ".join([*one.formats, *one.compressions]) or "-",
                f"{one.cluster_events:,.0f}",
                *sums,
            ]
        )
    return Table("Input files", rows)


def duplicates_table(found: Iterable[Duplicates]) -> Table:
    """List how many events are there more than once."""
    rows = [["compared", "events", "repeated", "in", "first", "not looked at"]]
    for one in found:
        pairs = [f"{first}, {second}: {n:,}" for first, second, n in one.pairs]
        event = ":".join(map(str, one.first[0][:3])) if one.first else "-"
        counts = [f"{one.n_events:,}", f"{one.n_repeated:,}"]
        unread = f"{len(one.unread):,} files"
        rows.append([one.group, *counts, "; ".join(pairs) or "-", event, unread])
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
    forecasts = [] if forecast is None else forecast.datasets.values()
    used = {name for one in forecasts for name in one.branches}
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
                "-" if forecast is None else ("yes" if one.name in used else "no"),
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
    redirectors = sizes.redirectors()
    behind = f"; on disk behind {', '.join(redirectors)}" if redirectors else ""
    return Table(f"Replicas that Rucio knows: {known}{unknown}{behind}", rows)


def inspector_layout(statistics: Statistics, size_summary: SizeSummary | None = None) -> LayoutDOM:
    """All figures side by side.

    Parameters
    ----------
    statistics
        What `aggregate_statistics` returned.
    size_summary
        Sizes of files that could not be read.
    """
    tiles = treemap(statistics.branches(), ASPECT)
    figures = [
        Drawing(plot, columns, tools=TOOLS, width=WIDTH, height=HEIGHT, sizing_mode="fixed").root
        for plot, columns in all_figures(statistics, tiles, size_summary)
    ]
    rows = [figures[index : index + 2] for index in range(0, len(figures), 2)]
    layout: LayoutDOM = gridplot(rows, toolbar_location=None, merge_tools=False)
    return layout


def inspector_page(
    statistics: Statistics,
    *,
    title: str,
    forecast: Forecast | None = None,
    size_summary: SizeSummary | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return one HTML page that needs no server and no network.

    Parameters
    ----------
    statistics
        What `aggregate_statistics` returned.
    title
        What was inspected.
    forecast
        What the analysis will read.
    size_summary
        What Rucio says.
    notes
        Sentences at the top, e.g. why Rucio says nothing.
    """
    script, div = components(inspector_layout(statistics, size_summary))
    counts = f"{statistics.n_files:,} files, {statistics.n_events:,} events"
    tables = [
        dataset_table(statistics),
        *([problem_table(statistics)] if statistics.problems else []),
        *([] if forecast is None else [forecast_table(forecast)]),
        *([] if size_summary is None else [site_table(size_summary)]),
        branch_table(statistics, forecast),
    ]
    blocks = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='when'>{counts}, {size_text(statistics.size_bytes)}</p>",
        *(f"<p class='wrong'>{html.escape(note)}</p>" for note in notes),
        div,
        *(f"<div>{table._repr_html_()}</div>" for table in tables),
        script,
    ]
    return page(title, blocks, head=Resources(mode="inline", components=["bokeh"]).render())
