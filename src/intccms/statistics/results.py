"""The whole inference of a run, signal by signal, and its JSON files."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cabinetry.fit import RankingResults

from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics.configuration import settings, signal_processes
from intccms.statistics.export.datacards import write_datacard
from intccms.statistics.fit import FitOutcome, Prediction, fit, ranking
from intccms.statistics.limits import SIGMAS, LimitOutcome, limits
from intccms.statistics.significance import Significance, significance
from intccms.statistics.workspace import Workspace, build_workspace
from intccms.utils.output import write_json

__all__ = [
    "SignalResult",
    "build_workspaces",
    "cross_section_of",
    "infer",
    "mass_of",
    "write",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignalResult:
    """All that was inferred about one signal.

    Parameters
    ----------
    cross_section_pb
        That the signal has at strength 1, branching fraction included.
    """

    workspace: Workspace
    fit: FitOutcome
    ranking: RankingResults
    limits: LimitOutcome
    significance: Significance
    mass_gev: float | None = None
    cross_section_pb: float = 1.0

    @property
    def signal(self) -> str:
        """Name of the process."""
        return self.workspace.signal

    def summary(self) -> dict[str, Any]:
        """Numbers for ``run_summary.json``: signal strength and limits."""
        return {
            "mass_gev": self.mass_gev,
            "fit": _strength(self.fit),
            "limits": _limit(self.limits) | _in_pb(self),
            "significance": _significance(self.significance),
        }


def build_workspaces(config: Config, book: Book) -> tuple[Workspace, ...]:
    """One workspace per signal.

    Raises
    ------
    InputError
        If there is no signal, or the cabinetry configuration and the book do not fit together.
    """
    return tuple(build_workspace(config, book, name) for name in signal_processes(config, book))


def infer(
    workspace: Workspace,
    *,
    mass_gev: float | None = None,
    cross_section_pb: float = 1.0,
    n_ranked: int = 15,
) -> SignalResult:
    """Fit, impacts and limits of one workspace; workspaces may be sent to different processes.

    Parameters
    ----------
    workspace
        One signal.
    mass_gev, cross_section_pb
        Of the signal, kept with the result.
    n_ranked
        Parameters whose impact is computed, four fits each.

    Raises
    ------
    FitError
        If the fit or the limit fails.
    """
    outcome = fit(workspace)
    log.info("%s: strength %.4g +- %.4g", workspace.signal, outcome.mu, outcome.mu_error)
    impacts = ranking(workspace, outcome, n_parameters=n_ranked)
    found, discovery = limits(workspace), significance(workspace)
    return SignalResult(
        workspace, outcome, impacts, found, discovery, mass_gev, cross_section_pb
    )  # fmt: skip


def write(results: Iterable[SignalResult], folder: Path) -> tuple[Path, ...]:
    """Write fits, limits and significances as JSON, and each signal's workspace and datacard.

    Numbers that do not exist, such as blinded data, are null.

    Returns
    -------
    tuple of Path
        The files.
    """
    found = tuple(results)
    content: dict[str, Any] = {
        "fit.json": {one.signal: _fit(one) for one in found},
        "limits.json": {
            one.signal: _limit(one.limits) | _in_pb(one) | _scan(one.limits) for one in found
        },
        "significance.json": {one.signal: _significance(one.significance) for one in found},
    }
    for one in found:
        name = "workspace.json" if len(found) == 1 else f"workspace_{one.signal}.json"
        content[name] = one.workspace.spec
    for name, value in content.items():
        write_json(folder / name, value)
    cards = [path for one in found for path in write_datacard(one.workspace, folder / "datacards")]
    return (*(folder / name for name in content), *cards)


def mass_of(config: Config, signal: str) -> float | None:
    """Mass of a signal in GeV, if the configuration gives it."""
    return settings(config).masses_gev.get(signal)


def cross_section_of(config: Config, signal: str) -> float:
    """Cross section in pb that a signal has at strength 1, as its datasets give it.

    Those of several directories are added within a year; each year has its own simulation of
    the same process, so the first year counts. Without any it is 1 pb.
    """
    for entry in config.datasets.datasets:
        if entry.name == signal and entry.cross_sections:
            by_year: dict[str | None, float] = {}
            for year, value in zip(entry.years, entry.cross_sections, strict=True):
                by_year[year] = by_year.get(year, 0.0) + value
            return next(iter(by_year.values()))
    return 1.0


def _strength(outcome: FitOutcome) -> dict[str, Any]:
    return {
        "signal_strength": outcome.mu,
        "signal_strength_error": outcome.mu_error,
        "goodness_of_fit_p_value": outcome.results.goodness_of_fit,
        "notes": outcome.notes,
    }


def _fit(one: SignalResult) -> dict[str, Any]:
    results = one.fit.results
    rows = zip(results.labels, results.bestfit, results.uncertainty, strict=True)
    parameters = {label: {"value": value, "error": error} for label, value, error in rows}
    for label, (pull, constraint) in one.fit.pulls.items():
        parameters[label] |= {"pull": pull, "constraint": constraint}
    return {
        **_strength(one.fit),
        "mass_gev": one.mass_gev,
        "twice_nll": results.best_twice_nll,
        "parameters": parameters,
        "correlation": {"labels": results.labels, "matrix": results.corr_mat},
        "ranking": one.ranking._asdict(),
        "prefit": {one.channel: _prediction(one) for one in one.fit.prefit},
        "postfit": {one.channel: _prediction(one) for one in one.fit.postfit},
    }


def _prediction(one: Prediction) -> dict[str, Any]:
    return {
        "edges": one.edges,
        "samples": dict(zip(one.samples, one.yields, strict=True)),
        "total": one.total,
        "total_error": one.errors,
        "data": one.observed,
    }


def _limit(outcome: LimitOutcome) -> dict[str, Any]:
    return {
        "confidence_level": outcome.confidence_level,
        "observed": outcome.observed,
        "expected": outcome.expected[2],
        "expected_band": dict(zip(map(str, SIGMAS), outcome.expected, strict=True)),
        "is_blinded": outcome.is_blinded,
    }


def _in_pb(one: SignalResult) -> dict[str, Any]:
    """Give the limits on the cross section times branching fraction."""
    scale, band = one.cross_section_pb, one.limits.expected
    return {
        "cross_section_pb": scale,
        "observed_pb": one.limits.observed * scale,
        "expected_pb": band[2] * scale,
    }


def _significance(one: Significance) -> dict[str, Any]:
    return {
        "observed_p_value": one.observed_p_value,
        "observed_sigmas": one.observed_sigmas,
        "expected_p_value": one.expected_p_value,
        "expected_sigmas": one.expected_sigmas,
        "is_blinded": one.is_blinded,
    }


def _scan(outcome: LimitOutcome) -> dict[str, Any]:
    return {
        "scan": {
            "signal_strength": outcome.mu,
            "observed_cls": outcome.observed_cls,
            "expected_cls": outcome.expected_cls,
        }
    }
