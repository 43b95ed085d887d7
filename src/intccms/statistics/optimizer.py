"""A minimiser for profile likelihoods that makes pyhf's limits and impacts quick.

-2 ln L of a HistFactory model is a sum of squares: the signed roots of the Poisson deviances and
the pulls of the constraints. scipy's `least_squares` minimises it in a few steps from the
derivatives of the expectation, where Minuit without gradients needs thousands of evaluations.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyhf
from cabinetry import model_utils
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from intccms.statistics.derivatives import Expectation

__all__ = ["LeastSquaresOptimizer", "covariance", "deviance", "pyhf_backend"]

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int_]

TOLERANCE = 1e-10  # relative, of the sum of squares
HESSIAN_STEP = 0.05  # of the error that a parameter has with all others fixed
ONE_AT_A_TIME = threading.RLock()  # pyhf has one backend for all threads of a process


@contextmanager
def pyhf_backend(optimizer: Any = None) -> Iterator[None]:
    """Use pyhf with numpy and this optimizer; what was set before comes back, errors or not.

    Other threads wait, those of a Dask worker for example. The matrices are small: threads of
    BLAS would only wait for each other, ten times as long, and round in their own ways.
    """
    with ONE_AT_A_TIME, threadpool_limits(1, "blas"):
        before = pyhf.get_backend()
        pyhf.set_backend("numpy", optimizer)
        try:
            yield
        finally:
            pyhf.set_backend(*before)


def deviance(model: pyhf.Model, data: Sequence[float], parameters: Array) -> float:
    """-2 ln of the likelihood over that of the saturated model: a chi2 of the goodness of fit.

    References
    ----------
    R. D. Cousins, "Generalization of chi-square goodness-of-fit test for binned data using
    saturated models, with application to histograms", 2013.
    """
    free = np.arange(model.config.npars)
    residuals = _Residuals(Expectation(model), np.asarray(data, dtype=float), parameters, free)
    return float((residuals(np.asarray(parameters)) ** 2).sum())


@dataclass
class LeastSquaresOptimizer:
    """An optimizer for `pyhf.set_backend` that does no fit twice.

    It needs models whose constraints are normal, as all are that cabinetry builds. With `is_warm`
    a fit starts from the best values of the one before, not from those that pyhf hands in.
    """

    name: str = "intccms_least_squares"
    is_warm: bool = True
    known: dict[tuple[bytes, ...], tuple[Array, float]] = field(default_factory=dict)
    start: Array | None = None
    expectation: Expectation | None = None

    def minimize(  # noqa: PLR0913, PLR0917 (pyhf calls it with these)
        self,
        objective: Callable[..., Any],
        data: Sequence[float],
        pdf: pyhf.Model,
        init_pars: Sequence[float],
        par_bounds: Sequence[Sequence[float]],
        fixed_vals: Sequence[tuple[int, float]] | None = None,
        return_fitted_val: bool = False,
        **_: Any,
    ) -> Any:
        """Parameters that minimise -2 ln L, and its value there if asked for.

        Raises
        ------
        pyhf.exceptions.FailedMinimization
            If the minimum was not found.
        """
        fixed = dict(fixed_vals or [])
        observed = np.asarray(data, dtype=float)
        bounds = np.asarray(par_bounds, dtype=float)
        held = np.asarray(sorted(fixed.items()), dtype=float)
        key = (observed.tobytes(), bounds.tobytes(), held.tobytes())
        if key not in self.known:
            start = np.asarray(init_pars if self.start is None else self.start, dtype=float)
            start = np.clip(start, bounds[:, 0], bounds[:, 1])
            for index, value in fixed.items():
                start[index] = value
            free = np.asarray([i for i in range(start.size) if i not in fixed], dtype=int)
            if self.expectation is None or self.expectation.model is not pdf:
                self.expectation = Expectation(pdf)
            best = _Residuals(self.expectation, observed, start, free).minimise(bounds[free])
            value = float(np.asarray(objective(best, observed, pdf)).item())
            self.known[key] = (best, value)
            self.start = best if self.is_warm else None
        best, value = self.known[key]
        return (best.copy(), np.asarray(value)) if return_fitted_val else best.copy()


def covariance(model: pyhf.Model, data: Sequence[float], best: Array) -> Array:
    """Covariance of all parameters from the second derivatives of -ln L at its minimum.

    Differences of the exact first derivatives; rows and columns of fixed parameters are 0.

    Raises
    ------
    ValueError
        If the expectation does not depend on a parameter.
    """
    free = np.flatnonzero(~np.asarray(model.config.suggested_fixed(), dtype=bool))
    residuals = _Residuals(Expectation(model), np.asarray(data, dtype=float), best, free)
    values = best[free]
    slopes = np.sqrt((residuals.jacobian(values) ** 2).sum(axis=0))
    if not slopes.all():
        names = [model.config.par_names[index] for index in free[slopes == 0]]
        raise ValueError(f"no sensitivity to {', '.join(names)}")
    steps = HESSIAN_STEP / slopes
    hessian = np.empty((free.size, free.size))
    for row, step in enumerate(np.diag(steps)):
        difference = residuals.gradient(values + step) - residuals.gradient(values - step)
        hessian[row] = difference / (2.0 * steps[row])
    result = np.zeros((best.size, best.size))
    result[np.ix_(free, free)] = np.linalg.inv(0.5 * (hessian + hessian.T))
    return result


class _Residuals:
    """Residuals of a model as a function of its free parameters."""

    def __init__(self, expectation: Expectation, data: Array, start: Array, free: Indices):
        config = expectation.model.config
        self.expectation = expectation
        self.start = start
        self.free = free
        self.observed, auxiliary = np.split(data, [config.nmaindata])
        indices = np.arange(config.npars)
        slices = [config.par_slice(name) for name in config.auxdata_order]
        constrained = np.concatenate([indices[:0], *(indices[part] for part in slices)])
        widths = model_utils.prefit_uncertainties(expectation.model)[constrained]
        held = widths <= 0  # bins without statistical error: their parameter is fixed at 1
        self.constrained = constrained[~held]
        self.centres, self.widths = auxiliary[~held], widths[~held]

    def parameters(self, values: Array) -> Array:
        """All parameters from the free ones."""
        result = self.start.copy()
        result[self.free] = values
        return result

    def __call__(self, values: Array) -> Array:
        """Signed root of each bin's deviance, then the pull of each constraint."""
        parameters = self.parameters(values)
        pulls = (parameters[self.constrained] - self.centres) / self.widths
        return np.concatenate([self._roots(self.expectation(parameters)), pulls])

    def _roots(self, expected: Array) -> Array:
        n = self.observed
        logarithm = np.log(np.where(n > 0, n, 1.0) / np.where(n > 0, expected, 1.0))
        deviance = 2.0 * np.maximum(expected - n + n * logarithm, 0.0)
        return np.asarray(np.sign(expected - n) * np.sqrt(deviance))

    def jacobian(self, values: Array) -> Array:
        """Differentiate the residuals."""
        expected, derivatives = self.expectation.with_derivatives(self.parameters(values))
        roots = self._roots(expected)
        small = np.abs(roots) < 1e-6  # there d root / d expected has the limit 1 / sqrt(expected)
        slope = np.where(small, 1.0, 1.0 - self.observed / expected) / np.where(
            small, np.sqrt(expected), roots
        )
        result = np.zeros((expected.size + self.widths.size, self.free.size))
        result[: expected.size] = slope[:, None] * derivatives[:, self.free]
        rows, columns = np.nonzero(self.constrained[:, None] == self.free[None, :])
        result[expected.size + rows, columns] = 1.0 / self.widths[rows]
        return result

    def gradient(self, values: Array) -> Array:
        """Differentiate -ln L, half the sum of the squares."""
        return np.asarray(self.jacobian(values).T @ self(values))

    def minimise(self, bounds: Array) -> Array:
        """All parameters at the minimum."""
        result = least_squares(
            self,
            self.start[self.free],
            self.jacobian,
            bounds=(bounds[:, 0], bounds[:, 1]),
            method="dogbox",  # its linear algebra is small: no crowd of BLAS threads
            x_scale="jac",
            ftol=TOLERANCE,
            xtol=TOLERANCE,
            gtol=TOLERANCE,
        )
        if not (result.success and np.isfinite(result.cost)):
            raise pyhf.exceptions.FailedMinimization(result)
        return self.parameters(result.x)
