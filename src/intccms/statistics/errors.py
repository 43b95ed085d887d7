"""Errors of fitted parameters: second derivatives of ln L, or a scan where these do not suffice."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyhf
from scipy.optimize import brentq

from intccms.statistics.optimizer import hessian, rough_errors

__all__ = ["LARGEST", "Errors", "fit_bounds", "parameter_errors"]

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]
Bounds = list[tuple[float, float]]

AT_BOUND = 1e-3  # of a parameter's range, and less than a tenth of its error
LARGEST = 1e9  # error of the signal strength, or limit on it: there is nothing to find it with
HESSIAN_STEP = 0.05  # of the error that a parameter has with all others fixed
LEAST_CURVATURE = 1e-6  # of that with all other parameters fixed
MIXED_IN = 0.2  # share of a parameter in a direction of no curvature, above which it is scanned
PRECISION = 1e-3  # of an error from a scan
MOST_SCANNED = 10  # parameters, the strength first: so many only where the model is far off


@dataclass(frozen=True)
class Errors:
    """Errors of all parameters.

    Parameters
    ----------
    values
        Standard deviations: of a scanned parameter the mean of both sides, or the one that there
        is; 0 of a fixed parameter; not a number where the likelihood tells nothing.
    correlation
        Of all parameters; without those at the end of their range.
    scanned
        Down and up, both positive, of the parameters that were scanned.
    """

    values: Array
    correlation: Array
    scanned: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def fit_bounds(model: pyhf.Model) -> Bounds:
    """Ranges of the parameters; with the signal strength no bin expects less than nothing.

    That holds for the nominal expectation, in which the strength is a straight line.
    """
    bounds = [(float(low), float(high)) for low, high in model.config.suggested_bounds()]
    index = model.config.poi_index
    if index is None:
        return bounds
    parameters = np.asarray(model.config.suggested_init(), dtype=float)
    parameters[index] = 0.0
    background = model.main_model.expected_data(parameters)
    parameters[index] = 1.0
    signal = np.asarray(model.main_model.expected_data(parameters)) - background
    low, high = bounds[index]
    with np.errstate(divide="ignore", invalid="ignore"):
        empty = -np.asarray(background) / signal
    low = max([low, *empty[signal > 0]])
    high = min([high, *empty[signal < 0]])
    if low < high:
        bounds[index] = (float(low), float(high))
    return bounds


def parameter_errors(model: pyhf.Model, data: Sequence[float], best: Array) -> Errors:
    """Errors at the minimum, found with pyhf's optimizer of the moment.

    They are those of the second derivatives. A parameter is scanned, as Minuit's Minos does, if
    it is at the end of its range, or in a direction in which ln L does not curve downwards; the
    signal strength also if the end of its range is within two standard deviations.

    Raises
    ------
    ValueError
        If nothing depends on the signal strength.
    """
    names, poi = list(model.config.par_names), model.config.poi_index
    low, high = np.asarray(fit_bounds(model)).T
    is_free = ~np.asarray(model.config.suggested_fixed(), dtype=bool)
    here = rough_errors(model, data, best)
    start = np.asarray(model.config.suggested_init(), dtype=float)
    rough = np.where(np.isfinite(here), here, rough_errors(model, data, start))
    is_flat = is_free & ~np.isfinite(rough)
    if poi is not None and rough[poi] > LARGEST:
        raise ValueError(f"no sensitivity to {names[poi]}")
    room = np.minimum(best - low, high - best)
    at_end = is_free & (room < np.minimum(AT_BOUND * (high - low), 0.1 * rough))
    inside = np.flatnonzero(is_free & np.isfinite(here) & ~at_end)
    curvature = hessian(model, data, best, inside, HESSIAN_STEP * here[inside])
    matrix, doubtful = _inverse(curvature)
    covariance = np.zeros((best.size, best.size))
    covariance[np.ix_(inside, inside)] = matrix
    values = np.sqrt(np.diag(covariance))
    product = np.outer(values, values)
    correlation = np.divide(covariance, product, out=np.eye(best.size), where=product > 0)
    to_scan = {*np.flatnonzero(is_free & ~is_flat & (values == 0)), *inside[doubtful]}
    if poi is not None and room[poi] < 2 * values[poi]:
        to_scan.add(poi)
    scanned = {}
    ordered = sorted((int(one) for one in to_scan), key=lambda one: (one != poi, one))
    for index in ordered[:MOST_SCANNED]:
        sides = _scan(model, data, best, index, values[index] or rough[index])
        scanned[names[index]] = sides
        there = [one for one in sides if math.isfinite(one)]
        values[index] = float(np.mean(there)) if there else math.nan
    left = ordered[MOST_SCANNED:]
    values[left] = math.nan
    values[is_flat] = math.nan
    notes = [
        f"{names[i]} = {best[i]:.4g} is at the end of its range [{low[i]:.4g}, {high[i]:g}]"
        for i in np.flatnonzero(at_end)
    ]
    notes += [
        f"no sensitivity to {names[i]}: its error is not known" for i in np.flatnonzero(is_flat)
    ]
    if left:
        notes.append(f"{len(left)} parameters more have no error: only {MOST_SCANNED} are scanned")
    for note in notes:
        log.warning("%s", note)
    return Errors(values, correlation, scanned, tuple(notes))


def _inverse(curvature: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Covariance, and which parameters have a share in a direction that does not curve upwards.

    Such a direction gets the curvature that its parameters would have with all others fixed.
    """
    scale = np.sqrt(np.maximum(np.abs(np.diag(curvature)), 1e-300))
    values, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
    bad = values < LEAST_CURVATURE
    doubtful = (np.abs(vectors[:, bad]) > MIXED_IN).any(axis=1)
    inverse = (vectors / np.where(bad, 1.0, values)) @ vectors.T
    return inverse / np.outer(scale, scale), doubtful


def _scan(
    model: pyhf.Model, data: Sequence[float], best: Array, index: int, guess: float
) -> tuple[float, float]:
    """How far down and up -2 ln L rises by 1, all others fitted; not a number beyond the range."""
    bounds = fit_bounds(model)
    fixed = model.config.suggested_fixed()
    fixed[index] = True
    _, lowest = pyhf.infer.mle.fit(data, model, par_bounds=bounds, return_fitted_val=True)

    def rise(value: float) -> float:
        start = best.copy()
        start[index] = np.clip(value, *bounds[index])  # rounding may lead past the end
        fitted = pyhf.infer.mle.fit(
            data, model, start.tolist(), bounds, fixed, return_fitted_val=True
        )
        return float(fitted[1] - lowest) - 1.0

    def distance(direction: float, end: float) -> float:
        room = abs(end - best[index])
        before, reach = 0.0, min(guess, room)
        while reach < room and rise(best[index] + direction * reach) < 0:
            before, reach = reach, min(2 * reach, room)
        if reach <= before or rise(best[index] + direction * reach) < 0:
            return math.nan
        return float(
            brentq(lambda x: rise(best[index] + direction * x), before, reach, rtol=PRECISION)
        )

    low, high = bounds[index]
    return distance(-1.0, low), distance(1.0, high)
