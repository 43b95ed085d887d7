"""Inspected files as tables, as figures that answer to the mouse, and as one page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.layouts import gridplot
from bokeh.models import ColumnDataSource, HoverTool, LayoutDOM, NumeralTickFormatter
from bokeh.plotting import figure
from bokeh.resources import Resources

from intccms.analysis.duplicates import Duplicates
from intccms.metrics.inspector import Forecast, Statistics
from intccms.metrics.inspector.rucio import SizeSummary
from intccms.metrics.report import page
from intccms.metrics.tables import Table
from intccms.plots.treemap import Tile, treemap

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


PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
N_BINS = 40
WIDTH, HEIGHT = 500, 300
ASPECT = 1.75
LEGEND_ROWS = 10
LETTER_PX = 9  # width of one, so that names fit their tiles


def _new(title: str, tooltips: Sequence[tuple[str, str]], **options: Any) -> Any:
    plot = figure(
        title=title, width=WIDTH, height=HEIGHT, toolbar_location="above",
        tools="pan,wheel_zoom,box_zoom,reset,save", **options,
    )  # fmt: skip
    plot.add_tools(HoverTool(tooltips=list(tooltips)))
    plot.toolbar.logo = None
    return plot


def _distribution(title: str, label: str, values: dict[str, Any], unit: str = "") -> Any:
    """Stacked histograms by dataset; the axis is logarithmic if the values spread wide."""
    shown = {name: np.asarray(one, dtype=float) for name, one in values.items()}
    shown = {name: one[one > 0] for name, one in shown.items()}
    every = np.concatenate([*shown.values(), np.empty(0)])
    low, high = (float(every.min()), float(every.max())) if len(every) else (1.0, 2.0)
    if high <= low:
        low, high = 0.5 * low, 1.5 * high
    is_wide = high / low > 30
    edges = np.geomspace(low, high, N_BINS + 1) if is_wide else np.linspace(low, high, N_BINS + 1)
    tips = [("dataset", "@dataset"), (label, f"@left{{0,0.[00]}} – @right{{0,0.[00]}}{unit}")]
    plot = _new(title, [*tips, ("files", "@n")], x_axis_type="log" if is_wide else "linear")
    bottom = np.zeros(N_BINS)
    for index, (name, numbers) in enumerate(shown.items()):
        counts, _ = np.histogram(numbers, edges)
        filled = counts > 0
        source = ColumnDataSource(
            {
                "left": edges[:-1][filled],
                "right": edges[1:][filled],
                "bottom": bottom[filled],
                "top": (bottom + counts)[filled],
                "n": counts[filled],
                "dataset": [name] * int(filled.sum()),
            }
        )
        legend = {"legend_label": name or "files"} if len(shown) <= LEGEND_ROWS else {}
        plot.quad(
            "left", "right", "top", "bottom", source=source,
            color=PALETTE[index % len(PALETTE)], line_color="white", **legend,
        )  # fmt: skip
        bottom = bottom + counts
    if plot.legend:
        _set_below(plot)
    plot.y_range.start = 0
    plot.xaxis.axis_label = label
    plot.yaxis.axis_label = "files"
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    return plot


def _set_below(plot: Any) -> None:
    """Put the legend below the bars, in small letters."""
    plot.legend.click_policy = "hide"
    plot.legend.label_text_font_size = "8pt"
    plot.legend.spacing, plot.legend.padding = 0, 4
    plot.legend.ncols = 3
    plot.add_layout(plot.legend[0], "below")


def _bars(title: str, label: str, rows: dict[str, float], texts: dict[str, str]) -> Any:
    names = [name or "files" for name in rows][::-1]
    plot = _new(title, [("", "@name"), (label, "@value{0,0.[00]}"), ("", "@text")], y_range=names)
    source = ColumnDataSource(
        {
            "name": names,
            "value": list(rows.values())[::-1],
            "text": [texts.get(name, "") for name in rows][::-1],
        }
    )
    plot.hbar("name", right="value", height=0.75, source=source, color=PALETTE[0])
    plot.text(
        "value", "name", "text", source=source, text_font_size="8pt", text_baseline="middle",
        x_offset=4,
    )  # fmt: skip
    plot.x_range.start = 0
    plot.x_range.end = 1.8 * max([*rows.values(), 1e-9])
    plot.xaxis.axis_label = label
    plot.yaxis.major_label_text_font_size = "8pt"
    plot.ygrid.visible = False
    return plot


def treemap_figure(tiles: Sequence[Tile], *, width: int = WIDTH, height: int = HEIGHT) -> Any:
    """Branches as rectangles by collection; the mouse tells names and bytes.

    Parameters
    ----------
    tiles
        What `treemap` returned.
    width, height
        In pixels.
    """
    total = sum(tile.size_bytes for tile in tiles) or 1
    plot = _new(
        "Compressed bytes by collection and branch",
        [("branch", "@branch"), ("collection", "@collection"), ("", "@size (@share)")],
    )
    plot.width, plot.height = width, height
    across = max((tile.box[0] + tile.box[2] for tile in tiles), default=1.0)
    plot.x_range.update(start=0, end=across)
    plot.y_range.update(start=-1, end=0)
    columns: dict[str, list[Any]] = {
        "x": [tile.box[0] + tile.box[2] / 2 for tile in tiles],
        "y": [-tile.box[1] - tile.box[3] / 2 for tile in tiles],
        "width": [tile.box[2] for tile in tiles],
        "height": [tile.box[3] for tile in tiles],
        "branch": [tile.name for tile in tiles],
        "collection": [tile.collection for tile in tiles],
        "size": [size_text(tile.size_bytes) for tile in tiles],
        "share": [f"{tile.size_bytes / total:.1%}" for tile in tiles],
        "color": [PALETTE[tile.index % len(PALETTE)] for tile in tiles],
    }
    plot.rect(
        "x", "y", "width", "height", source=ColumnDataSource(columns),
        fill_color="color", line_color="white", fill_alpha=0.75,
    )  # fmt: skip
    outer = {tile.collection: tile.outer for tile in tiles}
    named = {
        name: box
        for name, box in outer.items()
        if box[2] / across * width > LETTER_PX * len(name) and box[3] * height > 2 * LETTER_PX
    }
    plot.text(
        [box[0] + box[2] / 2 for box in named.values()],
        [-box[1] - box[3] / 2 for box in named.values()],
        list(named),
        text_align="center", text_baseline="middle", text_font_style="bold",
        text_font_size="9pt",
    )  # fmt: skip
    plot.axis.visible = plot.grid.visible = False
    return plot


def inspector_layout(statistics: Statistics, size_summary: SizeSummary | None = None) -> LayoutDOM:
    """All figures side by side.

    Parameters
    ----------
    statistics
        What `aggregate_statistics` returned.
    size_summary
        Sizes of files that could not be read.
    """
    datasets = statistics.datasets
    known = size_summary.size_of if size_summary is not None else lambda _: None
    sizes = {
        name: [
            (size or known(path) or 0) / 1e6
            for path, size in zip(one.paths, one.file_sizes.tolist(), strict=True)
        ]
        for name, one in datasets.items()
    }
    events = {name: one.events_per_file for name, one in datasets.items()}
    largest = statistics.branches()[:15]
    figures = [
        _bars(
            "Datasets",
            "kB per event",
            {name: one.bytes_per_event / 1e3 for name, one in datasets.items()},
            {name: f"{one.n_events:,} events" for name, one in datasets.items()},
        ),
        _bars(
            "Compression",
            "uncompressed / compressed bytes",
            {name: one.ratio or 0.0 for name, one in datasets.items()},
            {name: ", ".join(one.compressions) for name, one in datasets.items()},
        ),
        _distribution("Events per file", "events per file", events),
        _distribution("File sizes", "file size [MB]", sizes, " MB"),
        treemap_figure(treemap(statistics.branches(), ASPECT)),
        _bars(
            "Largest branches",
            "MB compressed",
            {branch.name: branch.compressed_bytes / 1e6 for branch in largest},
            {branch.name: f"ratio {branch.ratio or 0:.1f}" for branch in largest},
        ),
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
    resources = Resources(mode="inline", components=["bokeh"])
    head = (
        f"{statistics.n_files:,} files, {statistics.n_events:,} events, "
        f"{size_text(statistics.size_bytes)}"
    )
    tables = [dataset_table(statistics)]
    if forecast is not None:
        tables.append(forecast_table(forecast))
    if size_summary is not None:
        tables.append(site_table(size_summary))
    if statistics.problems:
        tables.insert(1, problem_table(statistics))
    tables.append(branch_table(statistics, forecast))
    blocks = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='when'>{html.escape(head)}</p>",
        *(f"<p class='wrong'>{html.escape(note)}</p>" for note in notes),
        div,
        *(f"<div>{table._repr_html_()}</div>" for table in tables),
        script,
    ]
    return page(title, blocks, head=resources.render())
