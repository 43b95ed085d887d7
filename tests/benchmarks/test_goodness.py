"""Data of the sample are what its simulation says: p-values are flat, yields and strength agree."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from benchmarks.goodness import fits
from intccms.statistics import FitOutcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # 50 s of CPU
N_SEEDS = 20
LEAST = 0.01  # p-value of the Kolmogorov-Smirnov test: a right sample fails it once in 100
MOST_SIGMAS = 3.0


@pytest.fixture(scope="module")
def found() -> list[FitOutcome]:
    return list(fits(N_SEEDS, events_per_file=3000, luminosity=0.08, systematics=False))


def test_p_values_of_twenty_seeds_are_flat(found: list[FitOutcome]) -> None:
    p_values = [one.results.goodness_of_fit for one in found]
    assert len(set(p_values)) == N_SEEDS
    assert kstest(p_values, "uniform").pvalue > LEAST


def test_strengths_and_yields_average_to_what_the_data_were_made_of(
    found: list[FitOutcome],
) -> None:
    pulls = np.asarray([one.mu / one.mu_error for one in found])
    assert abs(pulls.mean()) * N_SEEDS**0.5 < MOST_SIGMAS
    regions = [region for one in found for region in one.prefit]
    observed = sum(region.observed.sum() for region in regions)
    signals = [region.yields[region.samples.index("signal")] for region in regions]
    expected = sum(float((r.total - s).sum()) for r, s in zip(regions, signals, strict=True))
    error = (observed + sum(float((region.errors**2).sum()) for region in regions)) ** 0.5
    assert error < 0.03 * expected
    assert abs(observed - expected) < MOST_SIGMAS * error
