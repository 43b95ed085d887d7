"""A minimiser for profile likelihoods that makes pyhf's limits and impacts quick.

-2 ln L of a HistFactory model is a sum of squares: the signed roots of the Poisson deviances and
the pulls of the constraints. scipy's `least_squares` minimises it in a few steps from the
derivatives of the expectation, where Minuit without gradients needs thousands of evaluations.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyhf
from cabinetry import model_utils
from scipy.optimize import least_squares, minimize
from threadpoolctl import threadpool_limits

from intccms.statistics.derivatives import Expectation

__all__ = [
    "LeastSquaresOptimizer",
    "deviance",
    "hessian",
    "minimum",
    "pyhf_backend",
    "rough_errors",
]

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int_]

TOLERANCE = 1e-10  # relative, of the sum of squares
SAME = 1e-3  # of -2 ln L: minima that differ by less are one
MOST_STEPS = 60  # of one method before the other has its turn
ROUNDS = 8
N_SCATTERED = 4  # more starts where minima differ or parameters are at the end of their range
AT_BOUND = 1e-6
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

    It needs models whose constraints are normal, as all are that cabinetry builds. A result
    depends on the model, the data and what is asked of them, never on fits that were asked for
    before: each fit begins in several places that are found from the data, the lowest minimum
    counts.
    """

    name: str = "intccms_least_squares"
    known: dict[tuple[bytes, ...], tuple[Array, float]] = field(default_factory=dict)
    expectation: Expectation | None = None
    learnt: dict[bytes, Array] = field(default_factory=dict)  # data -> one more start

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
        if self.expectation is None or self.expectation.model is not pdf:
            self.expectation = Expectation(pdf)
        observed = np.asarray(data, dtype=float)
        start, bounds = np.asarray(init_pars, dtype=float), np.asarray(par_bounds, dtype=float)
        best = self._solved(_Problem(observed, start, bounds, dict(fixed_vals or [])))[0]
        value = np.asarray(objective(best, observed, pdf)).item()
        return (best.copy(), np.asarray(value)) if return_fitted_val else best.copy()

    def _solved(self, problem: _Problem) -> tuple[Array, float]:
        """Best parameters, and the sum of squares there."""
        if problem.key not in self.known:
            starts = [problem.start, *self._related(problem)]
            if problem.data.tobytes() in self.learnt:
                starts.append(self.learnt[problem.data.tobytes()])
            found = self._minima(problem, starts)
            values = [value for _, value in found]
            if max(values) - min(values) > SAME or self._ends_at_bounds(problem, found):
                found += self._minima(problem, self._scattered(problem), required=False)
            self.known[problem.key] = min(found, key=lambda one: one[1])
        return self.known[problem.key]

    def learns(self) -> bool:
        """Tell whether of two fits to the same data the one that holds more is the better one.

        Then that minimum is where all fits begin too from now on, and none is known any more.
        """
        groups: dict[tuple[bytes, bytes], list[tuple[int, float, Array]]] = {}
        for (data, _, bounds, held), (parameters, value) in self.known.items():
            groups.setdefault((data, bounds), []).append((len(held), value, parameters))
        wrong = {}
        for (data, _), fits in groups.items():
            _, free, _ = min(fits, key=lambda one: one[0])
            _, lowest, parameters = min(fits, key=lambda one: one[1])
            if lowest < free - SAME:
                wrong[data] = parameters
        if wrong:
            self.learnt |= wrong
            self.known.clear()
        return bool(wrong)

    def _related(self, problem: _Problem) -> Iterator[Array]:
        """Minimum without signal for a strength that is free; for one that is held the free one.

        A fit that holds anything else is one of an impact and begins close to its end.
        """
        config = self._model.config
        poi = config.poi_index
        usual = {i for i, is_fixed in enumerate(config.suggested_fixed()) if is_fixed}
        if poi is None or set(problem.fixed) - usual - {poi}:
            return
        others = {index: value for index, value in problem.fixed.items() if index != poi}
        none = float(np.clip(0.0, *problem.bounds[poi]))
        if poi not in problem.fixed:
            yield self._solved(replace(problem, fixed={**others, poi: none}))[0]
        elif problem.fixed[poi] != none:
            yield self._solved(replace(problem, fixed=others))[0]

    def _minima(
        self, problem: _Problem, starts: Iterable[Array], *, required: bool = True
    ) -> list[tuple[Array, float]]:
        """Minima that are found from these places; one of them is enough."""
        assert self.expectation is not None
        found, failures = [], []
        for start in starts:
            try:
                found.append(
                    minimum(self.expectation, problem.data, start, problem.bounds, problem.fixed)
                )
            except pyhf.exceptions.FailedMinimization as error:
                failures.append(error)
        if required and not found:
            raise failures[0]
        return found

    def _ends_at_bounds(self, problem: _Problem, found: list[tuple[Array, float]]) -> bool:
        """Whether a nuisance parameter of the best minimum is at the end of its range."""
        best, _ = min(found, key=lambda one: one[1])
        room = np.minimum(best - problem.bounds[:, 0], problem.bounds[:, 1] - best)
        ends = set(np.flatnonzero(room < AT_BOUND)) - set(problem.fixed)
        return bool(ends - {self._model.config.poi_index})

    def _scattered(self, problem: _Problem) -> Iterator[Array]:
        """Places as far from the start as the constraints let expect, the same each time."""
        widths = model_utils.prefit_uncertainties(self._model)
        random = np.random.default_rng(0)
        for _ in range(N_SCATTERED):
            yield problem.start + random.normal(0.0, 1.0, widths.size) * widths

    @property
    def _model(self) -> pyhf.Model:
        assert self.expectation is not None
        return self.expectation.model


@dataclass(frozen=True)
class _Problem:
    """One minimum that is asked for."""

    data: Array
    start: Array
    bounds: Array  # (n_parameters, 2)
    fixed: dict[int, float]

    @property
    def key(self) -> tuple[bytes, ...]:
        """The same for the same problem."""
        held = np.asarray(sorted(self.fixed.items()), dtype=float)
        return tuple(one.tobytes() for one in (self.data, self.start, self.bounds, held))


def minimum(
    expectation: Expectation,
    data: Array,
    start: Array,
    bounds: Array,
    fixed: Mapping[int, float],
) -> tuple[Array, float]:
    """Find the minimum of -2 ln L next to a start, and its value over that of the saturated model.

    Raises
    ------
    pyhf.exceptions.FailedMinimization
        If nothing converged.
    """
    begin = np.clip(start, bounds[:, 0], bounds[:, 1])
    begin[list(fixed)] = list(fixed.values())
    free = np.asarray([i for i in range(begin.size) if i not in fixed], dtype=int)
    return _Residuals(expectation, data, begin, free).minimise(bounds[free])


def rough_errors(model: pyhf.Model, data: Sequence[float], parameters: Array) -> Array:
    """Error of each parameter with all others fixed; infinite if the likelihood ignores it."""
    every = np.arange(model.config.npars)
    residuals = _Residuals(Expectation(model), np.asarray(data, dtype=float), parameters, every)
    slopes = np.sqrt((residuals.jacobian(parameters) ** 2).sum(axis=0))
    return np.asarray(np.where(slopes > 0, 1.0 / np.where(slopes > 0, slopes, 1.0), np.inf))


def hessian(
    model: pyhf.Model, data: Sequence[float], best: Array, chosen: Indices, steps: Array
) -> Array:
    """Second derivatives of -ln L in some parameters: differences of the exact first ones."""
    residuals = _Residuals(Expectation(model), np.asarray(data, dtype=float), best, chosen)
    result = np.empty((chosen.size, chosen.size))
    for row, step in enumerate(np.diag(steps)):
        difference = residuals.gradient(best[chosen] + step) - residuals.gradient(
            best[chosen] - step
        )
        result[row] = difference / (2.0 * steps[row])
    return 0.5 * (result + result.T)


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

    def minimise(self, bounds: Array) -> tuple[Array, float]:
        """All parameters at the minimum, and the sum of squares there.

        Gauss-Newton steps are few where the sum of squares is a parabola. They may end early
        where it is not, at bins without data for example: quasi-Newton steps go on from there.

        Raises
        ------
        pyhf.exceptions.FailedMinimization
            If nothing converged.
        """
        values = self.start[self.free]
        if not values.size:
            return self.parameters(values), float((self(values) ** 2).sum())
        previous = np.inf
        for _ in range(ROUNDS):
            result = least_squares(
                self,
                values,
                self.jacobian,
                bounds=(bounds[:, 0], bounds[:, 1]),
                method="dogbox",  # its linear algebra is small: no crowd of BLAS threads
                x_scale="jac",
                ftol=TOLERANCE,
                xtol=TOLERANCE,
                gtol=TOLERANCE,
                max_nfev=MOST_STEPS,
            )
            if not np.isfinite(result.cost):
                raise pyhf.exceptions.FailedMinimization(result)
            values, cost = result.x, 2.0 * float(result.cost)
            if result.success and self._is_minimum(result, bounds):
                break
            values, cost = self._quasi_newton(values, bounds)
            if result.success and previous - cost < SAME / 10:
                break
            previous = cost
        return self.parameters(values), cost

    @staticmethod
    def _is_minimum(result: Any, bounds: Array) -> bool:
        """Whether no parameter alone could still lower the sum of squares."""
        downhill = np.where(result.grad > 0, result.x > bounds[:, 0], result.x < bounds[:, 1])
        curvature = (result.jac**2).sum(axis=0)
        counts = downhill & (curvature > 0)
        gain = np.divide(result.grad**2, curvature, out=np.zeros(counts.size), where=counts)
        return bool(gain.sum() < SAME**2)

    def _quasi_newton(self, values: Array, bounds: Array) -> tuple[Array, float]:
        """Go on in units of the error that a parameter has with all others fixed."""
        slopes = np.sqrt((self.jacobian(values) ** 2).sum(axis=0))
        units = 1.0 / np.where(slopes > 0, slopes, 1.0)

        def half_sum(scaled: Array) -> tuple[float, Array]:
            residuals, jacobian = self(scaled * units), self.jacobian(scaled * units)
            return 0.5 * float(residuals @ residuals), (jacobian.T @ residuals) * units

        result = minimize(
            half_sum,
            values / units,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds / units[:, None],
            options={"maxiter": MOST_STEPS, "ftol": 1e-12, "gtol": 1e-5},
        )
        return np.clip(result.x * units, bounds[:, 0], bounds[:, 1]), 2.0 * float(result.fun)
