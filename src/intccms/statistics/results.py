"""The whole inference of one signal, families of signals, and results as numbers for JSON."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cabinetry.fit import RankingResults

from intccms.errors import FitError
from intccms.schema import Config
from intccms.statistics.configuration import settings
from intccms.statistics.fit import FitOutcome, Prediction, fit, ranking
from intccms.statistics.limits import (
    FEWEST_EVENTS,
    SIGMAS,
    LimitOutcome,
    Significance,
    limits,
    median_expected,
    sensitive_background,
    significance,
)
from intccms.statistics.toys import Toys, toy_goodness_of_fit, toy_limits, toy_significance
from intccms.statistics.workspace import Workspace

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


NUMBER = re.compile(r"\d+(?:\.\d+)?")
WIDTH = re.compile(r"w(?:idth)?_?([\d.]+)\*m", re.IGNORECASE)


@dataclass(frozen=True)
class Family:
    """Signals of one kind in the order of their mass.

    Parameters
    ----------
    name
        For file names; empty where there is one family only.
    label
        For legends, e.g. the relative width; may be empty.
    """

    name: str
    label: str
    results: tuple[SignalResult, ...]


def families(results: Sequence[SignalResult]) -> tuple[Family, ...]:
    """Group signals with a mass by what their names say beside it.

    ``zprime_m2000_w200`` and ``zprime_m3000_w300`` are one family, that of a relative width of
    10 %; so are ``signal_a`` and ``signal_b`` of different masses.
    """
    known = [one for one in results if one.mass_gev is not None]
    by_number, by_ratio = (_grouped(known, relative=relative) for relative in (False, True))
    complete = [
        groups
        for groups in (by_number, by_ratio)
        if all(len(members) > 1 for members in groups.values())
    ]
    masses = {one.mass_gev for one in known}
    together = {"": known} if known and len(masses) == len(known) else by_number
    groups = min(complete or [together, by_number, by_ratio], key=len)
    result = []
    for pattern, members in groups.items():
        name = re.sub(r"\W+", "_", pattern.replace(".", "p")).strip("_") if len(groups) > 1 else ""
        width = WIDTH.search(pattern)
        label = rf"$\Gamma/m$ = {100 * float(width[1]):g}%" if width else name
        ordered = sorted(members, key=lambda one: one.mass_gev or 0.0)
        result.append(Family(name, label, tuple(ordered)))
    return tuple(result)


def _grouped(results: list[SignalResult], *, relative: bool) -> dict[str, list[SignalResult]]:
    """Signals by their name without the mass, other numbers as they are or relative to it."""
    groups: dict[str, list[SignalResult]] = {}
    for one in results:
        mass = one.mass_gev or 0.0

        def word(found: re.Match[str], mass: float = mass) -> str:
            value = float(found[0])
            if value == mass:
                return ""
            return f"{value / mass:.3g}*m" if relative else found[0]

        groups.setdefault(NUMBER.sub(word, one.signal), []).append(one)
    return groups


def of_strength(outcome: FitOutcome) -> dict[str, Any]:
    """Signal strength and goodness of the fit, as the summary of a run has them."""
    return {
        "signal_strength": outcome.mu,
        "signal_strength_error": outcome.mu_error,
        "signal_strength_error_down": _known(outcome.mu_errors[0]),
        "signal_strength_error_up": _known(outcome.mu_errors[1]),
        "goodness_of_fit_p_value": outcome.results.goodness_of_fit,
        "goodness_of_fit_n_toys": outcome.n_toys,
        "notes": outcome.notes,
    }


def strength(outcome: FitOutcome) -> str:
    """Return the signal strength with its errors, as it is printed."""
    if outcome.poi not in outcome.scanned:
        return f"{outcome.mu:.4g} +- {outcome.mu_error:.4g}"
    down, up = ("(end of range)" if math.isnan(x) else f"{x:.4g}" for x in outcome.mu_errors)
    return f"{outcome.mu:.4g} +{up} -{down}"


def of_fit(outcome: FitOutcome, ranking: RankingResults | None) -> dict[str, Any]:
    """All of a fit; data that are blinded are not a number."""
    results = outcome.results
    rows = zip(results.labels, results.bestfit, results.uncertainty, strict=True)
    parameters = {label: {"value": value, "error": error} for label, value, error in rows}
    for label, (down, up) in outcome.scanned.items():
        parameters[label] |= {"error_down": down, "error_up": up}
    for label, (pull, constraint) in outcome.pulls.items():
        parameters[label] |= {"pull": pull, "constraint": constraint}
    return {
        **of_strength(outcome),
        "is_blinded": outcome.is_blinded,
        "goodness_of_fit": {
            "chi2": outcome.chi2,
            "n_dof": outcome.n_dof,
            "p_value": results.goodness_of_fit,
        },
        "twice_nll": results.best_twice_nll,
        "parameters": parameters,
        "correlation": {"labels": results.labels, "matrix": results.corr_mat},
        "ranking": None if ranking is None else ranking._asdict(),
        "prefit": {one.channel: _prediction(one) for one in outcome.prefit},
        "postfit": {one.channel: _prediction(one) for one in outcome.postfit},
    }


def of_limit(outcome: LimitOutcome, cross_section_pb: float) -> dict[str, Any]:
    """Limits on the signal strength and, in pb, on cross section times branching fraction."""
    return {
        "confidence_level": outcome.confidence_level,
        "observed": outcome.observed,
        "expected": outcome.expected[2],
        "expected_band": _band(outcome, 1.0),
        "is_blinded": outcome.is_blinded,
        "cross_section_pb": cross_section_pb,
        "observed_pb": outcome.observed * cross_section_pb,
        "expected_pb": outcome.expected[2] * cross_section_pb,
        "calculator": outcome.calculator,
        "n_toys": outcome.n_toys,
        "observed_error": _known(outcome.observed_error),
        "notes": outcome.notes,
    }


def of_scan(outcome: LimitOutcome, cross_section_pb: float) -> dict[str, Any]:
    """Give what the summary has no room for: the band in pb, and the CLs values."""
    return {
        "expected_band_pb": _band(outcome, cross_section_pb),
        "expected_band_errors": dict(zip(map(str, SIGMAS), outcome.expected_errors, strict=True)),
        "scan": {
            "signal_strength": outcome.mu,
            "observed_cls": outcome.observed_cls,
            "expected_cls": outcome.expected_cls,
        },
    }


def of_significance(one: Significance) -> dict[str, Any]:
    """Local p-values and what they are in standard deviations."""
    return {
        "observed_p_value": one.observed_p_value,
        "observed_p_value_error": _known(one.observed_error),
        "n_toys": one.n_toys,
        "observed_sigmas": one.observed_sigmas,
        "expected_p_value": one.expected_p_value,
        "expected_sigmas": one.expected_sigmas,
        "is_blinded": one.is_blinded,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _band(outcome: LimitOutcome, scale: float) -> dict[str, float]:
    return {str(n): one * scale for n, one in zip(SIGMAS, outcome.expected, strict=True)}


def _prediction(one: Prediction) -> dict[str, Any]:
    return {
        "edges": one.edges,
        "samples": dict(zip(one.samples, one.yields, strict=True)),
        "total": one.total,
        "total_error": one.errors,
        "data": one.observed,
    }
