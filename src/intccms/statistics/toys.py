"""Limits, significance and goodness of fit from toys, where asymptotic formulas do not hold.

Toys are made as ATLAS and CMS agreed: data and global observables are drawn with all nuisance
parameters at the values that fit the data best for the strength in question, and all of them are
fitted again. A toy depends on the seed and its number only: any executor gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyhf
from cabinetry import model_utils
from scipy.stats import norm

from intccms.errors import FitError, InputError
from intccms.statistics.fit import FitOutcome, failures_named, fit_bounds
from intccms.statistics.limits import SIGMAS, LimitOutcome, Significance, scan_range
from intccms.statistics.optimizer import Expectation, NewtonOptimizer, minimum, pyhf_backend
from intccms.statistics.workspace import Workspace

Array = npt.NDArray[np.float64]
Statistic = Literal["qtilde", "q0", "saturated"]

N_GROUPS = 20  # of the toys of one point: what a worker does at a time, and the jackknife's groups
N_POINTS = 8  # signal strengths of the first grid
MOST_GRIDS = 4  # until the limits are inside
STRETCH = 1.5  # from point to point beyond the first grid
TIE = 1e-4  # of a test statistic: as extreme as the data
USEFUL = (0.1, 10.0)  # CLs over its threshold, of the points that a limit is interpolated from
FEWEST_POINTS = 3  # of them
APART = 0.04  # points, relative


class Run(Protocol):
    """The way an executor runs a function on items, see `intccms.execution.executors`."""

    def __call__(
        self, function: Callable[..., Any], items: Any, *, arguments: tuple[Any, ...] = ()
    ) -> Iterator[tuple[Any, Any]]:
        """Yield each item with its result, in any order."""


def in_process(
    function: Callable[..., Any], items: Any, *, arguments: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, Any]]:
    """Run everything here and now."""
    for item in items:
        yield item, function(item, *arguments)


@dataclass(frozen=True)
class Toys:
    """How many toys are made, and where.

    Parameters
    ----------
    n_toys
        For each hypothesis and signal strength, at least 20: the error comes from groups of them.
    seed
        The same seed gives the same toys.
    run
        `map` of an executor.
    """

    n_toys: int = 1000
    seed: int = 1
    run: Run = in_process

    def __post_init__(self) -> None:
        """Refuse fewer toys than there are groups."""
        if self.n_toys < N_GROUPS:
            raise InputError(f"n_toys is {self.n_toys}, at least {N_GROUPS} are needed")


@dataclass(frozen=True)
class _Batch:
    """Some toys of one hypothesis, and what is calculated of them."""

    stream: int  # of random numbers: one for each hypothesis
    number: int
    n_toys: int  # a multiple of `N_GROUPS` if there is one batch only
    parameters: tuple[float, ...]  # that the toys are drawn with
    statistic: Statistic
    strengths: tuple[float, ...] = ()  # to be tested


def toy_limits(
    workspace: Workspace, toys: Toys | None = None, *, confidence_level: float = 0.95
) -> LimitOutcome:
    """Find the upper limits on the signal strength from toys.

    CLs is the ratio of two fractions of toys at each point of a grid of strengths; ln CLs is
    interpolated. The expected limits are those of the quantiles of the toys without signal.

    Parameters
    ----------
    workspace
        One signal; where it is blinded the expected background stands in for data.
    toys
        How many, and where they are made.
    confidence_level
        1 - CLs at the limit.

    Returns
    -------
    LimitOutcome
        With the statistical errors of the limits, by the jackknife over groups of toys.

    Raises
    ------
    FitError
        If the data cannot be fitted, or no limit is found.

    References
    ----------
    ATLAS and CMS, "Procedure for the LHC Higgs boson search combination in Summer 2011",
    CMS-NOTE-2011/005. `pyhf.infer.calculators.ToyCalculator` does the same in one process, with
    the global random numbers of numpy, anew for each strength.
    """
    toys = toys or Toys()
    target = 1.0 - confidence_level
    with failures_named(f"limit on {workspace.signal}"):
        grid = [float(mu) for mu in np.geomspace(*scan_range(workspace, target), N_POINTS)]
        points: dict[float, _Point] = {}
        for _ in range(MOST_GRIDS):
            points |= _tested(workspace, toys, grid)
            ordered = [points[mu] for mu in sorted(points)]
            grid = _missing(ordered, target)
            if not grid:
                break
        found = _crossings(ordered, target)
        if not np.isfinite(found[0]):
            if not any(_fraction(one.without, one.observed) for one in ordered):
                raise ValueError(f"none of {toys.n_toys} toys without signal is like the data")
            raise ValueError("CLs of the data does not reach its threshold")
        groups = np.asarray([_crossings(ordered, target, without=i) for i in range(N_GROUPS)])
    known = np.isfinite(groups).all(axis=0)
    spread = np.where(known, (N_GROUPS - 1) ** 0.5 * np.where(known, groups, 0).std(axis=0), np.nan)
    cls = np.asarray([one.cls() for one in ordered])
    return LimitOutcome(
        signal=workspace.signal,
        confidence_level=confidence_level,
        observed=found[0],
        expected=tuple(found[1:]),
        mu=np.asarray([one.mu for one in ordered]),
        observed_cls=cls[:, 0],
        expected_cls=cls[:, 1:],
        is_blinded=workspace.is_blinded,
        n_toys=toys.n_toys,
        observed_error=float(spread[0]),
        expected_errors=tuple(float(one) for one in spread[1:]),
    )


def toy_significance(workspace: Workspace, toys: Toys | None = None) -> Significance:
    """Test with toys the hypothesis that there is no signal.

    The expected p-value is that of the median toy with a signal of strength 1. A p-value is at
    least one over the number of toys.

    Raises
    ------
    FitError
        If the data cannot be fitted.
    """
    toys = toys or Toys()
    with failures_named(f"significance of {workspace.signal}"):
        without, (observed,) = _conditional(workspace, 0.0, "q0")
        with_signal, _ = _conditional(workspace, 1.0, "q0")
        sets = {0: (without, "q0", (0.0,)), 1: (with_signal, "q0", (0.0,))}
        drawn = _drawn(workspace, toys, sets)
        null = drawn[0][:, :, 0].ravel()
        median = float(np.nanmedian(drawn[1]))
    p_values = [max(_fraction(null, one), 1.0 / toys.n_toys) for one in (observed, median)]
    return Significance(p_values[0], p_values[1], workspace.is_blinded, n_toys=toys.n_toys)


def toy_goodness_of_fit(
    workspace: Workspace, outcome: FitOutcome, toys: Toys | None = None
) -> FitOutcome:
    """Return a fit with its p-value from toys: how often the saturated chi2 is as large.

    Raises
    ------
    FitError
        If no toy can be fitted.
    """
    toys = toys or Toys()
    with failures_named(f"goodness of fit of {workspace.signal}"):
        sets = {2: (outcome.results.bestfit, "saturated", ())}
        p_value = _fraction(_drawn(workspace, toys, sets)[2].ravel(), outcome.chi2)
    results = outcome.results._replace(goodness_of_fit=p_value)
    return replace(outcome, results=results, n_toys=toys.n_toys)


@dataclass(frozen=True)
class _Point:
    """Test statistics of data and toys for one signal strength; groups of toys are rows."""

    mu: float
    observed: float
    with_signal: Array
    without: Array

    def cls(self, *, leave_out: int | None = None) -> list[float]:
        """Observed CLs and the five expected ones."""
        rows = [row for row in range(N_GROUPS) if row != leave_out]
        with_signal, without = self.with_signal[rows].ravel(), self.without[rows].ravel()
        drawn = without[np.isfinite(without)]
        quantiles = np.quantile(drawn, norm.cdf(-np.asarray(SIGMAS)), method="inverted_cdf")
        result = []
        for value in (self.observed, *quantiles):
            below = _fraction(without, float(value))
            result.append(_fraction(with_signal, float(value)) / below if below else 0.0)
        return result


def _tested(workspace: Workspace, toys: Toys, strengths: Sequence[float]) -> dict[float, _Point]:
    """Test statistics at these strengths; the toys without signal are the same for all."""
    without, _ = _conditional(workspace, 0.0, "qtilde")
    sets: dict[int, Any] = {0: (without, "qtilde", tuple(strengths))}
    observed = {}
    for mu in strengths:
        parameters, (observed[mu],) = _conditional(workspace, mu, "qtilde")
        sets[_stream(mu)] = (parameters, "qtilde", (mu,))
    drawn = _drawn(workspace, toys, sets)
    return {
        mu: _Point(mu, observed[mu], drawn[_stream(mu)][:, :, 0], drawn[0][:, :, column])
        for column, mu in enumerate(strengths)
    }


def _stream(mu: float) -> int:
    """Random numbers of a strength: those that belong to its bits."""
    return int(np.float64(mu).view(np.uint64))


def _conditional(
    workspace: Workspace, mu: float, statistic: Statistic
) -> tuple[Array, tuple[float, ...]]:
    """Parameters that fit the data best for a strength, and the test statistic of the data."""
    model, data = workspace.model_and_data()
    with pyhf_backend(NewtonOptimizer()):
        bounds = _bounds(model, statistic).tolist()
        best = pyhf.infer.mle.fixed_poi_fit(mu, data, model, par_bounds=bounds)
        start = pyhf.infer.mle.fit(data, model, par_bounds=bounds)
    tested = 0.0 if statistic == "q0" else mu
    value = _statistic(Expectation(model), np.asarray(data), (start, best), statistic, (tested,))
    return np.asarray(best), tuple(value)


def _drawn(workspace: Workspace, toys: Toys, sets: dict[int, Any]) -> dict[int, Array]:
    """Test statistics of toys by stream, shape (groups, toys of a group, strengths)."""
    model, _ = workspace.model_and_data()
    # without global observables toys are alike, and together each kind is fitted once
    n_batches = N_GROUPS if model.config.nauxdata else 1
    size = math.ceil(toys.n_toys / N_GROUPS) * N_GROUPS // n_batches
    batches = [
        _Batch(stream, number, size, tuple(parameters), statistic, strengths)
        for stream, (parameters, statistic, strengths) in sets.items()
        for number in range(n_batches)
    ]
    found: dict[int, list[Any]] = {stream: [None] * n_batches for stream in sets}
    for batch, answer in toys.run(_made, batches, arguments=(workspace, toys.seed)):
        if isinstance(answer, Exception):
            raise FitError(f"toys of {workspace.signal}: {answer}") from answer
        found[batch.stream][batch.number] = answer
    return {
        stream: np.concatenate(answers).reshape(N_GROUPS, -1, answers[0].shape[1])
        for stream, answers in found.items()
    }


def _made(batch: _Batch, workspace: Workspace, seed: int) -> Array:
    """Draw toys and calculate their test statistics, shape (toys, strengths); on a worker."""
    with pyhf_backend():
        model, _ = workspace.model_and_data()
        config = model.config
        random = np.random.default_rng([seed, batch.stream, batch.number])
        parameters = np.asarray(batch.parameters)
        expectation = Expectation(model)
        main = random.poisson(expectation(parameters), (batch.n_toys, config.nmaindata))
        indices = np.arange(config.npars)
        constrained = [i for name in config.auxdata_order for i in indices[config.par_slice(name)]]
        widths = model_utils.prefit_uncertainties(model)[constrained]
        shape = (batch.n_toys, len(constrained))
        auxiliary = parameters[constrained] + widths * random.normal(size=shape)
        data, rows = np.unique(np.hstack([main, auxiliary]), axis=0, return_inverse=True)
        values = [
            _statistic(expectation, one, (parameters,), batch.statistic, batch.strengths)
            for one in data
        ]
    return np.asarray(values)[rows.ravel()]


def _bounds(model: pyhf.Model, statistic: Statistic) -> Array:
    bounds = np.asarray(fit_bounds(model))
    if statistic != "saturated" and model.config.poi_index is not None:
        bounds[model.config.poi_index] = (0.0, np.inf)  # no negative signal
    return bounds


def _statistic(
    expectation: Expectation,
    data: Array,
    starts: Sequence[Array],
    statistic: Statistic,
    strengths: Sequence[float],
) -> list[float]:
    """Give the test statistic for each strength, or the chi2; not a number if no fit converges."""
    model = expectation.model
    poi = model.config.poi_index
    bounds = _bounds(model, statistic)
    pairs = zip(model.config.suggested_fixed(), model.config.suggested_init(), strict=True)
    always = {index: value for index, (is_fixed, value) in enumerate(pairs) if is_fixed}

    def best(fixed: dict[int, float]) -> tuple[Array, float]:
        found = [minimum(expectation, data, start, bounds, always | fixed) for start in starts]
        return min(found, key=lambda one: one[1])

    try:
        fitted, lowest = best({})
        held = [best({poi: mu})[1] for mu in strengths]
    except pyhf.exceptions.FailedMinimization:
        return [math.nan] * max(len(strengths), 1)
    if statistic == "saturated":
        return [lowest]
    lowest = min([lowest, *held])
    is_excess = [statistic == "qtilde" and fitted[poi] > mu for mu in strengths]
    return [
        0.0 if excess else value - lowest for excess, value in zip(is_excess, held, strict=True)
    ]


def _fraction(drawn: Array, value: float) -> float:
    """Give the fraction of toys that are at least as extreme; those without a fit do not count."""
    known = drawn[np.isfinite(drawn)]
    return float(np.mean(known >= value - TIE)) if known.size else math.nan


def _missing(points: Sequence[_Point], target: float) -> list[float]:
    """Give the signal strengths that the limits need beside those that were tested."""
    mu = np.asarray([one.mu for one in points])
    wanted: list[float] = []
    for cls in np.asarray([one.cls() for one in points]).T:
        if cls[0] <= target:
            wanted.append(mu[0] / STRETCH)
        elif cls[-1] > target:
            wanted.append(mu[-1] * STRETCH)
        elif _near(cls, target).sum() < FEWEST_POINTS:
            middle = _crossing(mu, cls, target)
            wanted += [0.9 * middle, 1.1 * middle]
    result: list[float] = []
    for one in sorted(wanted):
        if np.abs(np.log(np.asarray([*mu, *result]) / one)).min() > APART:
            result.append(float(one))
    return result


def _crossings(
    points: Sequence[_Point], target: float, *, without: int | None = None
) -> list[float]:
    """Signal strengths at which the observed and the five expected CLs cross the threshold."""
    mu = np.asarray([one.mu for one in points])
    curves = np.asarray([one.cls(leave_out=without) for one in points]).T
    return [_crossing(mu, cls, target) for cls in curves]


def _near(cls: Array, target: float) -> npt.NDArray[np.bool_]:
    return (cls > USEFUL[0] * target) & (cls < USEFUL[1] * target)


def _crossing(mu: Array, cls: Array, target: float) -> float:
    """Interpolate ln CLs, with a parabola where there are points enough; infinite if it fails."""
    above = np.flatnonzero(cls > target)
    if not above.size or above[-1] == mu.size - 1:
        return math.inf
    last = above[-1]
    distance = np.log(np.maximum(cls, USEFUL[0] * target) / target)
    near = _near(cls, target)
    if near.sum() >= FEWEST_POINTS:
        x, y = mu[near], distance[near]
        roots = np.roots(np.polyfit(x, y, 2, w=np.exp(-np.abs(y) / 2)))
        real = [float(one.real) for one in roots if np.isreal(one)]
        inside = [one for one in real if x.min() <= one <= x.max()]
        if len(inside) == 1:
            return inside[0]
    pair = slice(last, last + 2)
    return float(np.interp(0.0, -distance[pair], mu[pair]))
