"""Results of a run as tables and in words; made of ``run_summary.json``. Pure."""

from __future__ import annotations

import html
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from intccms.histograms.sums import cuts_in_order

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows of text; the first are the headings, the first column holds names.

    Examples
    --------
    >>> print(Table("Yields in SR", [["process", "events"], ["signal", "12.0"]]))
    Yields in SR
    process  events
    signal     12.0
    """

    title: str
    rows: Sequence[Sequence[str]]
    is_text: bool = False  # whether the other columns hold words, not numbers

    def __str__(self) -> str:
        """Return aligned columns."""
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if index == 0 or self.is_text else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in self.rows
        ]
        return "\n".join([self.title, *lines])

    def __repr__(self) -> str:
        """Return the text: what a notebook shows where it cannot show HTML."""
        return str(self)

    def _repr_html_(self) -> str:
        head, *body = [[html.escape(cell) for cell in row] for row in self.rows]
        left, right = "style='text-align:left'", "style='text-align:right'"
        right = left if self.is_text else right
        lines = [f"<table><caption {left}>{html.escape(self.title)}</caption>"]
        for tag, rows in (("th", [head]), ("td", body)):
            for name, *cells in rows:
                others = "".join(f"<{tag} {right}>{cell}</{tag}>" for cell in cells)
                lines.append(f"<tr><{tag} {left}>{name}</{tag}>{others}</tr>")
        return "\n".join([*lines, "</table>"])


PREFIXES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


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


def with_error(value: float | None, error: float | None) -> str:
    """Write a value with its error, rounded to two digits of the error.

    Examples
    --------
    >>> with_error(1234.567, 12.34), with_error(0.98765, 0.0123), with_error(3.0, 0.0)
    ('1,235 ± 12', '0.988 ± 0.012', '3 ± 0')
    """
    if value is None or error is None or not (math.isfinite(value) and math.isfinite(error)):
        return "-"
    if error <= 0:
        return f"{value:,.6g} ± 0"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{places}f} ± {error:,.{places}f}"


def yields_table(summary: Summary) -> Table:
    """List the nominal yield of each process in each channel, with its statistical error."""
    channels = summary["yields"]
    processes = dict.fromkeys(name for yields in channels.values() for name in yields)
    rows = [["process", *channels]]
    for process in processes:
        cells = [
            with_error(yields[process]["value"], yields[process]["error"])
            if process in yields
            else "blinded"
            for yields in channels.values()
        ]
        rows.append([process, *cells])
    return Table("Yields ± statistical error", rows)


def cutflow_table(summary: Summary, channel: str) -> Table:
    """List the yields after each cut, with the number of events they stand on."""
    flow = summary["cutflow"][channel]
    names = cuts_in_order([step["name"] for step in steps] for steps in flow.values())
    rows = [["cut", *flow]]
    for name in names:
        cells = []
        for steps in flow.values():
            step = next((step for step in steps if step["name"] == name), None)
            cells.append(f"{step['yields']:,.1f} ({step['n_events']:,})" if step else "-")
        rows.append([name, *cells])
    return Table(f"Cutflow in {channel}: yield (events)", rows)


def ledger_table(summary: Summary) -> Table:
    """Say what was planned, processed and lost, by dataset and in total.

    In each line planned = processed + lost; ``?`` is what is in files that never opened.
    """
    rows = [
        ["dataset", "files", "files lost", "chunks", "events planned", "processed", "lost",
         "resumed"]
    ]  # fmt: skip
    for name in (*summary["datasets"], None):
        files, chunks, events = (amounts(summary, what, name) for what in BOOKED)
        done = [f"{files.processed}/{files.planned}", files.lost]
        done.append(f"{chunks.processed}/{chunks.planned}")
        rows.append(["total" if name is None else name, *done, *events])
    return Table("Events planned / processed / lost", rows)


BOOKED = ("files", "chunks", "events")


class Amounts(NamedTuple):
    """So many files, chunks or events, as text."""

    planned: str
    processed: str
    lost: str
    resumed: str


def amounts(summary: Summary, what: str, dataset: str | None = None) -> Amounts:
    """Say how much was planned, processed, lost and resumed; planned = processed + lost.

    Parameters
    ----------
    summary
        What ``run_summary.json`` holds.
    what
        ``files``, ``chunks`` or ``events``.
    dataset
        None: all of them.

    Returns
    -------
    Amounts
        What is in files that never opened is ``?``, beside what is known: ``1,200 + ?``.
    """
    books = summary["datasets"]
    processed = lost = resumed = 0
    is_unknown = False
    for name in books if dataset is None else [dataset]:
        book = books[name]
        processed += book["processed"][what] or 0
        resumed += book["resumed"][what] or 0
        if book["lost"][what] is not None:
            lost += book["lost"][what]
            continue
        is_unknown = True  # but for the chunks of files that opened, and their events
        for chunk in summary.get("lost_chunks", ()):
            if chunk["dataset"] == name and chunk["entries"] is not None:
                start, stop = chunk["entries"]
                lost += 1 if what == "chunks" else stop - start

    def text(number: int) -> str:
        more = " + ?" if number else "?"
        return (f"{number:,}" if number or not is_unknown else "") + (more if is_unknown else "")

    return Amounts(text(processed + lost), f"{processed:,}", text(lost), f"{resumed:,}")


def lost_in_words(summary: Summary) -> str:
    """Say in one line how much was lost; empty if nothing was.

    Examples
    --------
    >>> book = {"planned": {"files": 3, "events": 30}, "processed": {"files": 2, "events": 20},
    ...         "lost": {"files": 1, "events": 10, "files_of_unknown_size": 0},
    ...         "resumed": {"files": 0, "events": 0}}
    >>> lost_in_words({"datasets": {"a": book}})
    '10 of 30 events (1 of 3 files, wholly or in part)'
    """
    books = summary["datasets"].values()
    files, events = amounts(summary, "files"), amounts(summary, "events")
    if files.lost == "0":
        return ""
    n_unknown = sum(book["lost"]["files_of_unknown_size"] for book in books)
    parts = []
    if events.lost not in ("0", "?"):
        parts.append(f"{events.lost} of {events.planned} events")
    if n_unknown:
        some = "file" if n_unknown == 1 else "files"
        parts.append(f"{n_unknown} {some} that could not be opened")
    return f"{' and '.join(parts)} ({files.lost} of {files.planned} files, wholly or in part)"


def rate_table(summary: Summary) -> Table:
    """List how much was read, and how fast."""
    timing, rate = summary["timing"], summary["throughput"]
    rows = [
        ["what", "value"],
        ["processing took", f"{timing['wall_s']:.1f} s"],
        ["rate", f"{rate['events_per_s'] / 1e3:.3g} kHz"],
        ["rate per core", f"{rate['events_per_s_per_core'] / 1e3:.3g} kHz"],
        ["read", f"{rate['bytes_read'] / 1e6:,.1f} MB, {rate['gbit_per_s']:.3g} Gbit/s"],
        ["largest memory of a process", f"{summary['peak_rss_bytes'] / 1e9:.2f} GB"],
    ]
    for part, label in (("read_s", "reading"), ("process_s", "functions"), ("fill_s", "filling")):
        rows.append([f"spent on {label}, all workers", f"{timing[part]:.1f} s"])
    return Table("Processing", rows)


def fit_table(summary: Summary) -> Table:
    """List signal strength and goodness of fit of each signal."""
    rows = [["signal", "mass [GeV]", "signal strength", "p-value of the fit"]]
    for signal, one in summary["fit"].items():
        mass = "-" if one["mass_gev"] is None else f"{one['mass_gev']:g}"
        strength = with_error(one["signal_strength"], one["signal_strength_error"])
        rows.append([signal, mass, strength, _number(one["goodness_of_fit_p_value"])])
    return Table("Fit", rows)


def limit_table(summary: Summary) -> Table:
    """List the upper limits on the signal strength."""
    bands = ("-2", "-1", "1", "2")
    rows = [["signal", "expected", *(f"{float(n):+g} σ" for n in bands), "observed"]]
    level = 0.95
    for signal, one in summary["limits"].items():
        level = one["confidence_level"]
        band = [_number(one["expected_band"][n]) for n in bands]
        observed = _number(one["observed"]) + (" (blinded)" if one["is_blinded"] else "")
        rows.append([signal, _number(one["expected"]), *band, observed])
    return Table(f"Upper limit on the signal strength, {level:.0%} CL", rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


SHOWN_RUNS = 5
SHOWN_NOTES = 20
REDUCED = 1e-3  # of a limit, by smoothing and pruning, without a word
NORMTAG = "/cvmfs/cms-bril.cern.ch/cms-lumi-pog/Normtags/normtag_PHYSICS.json"


def describe(summary: Mapping[str, Any], directory: Path) -> str:
    """Say what came out of a run.

    Parameters
    ----------
    summary
        What ``run_summary.json`` holds.
    directory
        Where it was found; figures and executed notebooks are looked for below it.
    """
    tolerated, undrawn = summary.get("tolerated_loss"), summary.get("undrawn_figures", ())
    status = f"Status: {summary['status']}"
    if tolerated:
        status += f" within the tolerance of general.max_lost_fraction={tolerated['allowed']:g}"
        status += f": lost {lost_in_words(summary)}"
    if "error" in summary:
        status += f" ({summary['error']})"
    blocks: list[Iterable[str]] = [
        [str(yields_table(summary))] if summary["yields"] else [],
        [str(ledger_table(summary))] if summary["datasets"] else [],
        [*_strengths(summary), *_rate_lines(summary)],
        _notes(summary["fit"]),
        _lumis(summary, directory),
        [*_skims(summary.get("skims", {})), *_paths(directory)],
        [f"not drawn: {one['figure']}: {one['error']}" for one in undrawn],
        [f"Configuration: {summary['config_file']}"] if summary.get("config_file") else [],
        [status],
    ]
    return "\n\n".join(text for block in blocks if (text := "\n".join(block)))


def _strengths(summary: Mapping[str, Any]) -> Iterable[str]:
    for signal, one in summary["fit"].items():
        strength = with_error(one["signal_strength"], one["signal_strength_error"])
        yield f"{signal}: signal strength {strength}"
    for signal, one in summary["limits"].items():
        band = one["expected_band"]
        yield (
            f"{signal}: {one['confidence_level']:.0%} CL upper limit on the signal strength: "
            f"expected {_number(one['expected'])} "
            f"(68 %: {_number(band['-1'])} to {_number(band['1'])}), "
            f"observed {_number(one['observed'])}{' (blinded)' if one['is_blinded'] else ''}"
        )
        unreduced = one.get("expected_unreduced")  # since 0.2
        if unreduced and one["expected"] and abs(one["expected"] / unreduced - 1) > REDUCED:
            yield f"  with nothing smoothed or pruned: expected {_number(unreduced)}"


def _notes(fits: Mapping[str, Any]) -> Iterable[str]:
    """Say what a reader of the fits should know of their templates."""
    notes = list(dict.fromkeys(note for one in fits.values() for note in one["notes"]))
    yield from (f"note: {note}" for note in notes[:SHOWN_NOTES])
    if len(notes) > SHOWN_NOTES:
        yield f"and {len(notes) - SHOWN_NOTES} more notes: see templates.txt and run_summary.json"


def _rate_lines(summary: Mapping[str, Any]) -> Iterable[str]:
    for what in ("events", "files"):
        counts = " / ".join(amounts(summary, what)[:3])
        yield f"{what} planned / processed / lost: {counts}"
    rate = summary["throughput"]
    yield (
        f"rate: {rate['events_per_s'] / 1e3:,.3g} kHz, "
        f"{rate['events_per_s_per_core'] / 1e3:,.3g} kHz per core, "
        f"{rate['gbit_per_s']:.3g} Gbit/s; processing took {summary['timing']['wall_s']:.1f} s"
    )
    n_cached = rate.get("events_from_kept_columns", 0)  # since 0.2
    if n_cached:
        yield f"  with {n_cached:,} events from columns that an earlier run has kept"


def _lumis(summary: Mapping[str, Any], directory: Path) -> Iterable[str]:
    """Say which luminosity is missing, and how to learn what is left of it."""
    books = summary.get("lumi_sections")
    if books is None:
        return
    by_run = books["missing_by_run"]
    if by_run:
        missing = books["expected"] - books["processed"]
        worst = sorted(by_run, key=lambda run: -by_run[run]["fraction"])
        named = ", ".join(f"{run} ({by_run[run]['fraction']:.0%})" for run in worst[:SHOWN_RUNS])
        more = f" and {len(worst) - SHOWN_RUNS} more" if len(worst) > SHOWN_RUNS else ""
        yield (
            f"luminosity sections of the data: {missing:,} of {books['expected']:,} are missing, "
            f"in {len(worst)} {'run' if len(worst) == 1 else 'runs'}: {named}{more}"
        )
    if books["files_of_unknown_sections"]:
        n_files = books["files_of_unknown_sections"]
        yield f"lost data files of which no list of luminosity sections exists: {n_files}"
    if by_run or books["files_of_unknown_sections"]:
        yield "MC is not rescaled: set general.lumi to what this command gives:"
        path = shlex.quote(str(directory / "processed_lumis.json"))
        yield f"  brilcalc lumi -b 'STABLE BEAMS' --normtag {NORMTAG} -u /pb -i {path}"
    if books["files_without_tree"]:
        yield (
            f"data files without a LuminosityBlocks tree: {books['files_without_tree']}; of "
            "these, processed_lumis.json has only sections with events"
        )


def _skims(skims: Mapping[str, Any]) -> Iterable[str]:
    for dataset, skim in skims.items():
        what = f"{skim['n_events']:,} events, {skim['size_bytes'] / 1e6:,.1f} MB"
        state = "" if skim["is_complete"] else ", incomplete"
        yield f"skim of {dataset}: {skim['url']} ({what}{state})"


def _paths(directory: Path) -> Iterable[str]:
    for notebook in sorted(directory.glob("*.ipynb")):
        yield f"notebook: {notebook}"
    for name in ("plots", "statistics"):
        figures = sorted((directory / name).rglob("*.png"))
        if figures:
            yield f"{name}: {directory / name} ({len(figures)} figures, PNG and PDF)"
            yield from (f"  {figure}" for figure in figures)
    yield f"summary: {directory / 'run_summary.json'}"
