"""Maximum-likelihood fit of one workspace: best fit, errors, correlations, impacts, predictions.

Errors are from the second derivatives of ln L, or from a scan where these do not suffice.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyhf
from cabinetry import model_utils
from cabinetry.fit import FitResults, RankingResults
from scipy.optimize import brentq
from scipy.stats import chi2

from intccms.errors import FitError
from intccms.statistics.optimizer import (
    NewtonOptimizer,
    deviance,
    hessian,
    pyhf_backend,
    rough_errors,
)
from intccms.statistics.workspace import Workspace

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


@dataclass(frozen=True)
class Prediction:
    """Data and expectation of one channel, before or after the fit."""

    channel: str
    label: str  # of the axis
    edges: Array
    samples: tuple[str, ...]
    yields: Array  # (n_samples, n_bins)
    errors: Array  # (n_bins,), of the sum: statistical and systematic
    observed: Array  # not a number where data are blinded
    is_postfit: bool

    @property
    def total(self) -> Array:
        """Sum of the samples in each bin."""
        return np.asarray(self.yields.sum(axis=0))


@dataclass(frozen=True)
class FitOutcome:
    """Result of one fit; parameters are in the order of `results.labels`."""

    signal: str
    poi: str
    results: FitResults  # bestfit, uncertainty, labels, corr_mat, best_twice_nll, goodness_of_fit
    pulls: dict[str, tuple[float, float]]  # constrained parameter -> pull, error; in prior widths
    prefit: tuple[Prediction, ...]
    postfit: tuple[Prediction, ...]
    chi2: float  # -2 ln of the likelihood over that of the saturated model
    n_dof: int  # bins without the parameters that nothing constrains
    is_blinded: bool  # in some bins the expected background stood in for data
    notes: tuple[str, ...] = ()
    n_toys: int = 0  # that the p-value of the goodness of fit is from; 0: asymptotic
    scanned: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Errors down and up, both positive, of the parameters whose likelihood had to be scanned.

    Not a number where the range of the parameter ends before the likelihood has fallen enough.
    """

    @property
    def mu(self) -> float:
        """Best-fit signal strength."""
        return float(self.results.bestfit[self.results.labels.index(self.poi)])

    @property
    def mu_error(self) -> float:
        """Its standard deviation, from the second derivatives of ln L or from a scan of ln L."""
        return float(self.results.uncertainty[self.results.labels.index(self.poi)])

    @property
    def mu_errors(self) -> tuple[float, float]:
        """Errors down and up, both positive; equal unless they are from a scan of ln L."""
        return self.scanned.get(self.poi, (self.mu_error, self.mu_error))


@contextmanager
def failures_named(what: str) -> Iterator[None]:
    """Turn what pyhf, cabinetry and scipy raise for a hopeless likelihood into a `FitError`."""
    try:
        yield
    except pyhf.exceptions.FailedMinimization as error:
        raise FitError(f"{what} did not converge: {' '.join(str(error).split())}") from error
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise FitError(f"{what} failed: {' '.join(str(error).split())}") from error


def fit(workspace: Workspace) -> FitOutcome:
    """Fit all parameters to the (possibly blinded) data.

    Raises
    ------
    FitError
        If the fit does not converge or its result is not a number; the text says which.
    """
    model, data = workspace.model_and_data()
    optimizer = NewtonOptimizer()
    with failures_named(f"fit of {workspace.signal}"), pyhf_backend(optimizer):
        best, twice_nll = pyhf.infer.mle.fit(
            data, model, par_bounds=fit_bounds(model), return_fitted_val=True
        )
        errors = parameter_errors(model, data, best)
        saturated = deviance(model, data, best)
        n_dof = int(model.config.nmaindata - model_utils.unconstrained_parameter_count(model))
        labels = list(model.config.par_names)
        bad = [name for name, value in zip(labels, best, strict=True) if not math.isfinite(value)]
        if bad or not math.isfinite(twice_nll):
            names = ", ".join(bad) or "the likelihood"
            raise FitError(f"fit of {workspace.signal}: not a number for {names}")
        p_value = float(chi2.sf(saturated, n_dof)) if n_dof > 0 else math.nan
        results = FitResults(
            best, errors.values, labels, errors.correlation, float(twice_nll), p_value
        )
        prefit = model_utils.prediction(model)
        known = results._replace(uncertainty=np.nan_to_num(results.uncertainty))
        postfit = model_utils.prediction(model, fit_results=known)
    return FitOutcome(
        signal=workspace.signal,
        poi=model.config.poi_name,
        results=results,
        pulls=_pulls(model, results),
        prefit=_predictions(workspace, data, prefit, is_postfit=False),
        postfit=_predictions(workspace, data, postfit, is_postfit=True),
        chi2=saturated,
        n_dof=n_dof,
        is_blinded=workspace.is_blinded,
        notes=(*workspace.notes, *errors.notes),
        scanned=errors.scanned,
    )


def _pulls(model: pyhf.Model, results: FitResults) -> dict[str, tuple[float, float]]:
    """Pull and its error of each parameter with a constraint."""
    widths = model_utils.prefit_uncertainties(model)
    centres = model_utils.asimov_parameters(model)
    pulls = {}
    for index, label in enumerate(results.labels):
        if widths[index] > 0:
            pull = (results.bestfit[index] - centres[index]) / widths[index]
            pulls[label] = (float(pull), float(results.uncertainty[index] / widths[index]))
    return pulls


def _predictions(
    workspace: Workspace, data: list[float], prediction: Any, *, is_postfit: bool
) -> tuple[Prediction, ...]:
    config = prediction.model.config
    result = []
    for index, channel in enumerate(config.channels):
        region = workspace.region(channel)
        observed = np.asarray(data[config.channel_slices[channel]])
        result.append(
            Prediction(
                channel=channel,
                label=region.label,
                edges=region.edges,
                samples=tuple(config.samples),
                yields=np.asarray(prediction.model_yields[index]),
                errors=np.asarray(prediction.total_stdev_model_bins[index][-1]),
                observed=np.where(region.blinded, np.nan, observed),
                is_postfit=is_postfit,
            )
        )
    return tuple(result)


def ranking(workspace: Workspace, outcome: FitOutcome, *, n_parameters: int = 15) -> RankingResults:
    """Impacts on the signal strength of the parameters most correlated with it.

    Parameters
    ----------
    workspace, outcome
        A workspace and its fit.
    n_parameters
        How many; each takes four fits with that parameter held one standard deviation up or down,
        before and after the fit.

    Returns
    -------
    RankingResults
        Largest post-fit impact first.
    """
    model, data = workspace.model_and_data()
    results = outcome.results
    poi = results.labels.index(outcome.poi)
    widths = model_utils.prefit_uncertainties(model)
    order = np.argsort(-np.abs(results.corr_mat[poi]))
    chosen = [int(i) for i in order if i != poi and results.uncertainty[i] > 0][:n_parameters]
    # Change of all parameters per unit of one, as far as ln L is a parabola: where fits start.
    errors = results.uncertainty
    slopes = np.nan_to_num(results.corr_mat * errors[:, None] / np.where(errors > 0, errors, 1.0))
    impacts = np.zeros((len(chosen), 4))
    ranges, usual = np.asarray(fit_bounds(model)), model.config.suggested_fixed()
    named = failures_named(f"ranking of {workspace.signal}")
    with named, pyhf_backend(NewtonOptimizer()):
        best = results.bestfit
        for row, index in enumerate(chosen):
            post = results.uncertainty[index]
            for column, shift in enumerate((widths[index], -widths[index], post, -post)):
                if shift != 0:
                    start = best + shift * slopes[:, index]
                    fixed = [*usual]
                    fixed[index] = True
                    shifted = pyhf.infer.mle.fit(
                        data, model, np.clip(start, *ranges.T).tolist(), ranges.tolist(), fixed
                    )
                    impacts[row, column] = shifted[poi] - best[poi]
    order = np.argsort(-np.abs(impacts[:, 2:]).max(axis=1, initial=0.0))
    chosen = [chosen[i] for i in order]
    labels = [results.labels[i] for i in chosen]
    return RankingResults(
        results.bestfit[chosen], results.uncertainty[chosen], labels, *impacts[order].T
    )
