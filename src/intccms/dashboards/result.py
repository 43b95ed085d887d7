"""The result of a run in words, as the command line prints it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from intccms.dashboards.tables import (
    Table,
    amounts,
    ledger_table,
    lost_in_words,
    with_error,
    yields_table,
)

__all__ = ["describe"]

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
    blocks: list[str] = [str(table) for table in _tables(summary)]
    blocks.append("\n".join([*_strengths(summary), *_rate(summary)]))
    blocks.append("\n".join(_notes(summary["fit"])))
    blocks.append("\n".join(_lumis(summary, directory)))
    blocks.append("\n".join([*_skims(summary.get("skims", {})), *_paths(directory)]))
    undrawn = summary.get("undrawn_figures", ())
    blocks.append("\n".join(f"not drawn: {one['figure']}: {one['error']}" for one in undrawn))
    if summary.get("config_file"):
        blocks.append(f"Configuration: {summary['config_file']}")
    status = f"Status: {summary['status']}"
    tolerated = summary.get("tolerated_loss")
    if tolerated:
        status += f" within the tolerance of general.max_lost_fraction={tolerated['allowed']:g}"
        status += f": lost {lost_in_words(summary)}"
    if "error" in summary:
        status += f" ({summary['error']})"
    return "\n\n".join([*(block for block in blocks if block), status])


def _tables(summary: Mapping[str, Any]) -> Iterable[Table]:
    if summary["yields"]:
        yield yields_table(summary)
    if summary["datasets"]:
        yield ledger_table(summary)


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
        whole = one.get("expected_unreduced")  # since 0.2
        if whole and one["expected"] and abs(one["expected"] / whole - 1) > REDUCED:
            yield f"  with nothing smoothed or pruned: expected {_number(whole)}"


def _notes(fits: Mapping[str, Any]) -> Iterable[str]:
    """Say what a reader of the fits should know of their templates."""
    notes = list(dict.fromkeys(note for one in fits.values() for note in one["notes"]))
    yield from (f"note: {note}" for note in notes[:SHOWN_NOTES])
    if len(notes) > SHOWN_NOTES:
        yield f"and {len(notes) - SHOWN_NOTES} more notes: see templates.txt and run_summary.json"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _rate(summary: Mapping[str, Any]) -> Iterable[str]:
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
