"""Upper limits and significance from asymptotic formulas, and where these do not hold."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyhf
from scipy.optimize import brentq
from scipy.stats import norm

from intccms.statistics.fit import LARGEST, failures_named
from intccms.statistics.optimizer import NewtonOptimizer, pyhf_backend
from intccms.statistics.workspace import Workspace

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]

PRECISION = 1e-3  # of ln(CLs / target); a limit changes by a few times less
TOLERATED = 0.02  # the same, when a limit is checked
SENSITIVE = (0.3, 30.0)  # sqrt(q_mu) of the Asimov set between which its slope says enough
MOST_TRIES = 60  # of the search for the scale
MOST_SCANS = 3  # until no fit that holds the strength is better than the free one
BELOW = (0.05, 0.25, 0.5, 0.75)  # of the lowest limit: more points, to draw CLs from 1 on
SIGMAS = (-2, -1, 0, 1, 2)


@dataclass(frozen=True)
class LimitOutcome:
    """Upper limits on the signal strength, and the CLs values they were found from.

    A limit that was not found below `LARGEST` is infinite; `notes` name it.
    """

    signal: str
    confidence_level: float
    observed: float
    expected: tuple[float, ...]  # -2, -1, 0, 1, 2 standard deviations
    mu: Array  # (n_points,), ascending
    observed_cls: Array  # (n_points,)
    expected_cls: Array  # (n_points, 5)
    is_blinded: bool  # in some bins the expected background stood in for data
    notes: tuple[str, ...] = ()
    n_toys: int = 0  # for each hypothesis and strength; 0: asymptotic formulas
    observed_error: float = math.nan  # statistical, of the toys
    expected_errors: tuple[float, ...] = (math.nan,) * 5

    @property
    def calculator(self) -> str:
        """How CLs was calculated."""
        return "toys" if self.n_toys else "asymptotic"


def shown(limit: float, *, scale: float = 1.0) -> str:
    """Return a limit as it is printed; one that was not found is above the largest strength."""
    return f"{limit * scale:.3g}" if math.isfinite(limit) else f"> {LARGEST * scale:.0e}"


@dataclass
class _Scan:
    """CLs at each signal strength that was tried."""

    model: pyhf.Model
    data: list[float]
    target: float
    points: dict[float, Array] = field(default_factory=dict)  # mu -> observed, 5 expected

    def cls(self, mu: float) -> Array:
        """Observed and the five expected CLs values."""
        if mu not in self.points:
            config = self.model.config
            bounds = config.suggested_bounds()
            bounds[config.poi_index] = (0.0, np.inf)  # q-tilde: no negative signal
            observed, expected, calculator = pyhf.infer.hypotest(
                mu,
                self.data,
                self.model,
                par_bounds=bounds,
                test_stat="qtilde",
                return_expected_set=True,
                return_calculator=True,
            )
            self.sensitivity = float(calculator.sqrtqmuA_v)
            self.points[mu] = np.asarray([observed, *expected], dtype=float)
        return self.points[mu]

    def distance(self, mu: float, which: int) -> float:
        """ln(CLs / target), nearly a straight line; exactly 0 where the limit is close enough."""
        value = 1.0 if mu <= 0 else float(self.cls(mu)[which])
        result = float(np.log(max(value, 1e-300) / self.target))
        return 0.0 if abs(result) < PRECISION else result

    def scale(self) -> float:
        """Signal strength of one standard deviation, from the Asimov set without signal."""
        mu, low, high = 1.0, 0.0, np.inf  # too little and too much to tell
        for _ in range(MOST_TRIES):
            self.cls(mu)
            if SENSITIVE[0] < self.sensitivity < SENSITIVE[1]:
                return mu / self.sensitivity
            if self.sensitivity <= SENSITIVE[0]:
                low = mu
            else:
                high = mu
            mu = math.sqrt(low * high) if 0 < low < high < np.inf else 10 * low or 0.1 * high
            if low >= LARGEST or high / LARGEST <= low:
                break
        raise ValueError(f"no sensitivity: a signal strength of {LARGEST:g} could not be excluded")

    def limit(self, which: int, guess: float) -> float:
        """Signal strength at which one of the CLs values crosses the target; infinite if none."""
        high, factor = guess, 1.3
        while self.distance(high, which) > 0:
            high, factor = high * factor, min(1.2 * factor, 10.0)
            if high > LARGEST:
                return math.inf
        low = max((mu for mu in self.points if self.distance(mu, which) > 0), default=0.0)
        high = min(mu for mu in self.points if mu > low)
        return float(brentq(self.distance, low, high, args=(which,), rtol=PRECISION, xtol=1e-12))

    def check(self, limits: Sequence[float]) -> None:
        """Refuse limits that are none.

        Raises
        ------
        ValueError
            If CLs is not what it has to be at one of them, or they are not in order.
        """
        for which, limit in enumerate(limits):
            if math.isfinite(limit):
                value = float(self.cls(limit)[which])
                if not abs(math.log(max(value, 1e-300) / self.target)) < TOLERATED:
                    name = "observed" if which == 0 else f"expected {SIGMAS[which - 1]:+d} sigma"
                    text = f"CLs is {value:.3g}, not {self.target:g}, at the {name} limit {limit:g}"
                    raise ValueError(f"{text}: it jumps there")
        band = list(limits[1:])
        if band != sorted(band):
            raise ValueError(f"the expected limits are not in order: {', '.join(map(shown, band))}")


def limits(workspace: Workspace, *, confidence_level: float = 0.95) -> LimitOutcome:
    """Find the upper limits on the signal strength.

    Parameters
    ----------
    workspace
        One signal; where it is blinded the expected background stands in for data.
    confidence_level
        1 - CLs at the limit.

    Raises
    ------
    FitError
        If a fit fails, the data cannot exclude any signal strength, or what was found fails the
        check that CLs at each limit is what it has to be.

    References
    ----------
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, equations 62 and 89; A. L. Read,
    J. Phys. G 28 (2002) 2693.
    """
    model, data = workspace.model_and_data()
    optimizer = NewtonOptimizer()
    with failures_named(f"limit on {workspace.signal}"), pyhf_backend(optimizer):
        for _ in range(MOST_SCANS):
            scan = _Scan(model, data, 1.0 - confidence_level)
            found = _search(scan)
            if not optimizer.learns():
                break
        scan.check(found)
        notes = [*few_events(model, min(found[3], max(scan.points))), *_not_found(found)]
    for note in notes:
        log.warning("%s: %s", workspace.signal, note)
    return _outcome(workspace, scan, found, tuple(notes))


def scan_range(workspace: Workspace, target: float) -> tuple[float, float]:
    """Give strengths between which the limits are, if the asymptotic formulas are not far off.

    Raises
    ------
    ValueError
        If the data cannot exclude any signal strength.
    """
    model, data = workspace.model_and_data()
    with pyhf_backend(NewtonOptimizer()):
        found = [one for one in _search(_Scan(model, data, target)) if math.isfinite(one)]
    return 0.7 * min(found), 2.0 * max(found)


def median_expected(workspace: Workspace, guess: float) -> float:
    """Find the median expected upper limit alone; infinite if there is none.

    Parameters
    ----------
    workspace
        As for `limits`.
    guess
        Where the search begins.

    Raises
    ------
    FitError
        If a fit fails.
    """
    model, data = workspace.model_and_data()
    with failures_named(f"limit on {workspace.signal}"), pyhf_backend(NewtonOptimizer()):
        return _Scan(model, data, 0.05).limit(1 + SIGMAS.index(0), guess)


def _search(scan: _Scan) -> list[float]:
    """Observed and five expected limits."""
    sigma = scan.scale()
    # where the asymptotic formulas are exact
    guesses = [sigma * float(norm.isf(scan.target * norm.cdf(n)) + n) for n in SIGMAS]
    expected = [scan.limit(1 + i, guess) for i, guess in enumerate(guesses)]
    observed = scan.limit(0, next((x for x in expected[2::-1] if math.isfinite(x)), guesses[2]))
    found = [observed, *expected]
    lowest = min(found)
    if not math.isfinite(lowest):
        raise ValueError(f"no limit below a signal strength of {LARGEST:g}")
    for fraction in BELOW:
        scan.cls(fraction * lowest)
    return found


def _not_found(limits: Sequence[float]) -> list[str]:
    """Name the limits that there are none of."""
    names = ["observed", *(f"expected {n:+d} sigma" if n else "median expected" for n in SIGMAS)]
    return [
        f"{name} limit: {shown(limit)}, CLs stays above its threshold"
        for name, limit in zip(names, limits, strict=True)
        if not math.isfinite(limit)
    ]


def _outcome(
    workspace: Workspace, scan: _Scan, found: Sequence[float], notes: tuple[str, ...]
) -> LimitOutcome:
    # the search may have started far away
    longest = 1.5 * max(limit for limit in found if math.isfinite(limit))
    mu = sorted(point for point in scan.points if point <= longest)
    values = np.asarray([scan.points[point] for point in mu])
    return LimitOutcome(
        signal=workspace.signal,
        confidence_level=1.0 - scan.target,
        observed=found[0],
        expected=tuple(found[1:]),
        mu=np.asarray(mu),
        observed_cls=values[:, 0],
        expected_cls=values[:, 1:],
        is_blinded=workspace.is_blinded,
        notes=notes,
    )


# One counting experiment without uncertainties, where CLs is known exactly: the asymptotic limit
# is too low by 34 % with 0.05 expected background events, 26 % with 0.5, 14 % with 3, 8 % with 10
# and 5.5 % with 20 (tests/statistics/test_validity.py).
FEWEST_EVENTS = 10.0
LEAST_EVENTS = 0.04  # below it an asymptotic limit is wrong by more than a third: there is none
REMEDY = "toys are right (statistics.calculator: toys or auto)"
SHARE = 0.9  # of the sensitivity: the bins that carry it are looked at


def sensitive_background(model: pyhf.Model, mu: float) -> float:
    """Count the background expected in the bins that carry the power to exclude a strength.

    A bin with background b and signal s adds 2 (mu s - b ln(1 + mu s / b)) to the test statistic
    of the background-only data set. The bins with the largest of these, up to 90 % of the sum,
    are those that count.

    References
    ----------
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, equation 62 for data that are expected
    without signal, no nuisance parameters.
    """
    parameters = np.asarray(model.config.suggested_init(), dtype=float)
    parameters[model.config.poi_index] = 0.0
    background = np.asarray(model.main_model.expected_data(parameters))
    parameters[model.config.poi_index] = mu
    signal = np.maximum(np.asarray(model.main_model.expected_data(parameters)) - background, 0.0)
    known = np.maximum(background, 1e-300)
    power = 2.0 * (signal - background * np.log1p(signal / known))
    order = np.argsort(-power, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(power[order])[:-1]])
    return float(background[order][before < SHARE * power.sum()].sum())


def few_events(model: pyhf.Model, mu: float) -> list[str]:
    """Say, in one line if at all, that asymptotic results for this strength are not valid.

    Raises
    ------
    ValueError
        If there is next to no background to base them on.
    """
    background = sensitive_background(model, mu)
    if background >= FEWEST_EVENTS:
        return []
    text = f"{background:.2g} expected background events in the bins that carry the sensitivity"
    if background < LEAST_EVENTS:
        raise ValueError(f"asymptotic formulas say nothing with {text}: {REMEDY}")
    return [
        f"asymptotic limits and p-values are not valid with {text} (fewer than "
        f"{FEWEST_EVENTS:g}), limits are too low by 8 to 34 %: {REMEDY}"
    ]


@dataclass(frozen=True)
class Significance:
    """Local p-values of the background-only hypothesis.

    Parameters
    ----------
    observed_p_value, expected_p_value
        Of the data, and the median one with a signal of strength 1.
    is_blinded
        In some bins the expected background stood in for data.
    n_toys
        That the p-values are fractions of; 0: asymptotic formulas.
    """

    observed_p_value: float
    expected_p_value: float
    is_blinded: bool = False
    n_toys: int = 0

    @property
    def observed_error(self) -> float:
        """Statistical error of the observed p-value; not a number without toys."""
        p_value = self.observed_p_value
        return math.sqrt(p_value * (1 - p_value) / self.n_toys) if self.n_toys else math.nan

    @property
    def observed_sigmas(self) -> float:
        """Standard deviations of a one-sided normal distribution; 0 for a deficit."""
        return max(float(norm.isf(self.observed_p_value)), 0.0)

    @property
    def expected_sigmas(self) -> float:
        """The same, expected with a signal of strength 1."""
        return max(float(norm.isf(self.expected_p_value)), 0.0)


def significance(workspace: Workspace) -> Significance:
    """Test the hypothesis that there is no signal.

    Parameters
    ----------
    workspace
        One signal; where it is blinded the expected background stands in for data.

    Raises
    ------
    FitError
        If a fit fails.

    References
    ----------
    Test statistic q0: Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, equations 12 and 52.
    """
    model, data = workspace.model_and_data()
    with failures_named(f"significance of {workspace.signal}"), pyhf_backend(NewtonOptimizer()):
        bounds = model.config.suggested_bounds()
        bounds[model.config.poi_index] = (0.0, np.inf)
        observed, expected = pyhf.infer.hypotest(
            0.0, data, model, par_bounds=bounds, test_stat="q0", return_expected=True
        )
    return Significance(float(observed), float(expected), workspace.is_blinded)
