"""What a check has to say, and the checks of this machine: memory, disks, credentials."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import psutil

from intccms import facility
from intccms.engine.variations import plan_variations
from intccms.errors import InputError
from intccms.redaction import redacted
from intccms.schema import Config
from intccms.storage import Output

State = Literal["ok", "failed", "open"]

MARKS: dict[State, str] = {"ok": "✓", "failed": "✗", "open": "–"}


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Parameters
    ----------
    check, text
        What was looked at, and what was seen.
    state
        ``open``: it could not be decided, or does not matter here.
    remedy
        What to do if it failed.
    """

    check: str
    state: State
    text: str
    remedy: str = ""


def rows_of(found: Iterable[Finding]) -> list[list[str]]:
    """Give the rows of a table, the headings first."""
    rows = [[MARKS[one.state], one.check, one.text, one.remedy] for one in found]
    return [["", "check", "found", "remedy"], *rows]


def one_line(error: Exception) -> str:
    """Give the text of an error, or its type."""
    return redacted(" ".join(str(error).split())) or type(error).__name__


SOON = timedelta(hours=2)  # a run takes that long

MIN_FREE_GB = 1.0

# Sums of a weight and its square, each on so many levels of float64 numbers (histograms.exact).
BYTES_PER_BIN = 2 * 6 * 8


def disk(where: str, path: Path) -> Finding:
    """See how much room there is."""
    free = shutil.disk_usage(path).free / 1e9
    state: State = "ok" if free >= MIN_FREE_GB else "failed"
    remedy = "" if state == "ok" else f"make room: at least {MIN_FREE_GB:g} GB"
    return Finding(f"disk {where}", state, f"{free:.1f} GB free at {path}", remedy)


def credentials_found(config: Config) -> list[Finding]:
    """See how long the user's proxy and token live."""
    try:
        found = facility.credentials(config.general.facility)
    except InputError as error:
        return [Finding("credentials", "failed", str(error), "see the message")]
    if not found:
        return [Finding("credentials", "open", "no X509 proxy and no bearer token", "")]
    findings = []
    for one in found:
        left = one.left()
        if left is None:
            text = f"{one.origin}: its end is not known"
            findings.append(Finding(one.kind, "open", text, "pip install cryptography"))
        elif left < SOON:
            hours = left.total_seconds() / 3600
            text = f"{one.origin}: " + ("expired" if hours < 0 else f"only {hours:.1f} h left")
            findings.append(Finding(one.kind, "failed", text, one.remedy))
        else:
            hours = left.total_seconds() / 3600
            findings.append(Finding(one.kind, "ok", f"{one.origin}: {hours:.0f} h left"))
    return findings


def outputs(config: Config) -> list[Finding]:
    """Try to write to the directories of a run."""
    output = Output(config.general)
    places = {output.directory, output.metadata_dir, output.partials_dir, output.skimmed_dir}
    for place in sorted({existing(place) for place in places}):
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            text = f"cannot write to {place}: {error.strerror or error}"
            return [Finding("output", "failed", text, "see general.output_dir")]
    return [Finding("output", "ok", f"writable: {output.directory}")]


def existing(path: Path) -> Path:
    """Give what is there of a path: itself, or the nearest above it."""
    return next(one for one in (path, *path.parents) if one.exists())


def forecast(config: Config) -> dict[str, float]:
    """Estimate the memory of the histograms of each dataset, in bytes."""
    n_bins = sum(
        len(observable.binning) + 1  # with the two flow bins
        for channel in config.active_channels
        for observable in channel.observables
    )
    sizes = {}
    for entry in config.datasets.datasets:
        for key, year in zip(entry.keys(), entry.years, strict=True):
            if entry.name in config.processes:
                plan = plan_variations(
                    config, entry.name, year=year, is_data=entry.is_data, dataset=key
                )
                sizes[key] = float(n_bins * len(plan.labels) * BYTES_PER_BIN)
    return sizes


def memory_here(config: Config) -> Finding:
    """See whether all histograms fit into the memory of this machine."""
    needed = 2 * sum(forecast(config).values())  # the sums, and the book that is made of them
    free = float(psutil.virtual_memory().available)
    return fits("memory here", needed, free)


def fits(check: str, needed: float, free: float) -> Finding:
    """Compare bytes that are needed with those that are free."""
    text = f"histograms take about {needed / 1e6:,.0f} MB of {free / 1e6:,.0f} MB"
    if needed < free / 2:
        return Finding(check, "ok", text)
    return Finding(check, "failed", text, "fewer bins, channels or variations, or more memory")
