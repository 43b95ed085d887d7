"""How unlikely the data are without signal: p-value and significance, observed and expected."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
import pyhf
from scipy.stats import norm

from intccms.statistics.fit import failures_named
from intccms.statistics.optimizer import NewtonOptimizer, pyhf_backend
from intccms.statistics.workspace import Workspace

__all__ = ["Significance", "significance"]

log = logging.getLogger(__name__)


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
    named = failures_named(f"significance of {workspace.signal}")
    with named, pyhf_backend(NewtonOptimizer()):
        bounds = model.config.suggested_bounds()
        bounds[model.config.poi_index] = (0.0, np.inf)
        observed, expected = pyhf.infer.hypotest(
            0.0, data, model, par_bounds=bounds, test_stat="q0", return_expected=True
        )
    return Significance(float(observed), float(expected), workspace.is_blinded)
