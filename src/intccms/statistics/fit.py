"""Maximum-likelihood fit of one workspace: best fit, pulls, correlations, impacts, predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyhf
from cabinetry import model_utils
from cabinetry.fit import FitResults, RankingResults
from scipy.stats import chi2

from intccms.errors import FitError
from intccms.statistics.errors import Errors, fit_bounds, parameter_errors
from intccms.statistics.optimizer import NewtonOptimizer, deviance, pyhf_backend
from intccms.statistics.workspace import Workspace

__all__ = ["FitOutcome", "Prediction", "failures_named", "fit", "ranking"]

Array = npt.NDArray[np.float64]


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
        results = _results(model, best, errors, float(twice_nll), saturated)
        _check(results, workspace.signal)
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
        n_dof=_n_dof(model),
        is_blinded=workspace.is_blinded,
        notes=(*workspace.notes, *errors.notes),
        scanned=errors.scanned,
    )


def _results(
    model: pyhf.Model, best: Array, errors: Errors, twice_nll: float, saturated: float
) -> FitResults:
    """Best fit, errors and correlations in cabinetry's words, with the goodness of the fit."""
    n_dof = _n_dof(model)
    p_value = float(chi2.sf(saturated, n_dof)) if n_dof > 0 else math.nan
    labels = list(model.config.par_names)
    return FitResults(best, errors.values, labels, errors.correlation, twice_nll, p_value)


def _n_dof(model: pyhf.Model) -> int:
    return int(model.config.nmaindata - model_utils.unconstrained_parameter_count(model))


def _check(results: FitResults, signal: str) -> None:
    rows = zip(results.labels, results.bestfit, strict=True)
    bad = [label for label, value in rows if not math.isfinite(value)]
    if bad or not math.isfinite(results.best_twice_nll):
        raise FitError(f"fit of {signal}: not a number for {', '.join(bad) or 'the likelihood'}")


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
    named = failures_named(f"ranking of {workspace.signal}")
    with named, pyhf_backend(NewtonOptimizer()):
        best = results.bestfit
        for row, index in enumerate(chosen):
            post = results.uncertainty[index]
            for column, shift in enumerate((widths[index], -widths[index], post, -post)):
                if shift != 0:
                    start = best + shift * slopes[:, index]
                    shifted = _fixed_fit(model, data, start, index)
                    impacts[row, column] = shifted[poi] - best[poi]
    order = np.argsort(-np.abs(impacts[:, 2:]).max(axis=1, initial=0.0))
    chosen = [chosen[i] for i in order]
    labels = [results.labels[i] for i in chosen]
    return RankingResults(
        results.bestfit[chosen], results.uncertainty[chosen], labels, *impacts[order].T
    )


def _fixed_fit(model: pyhf.Model, data: list[float], start: Array, index: int) -> Array:
    """Best fit with one parameter held where it starts."""
    bounds = fit_bounds(model)
    fixed = model.config.suggested_fixed()
    fixed[index] = True
    low, high = np.asarray(bounds).T
    start = np.clip(start, low, high).tolist()
    return np.asarray(pyhf.infer.mle.fit(data, model, start, bounds, fixed))
