"""A minimiser for profile likelihoods that makes pyhf's fits, limits and impacts quick.

-ln L of a HistFactory model has exact first derivatives, and its second ones are those of the
expectation with small corrections: Newton steps find a minimum in a few evaluations, where Minuit
without gradients needs thousands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyhf
from cabinetry import model_utils
from scipy import linalg
from scipy.optimize import OptimizeResult, minimize
from threadpoolctl import threadpool_limits

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int_]

DIFFERENCE = 1e-6  # of a parameter, for derivatives of the expectation
ADDED, MULTIPLIED = "addition", "multiplication"
CLOSE = 1e-8  # of 2 ln L, foreseen of a step that is the last one
NOTHING = 1e-6  # of the smallest expectation of a bin
SAME = 1e-3  # of -2 ln L: minima that differ by less are one
MOST_STEPS = 600
MOST_IN_A_ROW = 150  # Newton steps before the other method has its turn
MOST_QUASI_STEPS = 60
MOST_HELD = 5  # times that parameters are held at the end of their range in one step
GOOD, POOR = 0.75, 0.25  # gain of a step over the one foreseen
LEAST_DAMPING, LEAST_USEFUL, MOST_DAMPING = 1e-9, 1e-4, 1e8  # of the expected information
# more starts of the fits that others begin from, and how far away they are in prior widths
N_SCATTERED, FAR = 4, 1.0
N_SCATTERED_IF_BAD, FAR_IF_BAD = 10, 2.0  # with large pulls another minimum may be far better
BAD = 5.0  # standard deviations of -2 ln L above its mean
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


class Expectation:
    """Expected events per bin as a function of all parameters of a model.

    A bin holds sum_s prod_f f (nominal_s + sum_d d): each factor f and each addend d belongs to
    one parameter, so all of them are differentiated in one step, and the product rule does the
    rest.
    """

    def __init__(self, model: pyhf.Model):
        self.model = model
        self._main = model.main_model
        n_parameters = model.config.npars
        indices = {
            name: np.arange(n_parameters)[model.config.par_slice(name)]
            for name, _ in model.config.modifiers
        }
        of_bins = _bins_of_single(model)
        # by kind of modifier, as they are stored: index of each, and its bins where it has its own
        self._rows: dict[str, list[tuple[Indices, Indices | None]]] = {ADDED: [], MULTIPLIED: []}
        for kind, applier in self._main.modifiers_appliers.items():
            self._rows[applier.op_code] += [
                (indices[name], of_bins.get(name))
                for name, of in model.config.modifiers
                if of == kind
            ]
        shared = [own for name, own in indices.items() if own.size > 1 and name not in of_bins]
        self._others = np.unique(np.concatenate([np.zeros(0, dtype=int), *shared]))

    def __call__(self, parameters: Array) -> Array:
        """Events per bin."""
        return np.asarray(self._main.expected_data(parameters))

    def with_derivatives(self, parameters: Array) -> tuple[Array, Array]:
        """Events per bin and, shape (n_bins, n_parameters), their derivatives."""
        before, after = self._modifiers(parameters), self._modifiers(parameters + DIFFERENCE)
        product, others = _products(before[MULTIPLIED])
        total = before[ADDED].sum(axis=0) + self._main.nominal_rates[0]
        weight = {ADDED: product, MULTIPLIED: others * total}
        expected = np.asarray((product * total).sum(axis=(0, 1)))
        result = np.zeros((expected.size, parameters.size))
        for code, rows in self._rows.items():
            change = (weight[code] * (after[code] - before[code])).sum(axis=(1, 2)) / DIFFERENCE
            for (index, bins), of_modifier in zip(rows, change, strict=True):
                if bins is not None:
                    result[bins, index] += of_modifier[bins]
                elif index.size == 1:
                    result[:, index[0]] += of_modifier
        for index in self._others:
            shifted = parameters.copy()
            shifted[index] += DIFFERENCE
            result[:, index] = (self(shifted) - self(parameters)) / DIFFERENCE
        if self._main.clip_bin_data is not None:
            least = self._main.clip_bin_data
            result[expected < NOTHING * least] = 0.0  # above, a bin at its end counts as falling
            expected = np.maximum(expected, least)
        return expected, result

    def _modifiers(self, parameters: Array) -> dict[str, Array]:
        """All addends and all factors, shape (n_modifiers, n_samples, 1, n_bins)."""
        empty = np.zeros((0, *self._main.nominal_rates.shape[1:]))
        parts: dict[str, list[Array]] = {ADDED: [empty], MULTIPLIED: [empty]}
        for applier in self._main.modifiers_appliers.values():
            applied = applier.apply(parameters)
            if applied is not None:
                parts[applier.op_code].append(applied)
        return {code: np.concatenate(arrays) for code, arrays in parts.items()}


def _products(factors: Array) -> tuple[Array, Array]:
    """Product along the first axis, and the product of all but each one; factors may be 0."""
    one = np.ones((1, *factors.shape[1:]))
    before = np.cumprod(np.concatenate([one, factors]), axis=0)
    after = np.cumprod(np.concatenate([one, factors[::-1]]), axis=0)[::-1]
    return before[-1], before[:-1] * after[1:]


def _bins_of_single(model: pyhf.Model) -> dict[str, Indices]:
    """Bins of the statistical errors of one channel each: one parameter for one bin."""
    bins = np.arange(model.config.nmaindata)
    result = {}
    for name in (name for name, kind in model.config.modifiers if kind == "staterror"):
        owners = [
            channel["name"]
            for channel in model.spec["channels"]
            if any(one["name"] == name for s in channel["samples"] for one in s["modifiers"])
        ]
        if len(owners) == 1:
            result[name] = bins[model.config.channel_slices[owners[0]]]
    return result


class Likelihood:
    """-ln L of a model over that of the saturated one, as a function of some of its parameters."""

    def __init__(
        self,
        expectation: Expectation,
        data: Sequence[float] | Array,
        parameters: Array,
        free: Indices | None = None,
    ):
        config = expectation.model.config
        self.expectation = expectation
        self.start = parameters
        self.free = np.arange(config.npars) if free is None else free
        self.observed, auxiliary = np.split(np.asarray(data, dtype=float), [config.nmaindata])
        indices = np.arange(config.npars)
        slices = [config.par_slice(name) for name in config.auxdata_order]
        constrained = np.concatenate([indices[:0], *(indices[part] for part in slices)])
        widths = model_utils.prefit_uncertainties(expectation.model)[constrained]
        held = widths <= 0  # bins without statistical error: their parameter is fixed at 1
        self.centres, self.inverse = np.zeros(config.npars), np.zeros(config.npars)
        self.centres[constrained[~held]] = auxiliary[~held]
        self.inverse[constrained[~held]] = widths[~held] ** -2.0

    def parameters(self, values: Array) -> Array:
        """All parameters from the free ones."""
        result = np.array(self.start, dtype=float)
        result[self.free] = values
        return result

    def __call__(self, values: Array) -> float:
        """Value of -ln L."""
        parameters = self.parameters(values)
        return self._value(parameters, self.expectation(parameters))

    def _value(self, parameters: Array, expected: Array) -> float:
        n = self.observed
        logarithm = np.log(np.where(n > 0, n, 1.0) / np.where(n > 0, expected, 1.0))
        deviances = np.maximum(expected - n + n * logarithm, 0.0)
        pulls = self.inverse * (parameters - self.centres) ** 2
        return float(deviances.sum() + 0.5 * pulls.sum())

    def derivatives(self, values: Array) -> tuple[float, Array, Array, Array]:
        """Value, gradient, second derivatives where the expectation is linear, and information.

        The second derivatives are those that the data have, the information (its diagonal) is the
        expected one, which is never 0 for a parameter that changes something.
        """
        parameters = self.parameters(values)
        expected, slopes = self.expectation.with_derivatives(parameters)
        slopes, inverse = slopes[:, self.free], self.inverse[self.free]
        pulls = inverse * (parameters - self.centres)[self.free]
        gradient = slopes.T @ (1.0 - self.observed / expected) + pulls
        curvature = slopes.T @ (slopes * (self.observed / expected**2)[:, None])
        information = (slopes**2 / expected[:, None]).sum(axis=0) + inverse
        value = self._value(parameters, expected)
        return value, gradient, curvature + np.diag(inverse), information

    def minimise(self, bounds: Array) -> tuple[Array, float]:
        """All parameters at the minimum next to the start, and -2 ln L there.

        Newton steps, damped as Levenberg and Marquardt do where one would not lead downwards.

        Raises
        ------
        pyhf.exceptions.FailedMinimization
            If nothing converged.
        """
        values, damping = self.start[self.free], LEAST_DAMPING
        if not values.size:
            return self.parameters(values), 2.0 * self(values)
        value, gradient, curvature, information = self.derivatives(values)
        scale = np.where(information > 0, information, 1.0)
        for n_steps in range(1, MOST_STEPS + 1):
            if not (np.isfinite(value) and np.isfinite(curvature).all()):
                break
            step = _step(values, bounds, gradient, curvature + np.diag(damping * scale))
            there = np.clip(values + step, *bounds.T)
            found, foreseen = self(there), -float(gradient @ step)
            is_close = foreseen * (1.0 + damping) < CLOSE
            if is_close:
                values, value = (there, found) if found < value else (values, value)
                return self.parameters(values), 2.0 * value
            # at a kink, as where a bin begins to expect nothing, or in a bent valley
            if damping > MOST_DAMPING or n_steps % MOST_IN_A_ROW == 0:
                there, found = self._quasi_newton(values, bounds, scale**-0.5)
                if value - found < SAME / 10:
                    return self.parameters(values), 2.0 * value
                values, damping = there, LEAST_USEFUL
                value, gradient, curvature, information = self.derivatives(values)
                continue
            if not found < value:
                damping = max(10.0 * damping, LEAST_USEFUL)
                continue
            gain = foreseen - 0.5 * float(step @ curvature @ step)
            if 0 < gain * GOOD < value - found:
                damping = max(0.1 * damping, LEAST_DAMPING)
            elif gain <= 0 or value - found < POOR * gain:
                damping = max(5.0 * damping, LEAST_USEFUL)
            values = there
            value, gradient, curvature, information = self.derivatives(values)
            scale = np.maximum(information, 1e-3 * scale)
        text = f"-2 ln L = {2 * value:g} over that of the saturated model is no minimum"
        raise pyhf.exceptions.FailedMinimization(OptimizeResult(message=text))

    def approach(self, bounds: Array) -> None:
        """Start closer to a minimum; from far away Newton steps tend to the same one always."""
        values = self.start[self.free]
        information = self.derivatives(values)[3]
        units = np.where(information > 0, information, 1.0) ** -0.5
        self.start = self.parameters(self._quasi_newton(values, bounds, units)[0])

    def _quasi_newton(self, values: Array, bounds: Array, units: Array) -> tuple[Array, float]:
        """Go on where Newton steps end at a kink."""

        def scaled(position: Array) -> tuple[float, Array]:
            value, gradient, *_ = self.derivatives(position * units)
            return value, gradient * units

        result = minimize(
            scaled, values / units, jac=True, method="L-BFGS-B", bounds=bounds / units[:, None],
            options={"maxiter": MOST_QUASI_STEPS, "ftol": 1e-12, "gtol": 1e-5},
        )  # fmt: skip
        return np.clip(result.x * units, *bounds.T), float(result.fun)


def _step(values: Array, bounds: Array, gradient: Array, curvature: Array) -> Array:
    """Newton step to the minimum of a parabola within the bounds, parameter by parameter."""
    low, high = (bounds - values[:, None]).T
    step = np.zeros(values.size)
    free = ~(((low >= 0) & (gradient > 0)) | ((high <= 0) & (gradient < 0)))
    for _ in range(MOST_HELD):
        downhill = -(gradient + curvature[:, ~free] @ step[~free])[free]
        try:
            factor = linalg.cho_factor(curvature[np.ix_(free, free)], check_finite=False)
            step[free] = linalg.cho_solve(factor, downhill, check_finite=False)
        except linalg.LinAlgError:  # not positive by rounding
            step[free] = downhill / np.diag(curvature)[free]
        outside = free & ((step < low) | (step > high))
        if not outside.any():
            break
        step = np.where(outside, np.clip(step, low, high), step)
        free &= ~outside
    return np.clip(step, low, high)


def minimum(
    expectation: Expectation,
    data: Array,
    start: Array,
    bounds: Array,
    fixed: Mapping[int, float],
    *,
    is_far: bool = False,
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
    likelihood = Likelihood(expectation, data, begin, free)
    if is_far and free.size:
        likelihood.approach(bounds[free])
    return likelihood.minimise(bounds[free])


def deviance(model: pyhf.Model, data: Sequence[float], parameters: Array) -> float:
    """-2 ln of the likelihood over that of the saturated model: a chi2 of the goodness of fit.

    References
    ----------
    R. D. Cousins, "Generalization of chi-square goodness-of-fit test for binned data using
    saturated models, with application to histograms", 2013.
    """
    return 2.0 * Likelihood(Expectation(model), data, parameters)(np.asarray(parameters))


def rough_errors(model: pyhf.Model, data: Sequence[float], parameters: Array) -> Array:
    """Error of each parameter with all others fixed; infinite if the likelihood ignores it."""
    information = Likelihood(Expectation(model), data, parameters).derivatives(parameters)[3]
    with np.errstate(divide="ignore"):
        return np.asarray(information**-0.5)


def hessian(
    model: pyhf.Model, data: Sequence[float], best: Array, chosen: Indices, steps: Array
) -> Array:
    """Second derivatives of -ln L in some parameters: differences of the exact first ones."""
    likelihood = Likelihood(Expectation(model), data, best, chosen)
    result = np.empty((chosen.size, chosen.size))
    for row, step in enumerate(np.diag(steps)):
        up, down = (likelihood.derivatives(best[chosen] + sign * step)[1] for sign in (1, -1))
        result[row] = (up - down) / (2.0 * steps[row])
    return 0.5 * (result + result.T)


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


@dataclass
class NewtonOptimizer:
    """An optimizer for `pyhf.set_backend` that does no fit twice.

    It needs models whose constraints are normal, as all are that cabinetry builds. A result
    depends on the model, the data and what is asked of them, never on fits that were asked for
    before: each fit begins in several places that are found from the data, the lowest minimum
    counts.
    """

    name: str = "intccms_newton"
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
        if not return_fitted_val:
            return best.copy()
        return best.copy(), np.asarray(np.asarray(objective(best, observed, pdf)).item())

    def _solved(self, problem: _Problem) -> tuple[Array, float]:
        """Best parameters, and -2 ln L there."""
        if problem.key not in self.known:
            starts = [problem.start, *self._related(problem)]
            if problem.data.tobytes() in self.learnt:
                starts.append(self.learnt[problem.data.tobytes()])
            minima = self._minima(problem, starts)
            best = min(minima, key=lambda one: one[1])
            if self._is_first(problem):
                others = self._minima(problem, self._scattered(problem, best[1]), are_far=True)
                other = min(others, key=lambda one: one[1], default=best)
                best = other if other[1] < best[1] - SAME / 10 else best
            self.known[problem.key] = best
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

    def _held(self, problem: _Problem) -> dict[int, float]:
        """Give what a problem holds beside the parameters that a model holds anyway."""
        usual = self._model.config.suggested_fixed()
        return {index: value for index, value in problem.fixed.items() if not usual[index]}

    def _is_first(self, problem: _Problem) -> bool:
        """Whether others begin from this minimum: the one of all parameters, or without signal."""
        poi = self._model.config.poi_index
        return set(self._held(problem).items()) <= {(poi, 0.0)}

    def _related(self, problem: _Problem) -> Iterator[Array]:
        """Minimum without signal for a strength that is free; for one that is held the free one.

        A fit that holds anything else is one of an impact or a scan and begins close to its end.
        """
        poi = self._model.config.poi_index
        if poi is None or set(self._held(problem)) - {poi}:
            return
        others = {index: value for index, value in problem.fixed.items() if index != poi}
        none = float(np.clip(0.0, *problem.bounds[poi]))
        if poi not in problem.fixed:
            with suppress(pyhf.exceptions.FailedMinimization):  # data that no background explains
                yield self._solved(replace(problem, fixed={**others, poi: none}))[0]
        elif problem.fixed[poi] != none:
            start = problem.start.copy()  # the same for all strengths
            start[poi] = self._model.config.suggested_init()[poi]
            yield self._solved(replace(problem, start=start, fixed=others))[0]

    def _minima(
        self, problem: _Problem, starts: Iterable[Array], *, are_far: bool = False
    ) -> list[tuple[Array, float]]:
        """Minima that are found from these places; of near ones there has to be one."""
        assert self.expectation is not None
        minima, failures = [], []
        ranges, fixed = problem.bounds, problem.fixed
        for start in starts:
            try:
                minima.append(
                    minimum(self.expectation, problem.data, start, ranges, fixed, is_far=are_far)
                )
            except pyhf.exceptions.FailedMinimization as error:
                failures.append(error)
        if not are_far and not minima:
            raise failures[0]
        return minima

    def _scattered(self, problem: _Problem, value: float) -> Iterator[Array]:
        """Places as far from the start as the constraints let expect, the same each time.

        There are more of them, and farther away, if the best fit so far is a bad one; one is where
        a free strength takes as much away as it may.
        """
        widths, n_bins = model_utils.prefit_uncertainties(self._model), self._model.config.nmaindata
        is_bad = value > n_bins + BAD * (2.0 * n_bins) ** 0.5
        n, far = (N_SCATTERED_IF_BAD, FAR_IF_BAD) if is_bad else (N_SCATTERED, FAR)
        random = np.random.default_rng(0)
        for _ in range(n):
            yield problem.start + random.normal(0.0, far, widths.size) * widths
        poi = self._model.config.poi_index
        if poi is not None and poi not in problem.fixed and problem.bounds[poi][0] < 0:
            yield np.where(np.arange(widths.size) == poi, problem.bounds[poi][0], problem.start)

    @property
    def _model(self) -> pyhf.Model:
        assert self.expectation is not None
        return self.expectation.model
