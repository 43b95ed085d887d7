"""The whole inference of one signal, and what the configuration knows of the signal."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from cabinetry.fit import RankingResults

from intccms.schema import Config
from intccms.statistics.configuration import settings
from intccms.statistics.fit import FitOutcome, fit, ranking
from intccms.statistics.limits import LimitOutcome, limits
from intccms.statistics.numbers import of_limit, of_significance, of_strength
from intccms.statistics.significance import Significance, significance
from intccms.statistics.workspace import Workspace

__all__ = ["SignalResult", "cross_section_of", "infer", "mass_of"]

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
            "fit": of_strength(self.fit),
            "limits": of_limit(self.limits, self.cross_section_pb),
            "significance": of_significance(self.significance),
        }


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
