"""What ``run_summary.json`` holds: made from the result of a run, and read back."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import intccms
from intccms.analysis.runner import AnalysisResult
from intccms.errors import InputError, IntccmsError
from intccms.execution.accounting import Amount, DatasetLedger, Ledger, LostChunk, RepeatedFile
from intccms.histograms import Book
from intccms.histograms.sums import Cutflow, CutStep
from intccms.metrics.definitions import evaluate
from intccms.metrics.measurement import Measurement
from intccms.metrics.tables import lost_in_words
from intccms.plots.style import Drawn
from intccms.schema import Config
from intccms.storage import Output

if TYPE_CHECKING:  # cabinetry takes 2 s to import
    from intccms.mva import Trained
    from intccms.statistics import LimitOutcome, SignalResult


log = logging.getLogger(__name__)

AMOUNTS = ("planned", "processed", "lost", "resumed")


@dataclass
class RunResult:
    """All that a run gives; it grows stage by stage.

    Parameters
    ----------
    config, output
        What was wanted, and where it goes.
    code
        Digests of functions and files that the configuration names, by their place there.
    analysis
        None where no event was read.
    n_workers
        Workers of the analysis.
    book, years, cutflow, ledger
        Of this run, or those that were saved; `years` where there are several.
    earlier
        The summary of the run that has saved the histograms, if they were loaded.
    results
        Fit, impacts and limits by signal.
    plots
        The files of all figures.
    undrawn
        Figures, without suffix, and why they are not there.
    trained
        The classifiers.
    failure
        What a stage has raised.
    has_written
        Whether something was written.
    summary
        What ``run_summary.json`` holds.
    """

    config: Config
    output: Output
    code: dict[str, str] = field(default_factory=dict)
    analysis: AnalysisResult | None = None
    n_workers: int = 1
    book: Book | None = None
    years: dict[str, Book] = field(default_factory=dict)
    cutflow: Cutflow = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    earlier: dict[str, Any] = field(default_factory=dict)
    results: dict[str, SignalResult] = field(default_factory=dict)
    plots: tuple[Path, ...] = ()
    undrawn: dict[Path, str] = field(default_factory=dict)
    trained: dict[str, Trained] = field(default_factory=dict)
    failure: IntccmsError | None = None
    has_written: bool = False
    summary: dict[str, Any] = field(default_factory=dict)

    def take_analysis(self, analysis: AnalysisResult, n_workers: int) -> None:
        """Take what the analysis of events gave."""
        self.analysis, self.n_workers = analysis, n_workers
        self.cutflow, self.ledger = analysis.cutflow, analysis.ledger
        self.take_books(analysis.histograms, analysis.years)

    def take_books(self, book: Book, years: Mapping[str, Book]) -> None:
        """Take histograms with what lies outside of their edges where it is wanted."""
        folded = self.config.folded
        self.book = replace(book, folded=folded)
        self.years = {year: replace(one, folded=folded) for year, one in years.items()}

    def warn_of_outside(self) -> None:
        """Name the processes with more than a little outside of what would be fitted."""
        book = self.book or Book({}, {})
        fitted = {(one.name, one.fit_observable) for one in self.config.channels}
        for where in filter(fitted.__contains__, book.histograms):
            for name, (below, above) in book.far_outside(*where).items():
                text = "%s, %s, %s: outside of the edges are %.3g %% below and %.3g %% above"
                log.warning(text, *where, name, 100 * below, 100 * above)

    def take_figures(self, drawn: Iterable[Drawn]) -> None:
        """Take what became of figures, which may have been tried before."""
        for one in drawn:
            self.undrawn.pop(one.stem, None)
            if one.error:
                log.error("the figure %s cannot be drawn: %s", one.stem, one.error)
                self.undrawn[one.stem] = one.error
            self.plots = tuple(dict.fromkeys((*self.plots, *one.files)))

    @property
    def limits(self) -> dict[str, LimitOutcome]:
        """Upper limits on the signal strength, by signal; without those that failed."""
        limits = {signal: result.limits for signal, result in self.results.items()}
        return {signal: limit for signal, limit in limits.items() if limit is not None}

    @property
    def is_incomplete(self) -> bool:
        """Whether more was lost than the configuration allows."""
        return self.ledger.lost_fraction() > self.config.general.max_lost_fraction

    @property
    def lost(self) -> str:
        """How much was lost, in a few words."""
        chunks = [asdict(one) for one in self.ledger.lost_chunks]
        return f"lost {lost_in_words({'datasets': self.counts, 'lost_chunks': chunks})}"

    @property
    def loss(self) -> str:
        """How much was lost, and where the first of it, in one line."""
        first = self.ledger.lost_chunks[0]
        return (
            f"{self.lost}, more than general.max_lost_fraction="
            f"{self.config.general.max_lost_fraction:g} allows; first: dataset {first.dataset!r}, "
            f"{first.file}: {' '.join(first.error.split())}"
        )

    @property
    def undrawn_text(self) -> str:
        """How many figures could not be drawn, and why the first of them, in one line."""
        n, (stem, why) = len(self.undrawn), next(iter(self.undrawn.items()))
        figures = "1 figure" if n == 1 else f"{n} figures"
        first = "" if n == 1 else "first: "
        return f"{figures} could not be drawn, all else is written; {first}{stem}: {why}"

    @property
    def counts(self) -> dict[str, Any]:
        """What was planned, processed, lost and resumed of each dataset, in terms of JSON."""
        return {name: _counts(one) for name, one in self.ledger.datasets.items()}

    def is_blind(self, channel: str) -> bool:
        """Whether data of a channel are hidden, at least in part."""
        statistics = self.config.statistics
        return statistics is not None and channel in statistics.blind

    def visible_cutflow(self, data_processes: Iterable[str]) -> Cutflow:
        """Return the cutflow without the data of blinded channels."""
        hidden = set(data_processes)
        return {
            channel: {
                process: steps
                for process, steps in processes.items()
                if process not in hidden or not self.is_blind(channel)
            }
            for channel, processes in self.cutflow.items()
        }


def _counts(book: DatasetLedger) -> dict[str, Any]:
    amounts: dict[str, Any] = {name: asdict(getattr(book, name)) for name in AMOUNTS}
    amounts["lost"]["files_of_unknown_size"] = book.files_of_unknown_size
    return {**amounts, "sumw_source": book.sumw_source, "weights": book.weights}


PACKAGES = (
    "awkward", "cabinetry", "coffea", "correctionlib", "hist", "numpy", "pyhf", "uproot"
)  # fmt: skip
INFERRED = ("fit", "limits", "significance")
MEASURED = ("timing", "throughput", "peak_rss_bytes")
PHASES = ("wall_s", "open_s", "read_s", "process_s", "fill_s")


def read_summary(directory: Path) -> dict[str, Any]:
    """Read ``run_summary.json``.

    Raises
    ------
    InputError
        If there is none in the directory, or it is damaged.
    """
    path = directory / "run_summary.json"
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"no summary of a run: {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    return summary


def summarise(result: RunResult, *, unfinished: bool = False) -> dict[str, Any]:
    """Return what ``run_summary.json`` is to hold.

    Parameters
    ----------
    result
        What the run has given so far.
    unfinished
        Whether there are stages to come: if the run ends before them, this is what is left.
    """
    status, error = _status(result, unfinished=unfinished)
    ledger, analysis, earlier = result.ledger, result.analysis, result.earlier
    summary: dict[str, Any] = {
        "status": status,
        "versions": _versions(),
        "config_sha256": result.config.sha256,
        "config_file": result.config.file,
        "code": earlier.get("code", {}) if earlier else result.code,
        "datasets": result.counts,
        "yields": _yields(result),
        "cutflow": _cutflow(result),
        **_measured(result),
        "lumi_sections": earlier.get("lumi_sections"),
        "lost_chunks": [asdict(lost) for lost in ledger.lost_chunks],
        "repeated_files": [asdict(one) for one in ledger.repeated_files],
        **_inferred(result),
    }
    if analysis is not None:
        summary["lumi_sections"] = None if analysis.lumis is None else analysis.lumis.to_dict()
        optional = {
            "skims": {name: asdict(skim) for name, skim in analysis.skims.items()},
            "duplicates": [one.to_dict() for one in analysis.duplicates],
            "chunking": analysis.chunking,
        }
        summary |= {name: value for name, value in optional.items() if value}
    if result.book is not None:
        summary["outside"] = _outside(result.book)
    if result.trained:
        summary["mva"] = {
            name: {"folds": one.record["folds"], **one.evaluation.summary()}
            for name, one in result.trained.items()
        }
    if result.undrawn:
        summary["undrawn_figures"] = [
            {"figure": str(stem), "error": why} for stem, why in result.undrawn.items()
        ]
    if status == "complete" and not ledger.is_complete:
        allowed = result.config.general.max_lost_fraction
        summary["tolerated_loss"] = {"fraction": ledger.lost_fraction(), "allowed": allowed}
    return summary | ({"error": error} if error else {})


def _status(result: RunResult, *, unfinished: bool) -> tuple[str, str]:
    """Say how a run has ended, and why."""
    error = "" if result.failure is None else str(result.failure)
    if unfinished and not error:
        error = "the run has not come to its end"
    if result.undrawn and not (error or result.is_incomplete):
        error = result.undrawn_text
    if error:
        return "failed", error
    return ("incomplete" if result.is_incomplete else "complete"), ""


def _inferred(result: RunResult) -> dict[str, Any]:
    """Give fit, limits and significance of each signal, or those of the earlier run."""
    signals = {signal: one.summary() for signal, one in result.results.items()}
    return {
        part: {
            signal: {"mass_gev": one["mass_gev"], **one[part]}
            for signal, one in signals.items()
            if part in one
        }
        or result.earlier.get(part, {})
        for part in INFERRED
    }


def _yields(result: RunResult) -> dict[str, dict[str, dict[str, float]]]:
    """Return yields with statistical errors; data of a blinded channel are left out."""
    book = result.book
    if book is None:
        return {}
    return {
        channel: {
            process: {"value": one.value, "error": one.error}
            for process, one in book.yields(channel).items()
            if process not in book.data_processes or not result.is_blind(channel)
        }
        for channel in book.channels
    }


def _outside(book: Book) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return the fractions below and above the edges; without a fit nothing else names them."""
    return {
        channel: {
            observable: {name: {"below": low, "above": high} for name, (low, high) in far.items()}
            for observable in book.observables(channel)
            if (far := book.far_outside(channel, observable))
        }
        for channel in book.channels
    }


def _cutflow(result: RunResult) -> dict[str, dict[str, list[dict[str, Any]]]]:
    data = [entry.name for entry in result.config.datasets.datasets if entry.is_data]
    return {
        channel: {process: [asdict(step) for step in steps] for process, steps in flow.items()}
        for channel, flow in result.visible_cutflow(data).items()
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "intccms": intccms.__version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _measured(result: RunResult) -> dict[str, Any]:
    """Return times, rates and memory; chunks that were resumed or lost are left out of rates."""
    analysis, earlier = result.analysis, result.earlier
    if analysis is None and earlier:
        return {name: earlier[name] for name in MEASURED}
    wall_s, reports = (0.0, ()) if analysis is None else (analysis.wall_s, analysis.reports)
    measured = replace(
        Measurement("", 0.0, wall_s, reports).measured, core_s=wall_s * result.n_workers
    )
    rates = {name: value or 0.0 for name, value in evaluate(measured).items()}
    throughput = {
        "events_per_s": 1e3 * rates["event_rate_khz"],
        "events_per_s_per_core": 1e3 * rates["event_rate_core_khz"],
        "events_from_kept_columns": measured.n_events_cached,
        "bytes_read": measured.bytes_read,
        "gbit_per_s": rates["data_rate_gbps"],
    }
    timing = {phase: getattr(measured, phase) for phase in PHASES}
    return {
        "timing": timing,
        "throughput": throughput,
        "peak_rss_bytes": measured.peak_rss_bytes,
    }


def saved_cutflow(summary: Mapping[str, Any]) -> Cutflow:
    """Read the cutflow of a summary."""
    return {
        channel: {
            process: [CutStep(**step) for step in steps] for process, steps in processes.items()
        }
        for channel, processes in summary["cutflow"].items()
    }


def saved_ledger(summary: Mapping[str, Any]) -> Ledger:
    """Read from a summary what was planned, processed and lost."""
    ledger = Ledger()
    for name, saved in summary["datasets"].items():
        lost = dict(saved["lost"])
        unknown = lost.pop("files_of_unknown_size")
        amounts = {part: Amount(**saved[part]) for part in AMOUNTS if part != "lost"}
        ledger.datasets[name] = DatasetLedger(
            lost=Amount(**lost),
            files_of_unknown_size=unknown,
            sumw_source=saved["sumw_source"],
            weights=saved.get("weights"),  # since 0.2
            **amounts,
        )
    for one in summary["lost_chunks"]:
        entries = None if one["entries"] is None else tuple(one["entries"])
        ledger.lost_chunks.append(LostChunk(**{**one, "entries": entries}))
    repeated = summary.get("repeated_files", [])  # since 0.2
    ledger.repeated_files = [RepeatedFile(**one) for one in repeated]
    return ledger
