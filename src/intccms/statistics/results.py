"""The whole inference of one signal, and what the configuration knows of the signal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cabinetry.fit import RankingResults

from intccms.errors import FitError
from intccms.schema import Config
from intccms.statistics.configuration import settings
from intccms.statistics.fit import FitOutcome, fit, ranking
from intccms.statistics.limits import LimitOutcome, limits, median_expected
from intccms.statistics.numbers import of_limit, of_significance, of_strength, strength
from intccms.statistics.significance import Significance, significance
from intccms.statistics.toys import Toys, toy_goodness_of_fit, toy_limits, toy_significance
from intccms.statistics.validity import FEWEST_EVENTS, sensitive_background
from intccms.statistics.workspace import Workspace

__all__ = [
    "SignalResult",
    "cross_section_of",
    "infer",
    "mass_of",
    "needs_toys",
    "with_toys",
]

log = logging.getLogger(__name__)

Part = TypeVar("Part")


@dataclass(frozen=True)
class SignalResult:
    """All that was inferred about one signal; what could not be is None, `failures` say why.

    Parameters
    ----------
    cross_section_pb
        That the signal has at strength 1, branching fraction included.
    failures
        One line for each of ``fit``, ``ranking``, ``limits`` and ``significance`` that failed.
    unreduced_limit
        Median expected limit with nothing smoothed or pruned; None where nothing is.
    """

    workspace: Workspace
    fit: FitOutcome | None
    ranking: RankingResults | None
    limits: LimitOutcome | None
    significance: Significance | None
    mass_gev: float | None = None
    cross_section_pb: float = 1.0
    failures: tuple[str, ...] = ()
    unreduced_limit: float | None = None

    @property
    def signal(self) -> str:
        """Name of the process."""
        return self.workspace.signal

    def summary(self) -> dict[str, Any]:
        """Numbers for ``run_summary.json``: what there is of strength, limits, significance."""
        result: dict[str, Any] = {"mass_gev": self.mass_gev}
        if self.fit is not None:
            result["fit"] = of_strength(self.fit)
        if self.limits is not None:
            result["limits"] = of_limit(self.limits, self.cross_section_pb)
            is_reduced = self.workspace.unreduced is not None
            whole = self.unreduced_limit if is_reduced else self.limits.expected[2]
            result["limits"]["expected_unreduced"] = whole
        if self.significance is not None:
            result["significance"] = of_significance(self.significance)
        return result


def infer(
    workspace: Workspace,
    *,
    mass_gev: float | None = None,
    cross_section_pb: float = 1.0,
    n_ranked: int = 15,
) -> SignalResult:
    """Fit, impacts and limits of one workspace; workspaces may be sent to different processes.

    None of them depends on another (but the impacts on the fit): one that fails stops no other.

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
        If neither fit nor limits can be had, with all the reasons.
    """
    failures: list[str] = []

    outcome = _tried(lambda: fit(workspace), failures)
    impacts = None
    if outcome is not None:
        log.info("%s: strength %s", workspace.signal, strength(outcome))
        best = outcome
        impacts = _tried(lambda: ranking(workspace, best, n_parameters=n_ranked), failures)
    found = _tried(lambda: limits(workspace), failures)
    discovery = _tried(lambda: significance(workspace), failures)
    unreduced = None
    if found is not None and workspace.unreduced is not None:
        whole, guess = replace(workspace, spec=workspace.unreduced), found.expected[2]
        unreduced = _tried(lambda: median_expected(whole, guess), failures)
    if outcome is None and found is None:
        raise FitError("; ".join(failures))
    for one in failures:
        log.warning("%s", one)
    return SignalResult(
        workspace, outcome, impacts, found, discovery, mass_gev, cross_section_pb, tuple(failures),
        unreduced_limit=unreduced,
    )  # fmt: skip


def needs_toys(result: SignalResult, calculator: str) -> bool:
    """Tell whether toys are asked for: by name, or because there are few expected events."""
    if calculator != "auto" or result.limits is None:
        return calculator != "asymptotic"
    model, _ = result.workspace.model_and_data()
    longest = min(result.limits.expected[2], float(result.limits.mu[-1]))
    return sensitive_background(model, longest) < FEWEST_EVENTS


def with_toys(result: SignalResult, toys: Toys) -> SignalResult:
    """Replace what is from asymptotic formulas: limits, p-values and the goodness of fit.

    What fails stays as it is; `failures` say why.
    """
    workspace, best = result.workspace, result.fit
    asymptotic = ("limit on", "significance of")
    failures = [one for one in result.failures if not one.startswith(asymptotic)]
    found = _tried(lambda: toy_limits(workspace, toys), failures) or result.limits
    discovery = _tried(lambda: toy_significance(workspace, toys), failures)
    if best is not None:
        outcome = best
        best = _tried(lambda: toy_goodness_of_fit(workspace, outcome, toys), failures) or best
    return replace(
        result,
        fit=best,
        limits=found,
        significance=discovery or result.significance,
        failures=tuple(failures),
    )


def _tried(function: Callable[[], Part], failures: list[str]) -> Part | None:
    """Give what a function returns; if it fails, its reason is one of the failures."""
    try:
        return function()
    except FitError as error:
        failures.append(str(error))
        return None


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
