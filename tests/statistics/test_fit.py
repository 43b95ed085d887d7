from __future__ import annotations

import copy
import dataclasses
import pickle

import cabinetry
import numpy as np
import pyhf
import pytest
from scipy.stats import chi2, poisson

from intccms.errors import FitError
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import POI, FitOutcome, Workspace, build_workspace, fit, ranking
from intccms.statistics.optimizer import pyhf_backend
from tests.statistics.conftest import SIGNAL_REGION, MakeBook, MakeConfig


@pytest.fixture
def workspace(config: Config, book: Book) -> Workspace:
    return build_workspace(config, book, "signal")


@pytest.fixture
def outcome(workspace: Workspace) -> FitOutcome:
    return fit(workspace)


def with_data(workspace: Workspace, channel: int, data: list[float]) -> Workspace:
    spec = copy.deepcopy(workspace.spec)
    spec["observations"][channel]["data"] = data
    return dataclasses.replace(workspace, spec=spec)


def test_the_fit_agrees_with_pyhf(workspace: Workspace, outcome: FitOutcome) -> None:
    model, data = workspace.model_and_data()
    with pyhf_backend(pyhf.optimize.minuit_optimizer(tolerance=1e-4)):
        direct, correlation, value = pyhf.infer.mle.fit(
            data,
            model,
            return_uncertainties=True,
            return_correlations=True,
            return_fitted_val=True,
        )
    poi = model.config.poi_index
    assert outcome.mu == pytest.approx(direct[poi, 0], abs=0.01 * direct[poi, 1])
    assert outcome.mu_error == pytest.approx(direct[poi, 1], rel=0.01)
    assert outcome.results.bestfit == pytest.approx(direct[:, 0], abs=0.01)
    assert outcome.results.uncertainty == pytest.approx(direct[:, 1], rel=0.01)
    assert outcome.results.corr_mat == pytest.approx(correlation, abs=0.02)
    assert outcome.results.best_twice_nll == pytest.approx(float(value), abs=1e-3)
    assert 0 < outcome.results.goodness_of_fit <= 1


def test_the_goodness_of_fit_is_that_of_the_saturated_model(
    workspace: Workspace, outcome: FitOutcome
) -> None:
    model, data = workspace.model_and_data()
    best = float(model.logpdf(outcome.results.bestfit, data)[0])
    n_main = model.config.nmaindata
    observed, auxiliary = np.asarray(data[:n_main]), np.asarray(data[n_main:])
    centres = np.asarray(model.config.suggested_init())
    saturated = poisson.logpmf(observed, observed).sum()
    saturated += float(np.asarray(model.constraint_logpdf(auxiliary, centres)).sum())
    assert outcome.chi2 == pytest.approx(2 * (saturated - best), abs=1e-6)
    assert outcome.n_dof == 6 - 1  # bins, and the signal strength
    p_value = chi2.sf(outcome.chi2, outcome.n_dof)
    assert outcome.results.goodness_of_fit == pytest.approx(p_value, abs=1e-6)


def test_an_injected_signal_is_found(config: Config, workspace: Workspace) -> None:
    injected = [102.0, 60.0, 21.0]  # background plus twice the signal
    control = [360.0, 230.0, 115.0]
    outcome = fit(with_data(with_data(workspace, 0, injected), 1, control))
    assert outcome.mu == pytest.approx(2.0, abs=0.01)
    assert all(abs(pull) < 0.01 for pull, _ in outcome.pulls.values())
    assert outcome.results.goodness_of_fit == pytest.approx(1.0, abs=1e-3)


def test_too_few_events_give_a_negative_strength(workspace: Workspace) -> None:
    outcome = fit(with_data(workspace, 0, [100.0, 38.0, 11.0]))
    assert -5 < outcome.mu < -1
    assert outcome.mu_error > 0


def test_pulls_are_in_units_of_the_prior(outcome: FitOutcome) -> None:
    assert set(outcome.pulls) == {label for label in outcome.results.labels if label != POI}
    pull, constraint = outcome.pulls["jes"]
    assert 0 < constraint < 1.01
    assert pull == outcome.results.bestfit[outcome.results.labels.index("jes")]
    index = outcome.results.labels.index("staterror_sr[0]")
    width = (8 + 2) ** 0.5 / (80 + 20)  # the signal has a parameter of its own
    pull, _ = outcome.pulls["staterror_sr[0]"]
    assert pull == pytest.approx((outcome.results.bestfit[index] - 1) / width)


def test_predictions_hold_data_and_yields_per_sample(outcome: FitOutcome) -> None:
    before = {one.channel: one for one in outcome.prefit}["sr"]
    assert before.samples == ("signal", "ttbar", "wjets")
    assert before.yields == pytest.approx(
        np.asarray([[1.0, 6.0, 3.0], [80.0, 40.0, 10.0], [20.0, 8.0, 5.0]])
    )
    assert list(before.observed) == [103.0, 50.0, 17.0]
    assert list(before.edges) == [0.0, 1.0, 2.0, 4.0]
    assert before.label == "$m$ [GeV]"
    after = {one.channel: one for one in outcome.postfit}["sr"]
    assert after.is_postfit
    assert not before.is_postfit
    assert after.errors[0] < before.errors[0]  # where there is hardly any signal
    assert np.abs(after.total - after.observed).max() < 2.5


def test_blinded_data_are_in_no_prediction(make_config: MakeConfig, book: Book) -> None:
    workspace = build_workspace(make_config(blind={"sr": (1.0, 2.0)}), book, "signal")
    outcome = fit(workspace)
    after = {one.channel: one for one in outcome.postfit}["sr"]
    assert list(np.isnan(after.observed)) == [False, True, False]
    assert workspace.spec["observations"][0]["data"] == [103.0, 48.0, 17.0]


def test_a_failed_fit_says_why(workspace: Workspace) -> None:
    with pytest.raises(FitError, match="fit of signal (did not converge|failed): .+") as caught:
        fit(with_data(workspace, 0, [np.nan, 50.0, 17.0]))
    assert "\n" not in str(caught.value)


def test_a_strength_at_the_end_of_its_range_is_noted(workspace: Workspace) -> None:
    spec = copy.deepcopy(workspace.spec)
    spec["measurements"][0]["config"]["parameters"][0]["bounds"] = [[0.0, 10.0]]
    low = with_data(dataclasses.replace(workspace, spec=spec), 0, [90.0, 30.0, 5.0])
    notes = fit(low).notes
    assert len(notes) == 1
    assert notes[0].endswith("is at the end of its range [0, 10]")


def test_what_was_repaired_is_in_the_notes(config: Config, make_book: MakeBook) -> None:
    wjets = {"nominal": [20.0, -0.5, 5.0]}
    book = make_book({**SIGNAL_REGION, "wjets": wjets})
    outcome = fit(build_workspace(config, book, "signal"))
    assert outcome.notes == ("sr, wjets: 1 negative bins set to 0",)


def test_impacts_agree_with_cabinetry(workspace: Workspace, outcome: FitOutcome) -> None:
    impacts = ranking(workspace, outcome, n_parameters=100)
    model, data = workspace.model_and_data()
    with pyhf_backend():
        direct = cabinetry.fit.ranking(
            model, data, fit_results=outcome.results, tolerance=1e-4, strategy=2
        )
    assert set(impacts.labels) == set(direct.labels)
    order = [direct.labels.index(label) for label in impacts.labels]
    tolerance = 0.005 * outcome.mu_error
    for name in ("prefit_up", "prefit_down", "postfit_up", "postfit_down"):
        expected = getattr(direct, name)[order]
        assert getattr(impacts, name) == pytest.approx(expected, abs=tolerance)
    assert impacts.bestfit == pytest.approx(direct.bestfit[order])


def test_the_ranking_is_sorted_and_as_long_as_asked(
    workspace: Workspace, outcome: FitOutcome
) -> None:
    impacts = ranking(workspace, outcome, n_parameters=3)
    assert len(impacts.labels) == 3
    largest = np.maximum(np.abs(impacts.postfit_up), np.abs(impacts.postfit_down))
    assert list(largest) == sorted(largest, reverse=True)


def test_an_outcome_travels_to_other_processes(outcome: FitOutcome) -> None:
    copied = pickle.loads(pickle.dumps(outcome))
    assert (copied.mu, copied.mu_error) == (outcome.mu, outcome.mu_error)
