"""Expected and observed upper limits on the signal strength: asymptotic CLs from pyhf."""

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

from intccms.statistics.errors import LARGEST
from intccms.statistics.fit import failures_named
from intccms.statistics.optimizer import NewtonOptimizer, pyhf_backend
from intccms.statistics.validity import few_events
from intccms.statistics.workspace import Workspace

__all__ = ["SIGMAS", "LimitOutcome", "limits", "median_expected", "scan_range", "shown"]

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
    expected: tuple[float, float, float, float, float]  # -2, -1, 0, 1, 2 standard deviations
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
    named = failures_named(f"limit on {workspace.signal}")
    with named, pyhf_backend(NewtonOptimizer()):
        return _Scan(model, data, 0.05).limit(1 + SIGMAS.index(0), guess)


def _search(scan: _Scan) -> list[float]:
    """Observed and five expected limits."""
    sigma = scan.scale()
    guesses = [sigma * _expected(n, scan.target) for n in SIGMAS]
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


def _expected(n_sigma: int, target: float) -> float:
    """Limit in standard deviations where the asymptotic formulas are exact."""
    return float(norm.isf(target * norm.cdf(n_sigma)) + n_sigma)


def _outcome(
    workspace: Workspace, scan: _Scan, found: Sequence[float], notes: tuple[str, ...]
) -> LimitOutcome:
    # the search may have started far away
    longest = 1.5 * max(limit for limit in found if math.isfinite(limit))
    mu = sorted(point for point in scan.points if point <= longest)
    values = np.asarray([scan.points[point] for point in mu])
    observed, minus2, minus1, median, plus1, plus2 = found
    return LimitOutcome(
        signal=workspace.signal,
        confidence_level=1.0 - scan.target,
        observed=observed,
        expected=(minus2, minus1, median, plus1, plus2),
        mu=np.asarray(mu),
        observed_cls=values[:, 0],
        expected_cls=values[:, 1:],
        is_blinded=workspace.is_blinded,
        notes=notes,
    )
