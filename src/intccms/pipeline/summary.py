"""What ``run_summary.json`` holds: made from the findings of a run, and read back."""

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
from intccms.execution.tasks import ChunkReport
from intccms.histograms import Book, storage
from intccms.histograms.cutflow import Cutflow, CutStep
from intccms.metrics.definitions import evaluate
from intccms.metrics.measurement import Measurement
from intccms.metrics.tables import lost_in_words
from intccms.pipeline.identity import code_of
from intccms.plots.style import Drawn
from intccms.schema import Config
from intccms.storage import Output

if TYPE_CHECKING:
    from intccms.mva import Trained
    from intccms.statistics import SignalResult

__all__ = [
    "Findings",
    "SavedRun",
    "describe_loss",
    "describe_undrawn",
    "read_summary",
    "summarise",
    "visible_cutflow",
]

log = logging.getLogger(__name__)

PACKAGES = (
    "awkward", "cabinetry", "coffea", "correctionlib", "hist", "numpy", "pyhf", "uproot"
)  # fmt: skip
AMOUNTS = ("planned", "processed", "lost", "resumed")


@dataclass(frozen=True)
class SavedRun:
    """What an earlier run has left beside its histograms."""

    ledger: Ledger
    cutflow: Cutflow
    parts: dict[str, Any]  # of its summary: timing, throughput, peak_rss_bytes, fit, limits, …
    years: dict[str, Book] = field(default_factory=dict)

    @classmethod
    def load(cls, output: Output) -> SavedRun:
        """Read the summary of the run that wrote to `output` before.

        Raises
        ------
        InputError
            If it is not there or not as it was written.
        """
        summary = read_summary(output.directory)
        names = ("timing", "throughput", "peak_rss_bytes", "fit", "limits")
        try:
            cutflow = {
                channel: {
                    process: [CutStep(**step) for step in steps]
                    for process, steps in processes.items()
                }
                for channel, processes in summary["cutflow"].items()
            }
            parts = {name: summary[name] for name in names}
            parts["lumi_sections"] = summary.get("lumi_sections")  # since 0.2
            parts |= {name: summary.get(name, {}) for name in ("significance", "code")}  # since 0.2
            years = storage.load_years(output.histograms_dir)
            return cls(_ledger(summary), cutflow, parts, years)
        except (AttributeError, KeyError, TypeError) as error:
            path = output.run_summary_json
            raise InputError(f"{path} is not as it was written: {error!r}") from error


@dataclass
class Findings:
    """What a run has found so far."""

    config: Config
    begun: bool = False  # whether something was written
    analysis: AnalysisResult | None = None
    n_workers: int = 1
    book: Book | None = None
    years: dict[str, Book] = field(default_factory=dict)  # where there are several
    cutflow: Cutflow = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    results: dict[str, SignalResult] = field(default_factory=dict)
    plots: tuple[Path, ...] = ()
    undrawn: dict[Path, str] = field(default_factory=dict)  # figures, and why they are not there
    trained: dict[str, Trained] = field(default_factory=dict)
    saved: SavedRun | None = None
    failure: IntccmsError | None = None

    def take(self, analysis: AnalysisResult, n_workers: int) -> None:
        """Take what the analysis of events gave."""
        self.analysis, self.n_workers = analysis, n_workers
        self._take_books(analysis.histograms, analysis.years)
        self.cutflow, self.ledger = analysis.cutflow, analysis.ledger

    def take_saved(self, saved: SavedRun, book: Book) -> None:
        """Take what an earlier run has left."""
        self.saved = saved
        self._take_books(book, saved.years)
        self.cutflow, self.ledger = saved.cutflow, saved.ledger

    def take_figures(self, drawn: Iterable[Drawn]) -> None:
        """Take what became of figures, which may have been tried before."""
        for one in drawn:
            self.undrawn.pop(one.stem, None)
            if one.error:
                log.error("the figure %s cannot be drawn: %s", one.stem, one.error)
                self.undrawn[one.stem] = one.error
            self.plots = tuple(dict.fromkeys((*self.plots, *one.files)))

    def _take_books(self, book: Book, years: Mapping[str, Book]) -> None:
        """Take histograms with what lies outside of their edges where it is wanted."""
        folded = self.config.folded
        self.book = replace(book, folded=folded)
        self.years = {year: replace(one, folded=folded) for year, one in years.items()}

    @property
    def is_incomplete(self) -> bool:
        """Whether more was lost than the configuration allows."""
        return self.ledger.lost_fraction() > self.config.general.max_lost_fraction


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


def summarise(found: Findings, *, unfinished: bool = False) -> dict[str, Any]:
    """Return what ``run_summary.json`` is to hold.

    Parameters
    ----------
    found
        The findings of the run.
    unfinished
        Whether there are stages to come: if the run ends before them, this is what is left.
    """
    saved = {} if found.saved is None else found.saved.parts
    error = "" if found.failure is None else str(found.failure)
    status = "incomplete" if found.is_incomplete else "complete"
    if unfinished and not error:
        error = "the run has not come to its end"
    if found.undrawn and not (error or found.is_incomplete):
        error = describe_undrawn(found)
    if error:
        status = "failed"
    inferred = {signal: result.summary() for signal, result in found.results.items()}
    found_by = {
        part: {signal: _with_mass(one, part) for signal, one in inferred.items() if part in one}
        or saved.get(part, {})
        for part in ("fit", "limits", "significance")
    }
    summary: dict[str, Any] = {
        "status": status,
        "versions": _versions(),
        "config_sha256": found.config.sha256,
        "config_file": found.config.file,
        "code": saved.get("code", {}) if found.saved else code_of(found.config),
        "datasets": {name: _dataset(book) for name, book in found.ledger.datasets.items()},
        "yields": _yields(found),
        "cutflow": _cutflow(found),
        **_measured(found, saved),
        "lumi_sections": _lumis(found, saved),
        "lost_chunks": [asdict(lost) for lost in found.ledger.lost_chunks],
        "repeated_files": [asdict(one) for one in found.ledger.repeated_files],
        **found_by,
    }
    if found.analysis is not None and found.analysis.skims:
        summary["skims"] = {name: asdict(skim) for name, skim in found.analysis.skims.items()}
    if found.trained:
        summary["mva"] = {
            name: {"folds": one.record["folds"], **one.evaluation.summary()}
            for name, one in found.trained.items()
        }
    if found.analysis is not None and found.analysis.duplicates:
        summary["duplicates"] = [one.to_dict() for one in found.analysis.duplicates]
    if found.analysis is not None and found.analysis.chunking:
        summary["chunking"] = found.analysis.chunking
    if found.undrawn:
        summary["undrawn_figures"] = [
            {"figure": str(stem), "error": why} for stem, why in found.undrawn.items()
        ]
    if status == "complete" and not found.ledger.is_complete:
        summary["tolerated_loss"] = {
            "fraction": found.ledger.lost_fraction(),
            "allowed": found.config.general.max_lost_fraction,
        }
    return summary | ({"error": error} if error else {})


def describe_undrawn(found: Findings) -> str:
    """Say in one line how many figures could not be drawn, and why the first of them."""
    n, (stem, why) = len(found.undrawn), next(iter(found.undrawn.items()))
    figures = "1 figure" if n == 1 else f"{n} figures"
    first = "" if n == 1 else "first: "
    return f"{figures} could not be drawn, all else is written; {first}{stem}: {why}"


def describe_loss(found: Findings) -> str:
    """Say in one line how much was lost, and where the first of it."""
    first = found.ledger.lost_chunks[0]
    lost = lost_in_words(
        {
            "datasets": {name: _dataset(book) for name, book in found.ledger.datasets.items()},
            "lost_chunks": [asdict(one) for one in found.ledger.lost_chunks],
        }
    )
    return (
        f"lost {lost}, more than general.max_lost_fraction="
        f"{found.config.general.max_lost_fraction:g} allows; first: dataset {first.dataset!r}, "
        f"{first.file}: {' '.join(first.error.split())}"
    )


def visible_cutflow(config: Config, cutflow: Cutflow, data_processes: Iterable[str]) -> Cutflow:
    """Return the cutflow without the data of blinded channels."""
    hidden = set(data_processes)
    return {
        channel: {
            process: steps
            for process, steps in processes.items()
            if process not in hidden or not _is_blind(config, channel)
        }
        for channel, processes in cutflow.items()
    }


def _is_blind(config: Config, channel: str) -> bool:
    return config.statistics is not None and channel in config.statistics.blind


def _yields(found: Findings) -> dict[str, dict[str, dict[str, float]]]:
    """Return yields with statistical errors; data of a blinded channel are left out."""
    book = found.book
    if book is None:
        return {}
    return {
        channel: {
            process: {"value": one.value, "error": one.error}
            for process, one in book.yields(channel).items()
            if process not in book.data_processes or not _is_blind(found.config, channel)
        }
        for channel in book.channels
    }


def _cutflow(found: Findings) -> dict[str, dict[str, list[dict[str, Any]]]]:
    data = [entry.name for entry in found.config.datasets.datasets if entry.is_data]
    return {
        channel: {process: [asdict(step) for step in steps] for process, steps in flow.items()}
        for channel, flow in visible_cutflow(found.config, found.cutflow, data).items()
    }


def _with_mass(result: Mapping[str, Any], part: str) -> dict[str, Any]:
    return {"mass_gev": result["mass_gev"], **result[part]}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "intccms": intccms.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _dataset(book: DatasetLedger) -> dict[str, Any]:
    amounts: dict[str, Any] = {name: asdict(getattr(book, name)) for name in AMOUNTS}
    amounts["lost"]["files_of_unknown_size"] = book.files_of_unknown_size
    return {**amounts, "sumw_source": book.sumw_source, "weights": book.weights}


def _ledger(summary: Mapping[str, Any]) -> Ledger:
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


def _lumis(found: Findings, saved: Mapping[str, Any]) -> dict[str, Any] | None:
    if found.analysis is None:
        return saved.get("lumi_sections")
    lumis = found.analysis.lumis
    return None if lumis is None else lumis.to_dict()


def _measured(found: Findings, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return times, rates and memory; chunks that were resumed or lost are left out of rates."""
    names = ("timing", "throughput", "peak_rss_bytes")
    if found.analysis is None and saved:
        return {name: saved[name] for name in names}
    receipts: tuple[ChunkReport, ...] = () if found.analysis is None else found.analysis.receipts
    wall_s = 0.0 if found.analysis is None else found.analysis.wall_s
    measured = replace(
        Measurement("", 0.0, wall_s, receipts).measured, core_s=wall_s * found.n_workers
    )
    rates = {name: value or 0.0 for name, value in evaluate(measured).items()}
    parts = ("wall_s", "open_s", "read_s", "process_s", "fill_s")
    throughput = {
        "events_per_s": 1e3 * rates["event_rate_khz"],
        "events_per_s_per_core": 1e3 * rates["event_rate_core_khz"],
        "events_from_kept_columns": measured.n_events_cached,
        "bytes_read": measured.bytes_read,
        "gbit_per_s": rates["data_rate_gbps"],
    }
    timing = {part: getattr(measured, part) for part in parts}
    return dict(zip(names, (timing, throughput, measured.peak_rss_bytes), strict=True))
