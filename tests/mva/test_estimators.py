"""Settings of the configuration reach the estimator, weights reach its fit."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from intccms.errors import FunctionError, InputError
from intccms.mva.training import fitted, prepared
from intccms.schema import Mva
from tests.mva.small import classifier

RNG = np.random.default_rng(3)
X = RNG.normal(size=(600, 2))
Y = (X[:, 0] + 0.5 * RNG.normal(size=600) > 0).astype(int)
ONES = np.ones(600)


def logistic() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


def mva(**more: Any) -> Mva:
    return Mva.model_validate(classifier(**more))


def test_settings_reach_a_network_at_the_end_of_a_pipeline() -> None:
    made = prepared(mva(epochs=7, batch_size=32, learning_rate=0.02))
    last = made.steps[-1][1]
    assert (last.max_iter, last.batch_size, last.random_state) == (7, 32, 42)
    assert (last.learning_rate_init, last.learning_rate) == (0.02, "constant")


def test_settings_reach_boosted_trees() -> None:
    trees = mva(estimator=lambda: HistGradientBoostingClassifier(), epochs=7, learning_rate=0.3)
    made = prepared(trees)
    assert (made.max_iter, made.learning_rate) == (7, 0.3)


def test_a_seed_of_the_estimator_is_kept() -> None:
    made = prepared(mva(estimator=lambda: RandomForestClassifier(random_state=5)))
    assert made.random_state == 5


def test_without_settings_the_estimator_is_as_it_was_made() -> None:
    assert prepared(mva(estimator=lambda: MLPClassifier())).max_iter == MLPClassifier().max_iter


@pytest.mark.parametrize("setting", ["epochs", "batch_size", "learning_rate"])
def test_a_setting_without_a_parameter_is_refused(setting: str) -> None:
    with pytest.raises(InputError, match=rf"mva\.nn\.{setting}: KNeighborsClassifier has none"):
        prepared(mva(estimator=lambda: KNeighborsClassifier(), **{setting: 3}))


def test_weights_reach_the_end_of_a_pipeline() -> None:
    heavy = np.where(Y == 1, 50.0, 1.0)
    even, _ = fitted(mva(estimator=logistic), X, Y, ONES)
    shifted, is_weighted = fitted(mva(estimator=logistic), X, Y, heavy)
    assert is_weighted
    assert shifted.predict_proba(X)[:, 1].mean() > even.predict_proba(X)[:, 1].mean() + 0.1


def test_an_estimator_without_weights_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _, is_weighted = fitted(mva(estimator=lambda: KNeighborsClassifier()), X, Y, ONES)
    assert not is_weighted
    assert "takes no sample_weight" in caplog.text


def test_early_stopping_is_that_of_the_estimator() -> None:
    def network() -> Any:
        return MLPClassifier((4,), early_stopping=True, n_iter_no_change=2)

    made, _ = fitted(mva(estimator=network, epochs=500), X, Y, ONES)
    assert made.n_iter_ < 200


def test_warnings_of_a_fit_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fitted(mva(estimator=lambda: MLPClassifier((4,)), epochs=1), X, Y, ONES)
    assert "Maximum iterations (1) reached" in caplog.text


def test_a_fit_that_fails_names_the_classifier() -> None:
    with pytest.raises(FunctionError, match=r"mva\.nn\.estimator: the fit failed: .*n_neighbors"):
        fitted(mva(estimator=lambda: KNeighborsClassifier(n_neighbors=-1)), X, Y, ONES)


def test_many_jobs_train_and_one_predicts() -> None:
    forest, _ = fitted(mva(estimator=lambda: RandomForestClassifier(5, n_jobs=2)), X, Y, ONES)
    assert forest.n_jobs == 1


def test_two_fits_are_the_same() -> None:
    one, two = (fitted(mva(), X, Y, ONES)[0] for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
