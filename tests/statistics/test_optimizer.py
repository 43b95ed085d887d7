from __future__ import annotations

import numpy as np
import pyhf
import pytest

from benchmarks.fits import random_model
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import build_workspace, fit
from intccms.statistics.optimizer import Expectation, NewtonOptimizer, minimum, pyhf_backend

MINUIT = pyhf.optimize.minuit_optimizer(tolerance=1e-4)


@pytest.fixture
def model_and_data(config: Config, book: Book) -> tuple[pyhf.Model, list[float]]:
    return build_workspace(config, book, "signal").model_and_data()


def best(optimizer: object, model: pyhf.Model, data: list[float], mu: float | None = None):
    with pyhf_backend(optimizer):
        if mu is None:
            return pyhf.infer.mle.fit(data, model, return_fitted_val=True)
        return pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)


@pytest.mark.parametrize("mu", [None, 0.0, 3.0])
def test_it_finds_the_minimum_that_minuit_finds(
    model_and_data: tuple[pyhf.Model, list[float]], mu: float | None
) -> None:
    parameters, value = best(NewtonOptimizer(), *model_and_data, mu)
    expected, lowest = best(MINUIT, *model_and_data, mu)
    assert float(value) == pytest.approx(float(lowest), abs=1e-5)
    assert parameters == pytest.approx(expected, abs=2e-3)


def test_the_lower_of_two_minima_is_found() -> None:
    # 284 sources: Newton steps end at 808.981 from any start, Minuit at 808.792 from one of three
    model, data = random_model(147)[1].model_and_data()
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, np.inf)
    with pyhf_backend(NewtonOptimizer()):
        _, value = pyhf.infer.mle.fixed_poi_fit(
            0.0, data, model, par_bounds=bounds, return_fitted_val=True
        )
    assert float(value) == pytest.approx(808.7922, abs=1e-3)


def test_a_parameter_stops_at_its_bound(config: Config, book: Book) -> None:
    model, data = build_workspace(config, book, "signal").model_and_data()
    data = [0.5 * one for one in data[: model.config.nmaindata]] + data[model.config.nmaindata :]
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, np.inf)
    with pyhf_backend(NewtonOptimizer()):
        free = pyhf.infer.mle.fit(data, model)
        bounded = pyhf.infer.mle.fit(data, model, par_bounds=bounds)
    assert free[model.config.poi_index] < -1
    assert bounded[model.config.poi_index] == pytest.approx(0.0, abs=1e-4)


def test_the_same_fit_is_not_done_twice(model_and_data: tuple[pyhf.Model, list[float]]) -> None:
    optimizer = NewtonOptimizer()
    first, _ = best(optimizer, *model_and_data)
    first[:] = 0.0  # what was handed out is a copy
    n_known = len(optimizer.known)
    second, _ = best(optimizer, *model_and_data)
    assert len(optimizer.known) == n_known
    assert second.any()


def test_data_that_are_not_a_number_fail(model_and_data: tuple[pyhf.Model, list[float]]) -> None:
    model, data = model_and_data
    with pytest.raises((ValueError, pyhf.exceptions.FailedMinimization)):
        best(NewtonOptimizer(), model, [np.nan, *data[1:]])


def test_the_backend_is_restored_after_an_error() -> None:
    before = pyhf.get_backend()
    with pytest.raises(KeyError), pyhf_backend(NewtonOptimizer()):
        raise KeyError
    assert pyhf.get_backend() == before


def test_a_bad_fit_is_begun_farther_away() -> None:
    # chi2 of 100 with 21 bins: pulls of up to 5; one unit away only the worse minimum is found
    model, data = random_model(12)[1].model_and_data()
    assert float(best(NewtonOptimizer(), model, data)[1]) < 245.011 - 10.0


def test_a_minimum_where_the_signal_takes_away_is_found() -> None:
    # one near 2.085 is 0.65 higher
    outcome = fit(random_model(118)[1])
    assert outcome.mu == pytest.approx(-0.2688, abs=1e-3)
    assert outcome.results.best_twice_nll == pytest.approx(411.4180, abs=1e-3)


def test_a_long_valley_is_followed_to_its_end() -> None:
    model, data = random_model(23)[1].model_and_data()  # 101 parameters, no signal
    bounds = np.asarray(model.config.suggested_bounds())
    start = np.asarray(model.config.suggested_init())
    _, value = minimum(Expectation(model), data, start, bounds, {model.config.poi_index: 0.0})
    assert value == pytest.approx(39.2703, abs=1e-3)


def test_what_did_not_converge_says_where_it_ended(
    model_and_data: tuple[pyhf.Model, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intccms.statistics.optimizer.MOST_STEPS", 1)
    with pytest.raises(pyhf.exceptions.FailedMinimization, match=r"-2 ln L = .* is no minimum"):
        best(NewtonOptimizer(), *model_and_data)
