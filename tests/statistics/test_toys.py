"""Toys: known answers, the same numbers on any executor, agreement where asymptotics hold."""

from __future__ import annotations

import numpy as np
import pyhf
import pytest
from scipy.stats import chi2, norm

from intccms.errors import InputError
from intccms.execution.executors import FuturesExecutor
from intccms.statistics import (
    Toys,
    fit,
    infer,
    limits,
    needs_toys,
    significance,
    toy_goodness_of_fit,
    toy_limits,
    toy_significance,
    with_toys,
)
from intccms.statistics.optimizer import pyhf_backend
from tests.statistics.counting import counting, rate
from tests.statistics.test_validity import exact


@pytest.mark.parametrize(("background", "n_toys"), [(0.05, 10_000), (0.5, 10_000), (3.0, 100_000)])
def test_with_nothing_observed_the_limit_is_3(background: float, n_toys: int) -> None:
    found = toy_limits(counting([0.0], [background]), Toys(n_toys))
    assert found.observed == pytest.approx(2.996, abs=4 * found.observed_error)  # exp(-s) = 0.05
    assert 0 < found.observed_error < 0.08
    assert list(found.expected) == sorted(found.expected)
    assert (found.calculator, found.n_toys) == ("toys", n_toys)


def test_one_event_on_three_of_background() -> None:
    found = toy_limits(counting([1.0], [3.0], [3.0]), Toys(40_000))
    assert found.observed == pytest.approx(exact(1, 3.0) / 3, abs=4 * found.observed_error)
    assert found.expected[2] == pytest.approx(exact(3, 3.0) / 3, abs=4 * found.expected_errors[2])


def test_toys_agree_with_asymptotic_formulas_at_high_counts() -> None:
    many = counting([1010.0], [1000.0])
    formulas, toys = limits(many), toy_limits(many, Toys(1000))
    for ours, error, asymptotic in zip(
        [toys.observed, *toys.expected],
        [toys.observed_error, *toys.expected_errors],
        [formulas.observed, *formulas.expected],
        strict=True,
    ):
        assert ours == pytest.approx(asymptotic, abs=4 * error + 0.02 * asymptotic)
    expected, found = significance(many), toy_significance(many, Toys(1000))
    tolerance = 4 * found.observed_error
    assert found.observed_p_value == pytest.approx(expected.observed_p_value, abs=tolerance)


def test_the_p_value_of_an_excess_is_that_of_poisson() -> None:
    found = toy_significance(counting([3.0], [0.5]), Toys(40_000))
    exactly = 1 - np.exp(-0.5) * (1 + 0.5 + 0.125)  # three or more
    assert found.observed_p_value == pytest.approx(exactly, abs=4 * found.observed_error)
    assert found.observed_sigmas == pytest.approx(norm.isf(exactly), abs=0.1)


def test_the_goodness_of_fit_counts_toys_that_fit_as_badly() -> None:
    workspace = counting([130.0, 85.0, 115.0], [100.0, 100.0, 100.0], [1.0, 2.0, 3.0])
    outcome = fit(workspace)
    found = toy_goodness_of_fit(workspace, outcome, Toys(1000))
    asymptotic = float(chi2.sf(outcome.chi2, 2))
    assert 0 < asymptotic < 0.1
    error = (asymptotic * (1 - asymptotic) / 1000) ** 0.5
    assert found.results.goodness_of_fit == pytest.approx(asymptotic, abs=4 * error)
    assert found.n_toys == 1000


def test_toys_of_nothing_observed_write_no_line(capfd: pytest.CaptureFixture[str]) -> None:
    workspace = counting([0.0], [0.5])
    executor = FuturesExecutor(2)
    try:
        found = toy_significance(workspace, Toys(40, run=executor.map))
    finally:
        executor.close()
    assert found.observed_p_value == 1.0
    assert capfd.readouterr().err == ""


def test_too_few_toys_are_refused() -> None:
    with pytest.raises(InputError, match="at least 20"):
        Toys(0)


def test_the_seed_decides_and_the_executor_does_not() -> None:
    workspace = counting([4.0, 1.0], [1.0, 0.5], [1.0, 2.0], of_background=[rate("xsec", 1.2)])
    outcome = fit(workspace)

    def p_value(toys: Toys) -> float:
        return toy_goodness_of_fit(workspace, outcome, toys).results.goodness_of_fit

    executor = FuturesExecutor(2)
    try:
        together = p_value(Toys(100, seed=3, run=executor.map))
    finally:
        executor.close()
    assert together == p_value(Toys(100, seed=3))
    assert together != p_value(Toys(100, seed=4))


def test_p_values_are_those_of_the_toys_of_pyhf() -> None:
    workspace = counting([5.0], [3.0], [2.0], of_background=[rate("xsec", 1.3)])
    n_toys = 200
    found = toy_significance(workspace, Toys(n_toys))
    model, data = workspace.model_and_data()
    bounds = [(0.0, 20.0) if name == "signal_strength" else (-5.0, 5.0)
              for name in model.config.par_names]  # fmt: skip
    np.random.seed(1)  # noqa: NPY002
    with pyhf_backend(pyhf.optimize.scipy_optimizer()):
        calculator = pyhf.infer.calculators.ToyCalculator(
            data,
            model,
            par_bounds=bounds,
            test_stat="q0",
            ntoys=n_toys,
            track_progress=False,
        )
        null, _ = calculator.distributions(0.0)
        p_value = float(null.pvalue(calculator.teststatistic(0.0)))
    error = found.observed_error + (p_value * (1 - p_value) / n_toys) ** 0.5
    assert found.observed_p_value == pytest.approx(p_value, abs=3 * error)


def test_nuisance_parameters_weaken_the_limit() -> None:
    certain = toy_limits(counting([3.0], [3.0]), Toys(2000))
    unsure = counting([3.0], [3.0], of_background=[rate("xsec", 2.0)])
    found = toy_limits(unsure, Toys(40))
    assert found.observed > certain.observed
    assert found.observed_error > 0


def test_toys_are_made_where_they_are_needed() -> None:
    few, many = infer(counting([0.0], [0.5])), infer(counting([100.0], [100.0]))
    assert [needs_toys(few, one) for one in ("asymptotic", "auto", "toys")] == [False, True, True]
    assert [needs_toys(many, one) for one in ("auto", "toys")] == [False, True]


def test_toys_replace_a_limit_that_was_refused() -> None:
    refused = infer(counting([0.0], [1e-3], [5.0]))
    assert refused.limits is None
    assert needs_toys(refused, "auto")
    found = with_toys(refused, Toys(2000))
    assert found.failures == ()
    assert found.limits is not None
    assert found.limits.observed == pytest.approx(0.6, abs=4 * found.limits.observed_error)
    summary = found.summary()
    assert summary["limits"]["calculator"] == "toys"
    assert summary["significance"]["n_toys"] == 2000
    assert summary["fit"]["goodness_of_fit_n_toys"] == 2000
