"""Results as numbers for JSON; pure."""

from __future__ import annotations

import math
from typing import Any

from cabinetry.fit import RankingResults

from intccms.statistics.fit import FitOutcome, Prediction
from intccms.statistics.limits import SIGMAS, LimitOutcome
from intccms.statistics.significance import Significance

__all__ = ["of_fit", "of_limit", "of_scan", "of_significance", "of_strength", "strength"]


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
