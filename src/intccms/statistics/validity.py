"""Where the asymptotic distributions of the test statistics do not hold: few expected events."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyhf

__all__ = ["FEWEST_EVENTS", "few_events", "sensitive_background"]

Array = npt.NDArray[np.float64]

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
