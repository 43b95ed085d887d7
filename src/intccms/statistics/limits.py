"""Expected and observed upper limits on the signal strength: asymptotic CLs from pyhf."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyhf
from scipy.optimize import brentq
from scipy.stats import norm

from intccms.errors import FitError
from intccms.statistics.fit import failures_named
from intccms.statistics.optimizer import LeastSquaresOptimizer, pyhf_backend
from intccms.statistics.workspace import Workspace

__all__ = ["LimitOutcome", "limits"]

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]

PRECISION = 1e-3  # of ln(CLs / target); a limit changes by a few times less
SENSITIVE = (0.3, 30.0)  # sqrt(q_mu) of the Asimov set between which its slope says enough
LARGEST = 1e9  # a limit above it: there is nothing to set a limit with
BELOW = (0.05, 0.25, 0.5, 0.75)  # of the lowest limit: more points, to draw CLs from 1 on
SIGMAS = (-2, -1, 0, 1, 2)


@dataclass(frozen=True)
class LimitOutcome:
    """Upper limits on the signal strength, and the CLs values they were found from."""

    signal: str
    confidence_level: float
    observed: float
    expected: tuple[float, float, float, float, float]  # -2, -1, 0, 1, 2 standard deviations
    mu: Array  # (n_points,), ascending
    observed_cls: Array  # (n_points,)
    expected_cls: Array  # (n_points, 5)
    is_blinded: bool  # in some bins the expected background stood in for data


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
        mu = 1.0
        while mu < LARGEST:
            self.cls(mu)
            low, high = SENSITIVE
            if low < self.sensitivity < high:
                return mu / self.sensitivity
            mu *= 10.0 if self.sensitivity <= low else 0.1
        raise ValueError(f"no sensitivity: a signal strength of {LARGEST:g} could not be excluded")

    def limit(self, which: int, guess: float) -> float:
        """Signal strength at which one of the CLs values crosses the target."""
        self.distance(guess, which)
        high = guess
        while self.distance(high, which) > 0:
            high *= 1.3
            if high > LARGEST:
                raise ValueError(f"no limit below a signal strength of {LARGEST:g}")
        low = max((mu for mu in self.points if self.distance(mu, which) > 0), default=0.0)
        high = min(mu for mu in self.points if mu > low)
        return float(brentq(self.distance, low, high, args=(which,), rtol=PRECISION, xtol=1e-12))


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
        If a fit fails or the data cannot exclude any signal strength.

    References
    ----------
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, equations 62 and 89; A. L. Read,
    J. Phys. G 28 (2002) 2693.
    """
    model, data = workspace.model_and_data()
    scan = _Scan(model, data, 1.0 - confidence_level)
    with failures_named(f"limit on {workspace.signal}"), pyhf_backend(LeastSquaresOptimizer()):
        sigma = scan.scale()
        guesses = [sigma * _expected(n, scan.target) for n in SIGMAS]
        found = [scan.limit(1 + i, guess) for i, guess in enumerate(guesses)]
        observed = scan.limit(0, found[2])
        for fraction in BELOW:
            scan.cls(fraction * min(observed, *found))
    if not np.isfinite([observed, *found]).all():
        raise FitError(f"limit on {workspace.signal} is not a number")
    return _outcome(workspace, scan, observed, found)


def _expected(n_sigma: int, target: float) -> float:
    """Limit in standard deviations where the asymptotic formulas are exact."""
    return float(norm.isf(target * norm.cdf(n_sigma)) + n_sigma)


def _outcome(
    workspace: Workspace, scan: _Scan, observed: float, expected: Sequence[float]
) -> LimitOutcome:
    longest = 1.5 * max(observed, *expected)  # the search may have started far away
    mu = sorted(point for point in scan.points if point <= longest)
    values = np.asarray([scan.points[point] for point in mu])
    minus2, minus1, median, plus1, plus2 = expected
    return LimitOutcome(
        signal=workspace.signal,
        confidence_level=1.0 - scan.target,
        observed=observed,
        expected=(minus2, minus1, median, plus1, plus2),
        mu=np.asarray(mu),
        observed_cls=values[:, 0],
        expected_cls=values[:, 1:],
        is_blinded=workspace.is_blinded,
    )
