"""How wrong asymptotic limits are with few events, by exact CLs of one counting experiment."""

from __future__ import annotations

import pytest
from scipy.optimize import brentq
from scipy.stats import poisson

from intccms.statistics import limits
from intccms.statistics.limits import FEWEST_EVENTS, sensitive_background
from tests.statistics.counting import counting


def exact(observed: int, background: float) -> float:
    """Return the limit for which P(n <= observed | s + b) / P(n <= observed | b) is 0.05."""
    below = poisson.cdf(observed, background)
    return brentq(lambda s: poisson.cdf(observed, s + background) / below - 0.05, 1e-6, 100.0)


@pytest.mark.parametrize(
    ("observed", "background", "too_low"),
    [(0, 0.05, 0.34), (0, 0.5, 0.26), (0, 3.0, 0.14), (4, 10.0, 0.08), (12, 20.0, 0.05)],
)
def test_the_asymptotic_limit_is_too_low_by_so_much(
    observed: int, background: float, too_low: float
) -> None:
    found = limits(counting([float(observed)], [background]))
    assert 1 - found.observed / exact(observed, background) == pytest.approx(too_low, abs=0.01)
    assert bool(found.notes) == (background < FEWEST_EVENTS)


def test_only_bins_that_carry_the_sensitivity_count() -> None:
    model, _ = counting([0.0] * 3, [1000.0, 4.0, 0.5], [0.1, 4.0, 3.0]).model_and_data()
    assert sensitive_background(model, 1.0) == 4.5
    model, _ = counting([0.0] * 2, [1000.0, 1e-3], [1.0, 5.0]).model_and_data()
    assert sensitive_background(model, 1.0) == 1e-3
