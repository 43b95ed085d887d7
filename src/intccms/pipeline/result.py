"""What a run gives, and how its losses and failures are told in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.analysis.runner import AnalysisResult
from intccms.errors import IntccmsError
from intccms.execution.accounting import DatasetLedger, Ledger
from intccms.histograms import Book
from intccms.histograms.cutflow import Cutflow
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
    def loss(self) -> str:
        """How much was lost, and where the first of it, in one line."""
        first = self.ledger.lost_chunks[0]
        lost = lost_in_words(
            {
                "datasets": self.counts,
                "lost_chunks": [asdict(one) for one in self.ledger.lost_chunks],
            }
        )
        return (
            f"lost {lost}, more than general.max_lost_fraction="
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
