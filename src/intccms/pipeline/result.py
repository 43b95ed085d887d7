"""All that a run gives, in one object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.analysis.runner import AnalysisResult
from intccms.execution.accounting import Ledger
from intccms.histograms import Book
from intccms.histograms.cutflow import Cutflow
from intccms.schema import Config
from intccms.storage import Output

if TYPE_CHECKING:  # cabinetry takes 2 s to import: that waits until something is fitted
    from intccms.statistics import LimitOutcome, SignalResult

__all__ = ["RunResult"]


@dataclass(frozen=True)
class RunResult:
    """All that a run gives.

    Parameters
    ----------
    analysis
        None where no event was read.
    book, cutflow, ledger
        Of this run, or those that were saved.
    results
        Fit, impacts and limits by signal.
    plots
        The files of all figures.
    summary
        What ``run_summary.json`` holds.
    """

    config: Config
    analysis: AnalysisResult | None
    book: Book | None
    cutflow: Cutflow
    ledger: Ledger
    results: dict[str, SignalResult]
    plots: tuple[Path, ...]
    summary: dict[str, Any]
    output: Output

    @property
    def limits(self) -> dict[str, LimitOutcome]:
        """Upper limits on the signal strength, by signal; without those that failed."""
        found = {signal: result.limits for signal, result in self.results.items()}
        return {signal: limit for signal, limit in found.items() if limit is not None}
