"""ROC curves, the test for over-training and the importance of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from intccms.datasets import Fileset
from intccms.engine.results import AnalysisResult
from intccms.mva import Trained, train
from intccms.mva.evaluation import ks_p_value, sample_of
from intccms.schema import Config
from tests.mva.conftest import collected
from tests.mva.small import classifier, configured

Events = tuple[AnalysisResult, Fileset]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    base = tmp_path_factory.mktemp("nothing")
    return configured(base, base / "out", mva=[classifier()])


def trained(config: Config, events: Events, **more: Any) -> Trained:
    analysis, fileset = events
    out = config.general.path("output_dir")
    whole = configured(out.parent, out, mva=[classifier(**more)])
    return train(whole.mva[0], whole, fileset, analysis)


def test_the_auc_is_that_of_scikit_learn(config: Config, events: Events) -> None:
    found = trained(config, events)
    analysis, fileset = events
    sample = sample_of(config.mva[0], fileset, analysis)
    scaled = np.stack([sample.values[:, 0], np.log1p(sample.values[:, 1])], axis=1)
    score = found.predictor.by_fold(scaled, sample.folds)[:, 0]
    expected = roc_auc_score(sample.labels == 0, score, sample_weight=sample.weights)
    _, validation = found.evaluation.curves["signal"]
    assert validation.auc == pytest.approx(expected)
    assert found.record["auc"]["signal"]["validation"] == validation.auc


def test_a_forest_that_knows_its_events_by_heart_is_found_out(
    config: Config, events: Events
) -> None:
    deep = trained(config, events, estimator=lambda: RandomForestClassifier(20), folds=1)
    simple = trained(config, events, folds=1)
    assert deep.record["auc"]["signal"]["training"] > 0.99
    assert max(deep.record["overtraining_p_value"].values()) < 1e-10
    assert min(simple.record["overtraining_p_value"].values()) > 1e-3
    (message,) = deep.record["messages"]
    assert "over-trained: the scores of signal" in message
    assert "templates hold training events" in message
    assert simple.record["messages"] == []
    assert deep.evaluation.importance.of == "Importance in the estimator"
    assert deep.evaluation.importance.values.sum() == pytest.approx(1)


def test_a_permuted_feature_costs_what_it_is_worth(
    config: Config, classes: Path, tmp_path: Path
) -> None:
    noise = {"name": "noise", "function": lambda event: event % 7, "use": [("event", "event")]}
    features = [*classifier()["features"], noise]
    events = collected(classes, tmp_path, mva=[classifier(features=features)])
    found = trained(config, events, features=features).evaluation
    assert found.importance.of == "Loss of AUC when it is permuted"
    importance = dict(zip(found.features, found.importance.values, strict=True))
    assert importance["met"] > importance["noise"] + 0.05
    assert abs(importance["noise"]) < 0.02


def test_three_classes_have_a_curve_each(config: Config, events: Events) -> None:
    found = trained(config, events, classes=["signal", "ttbar", "wjets"])
    assert set(found.record["auc"]) == {"signal", "ttbar", "wjets"}
    assert found.record["score"] == "signal"
    auc = found.record["auc"]
    assert auc["signal"]["validation"] > 0.7 > auc["ttbar"]["validation"]


def test_what_is_shown_can_be_chosen(config: Config, events: Events) -> None:
    found = trained(config, events, plot_classes=["signal", "ttbar"]).evaluation
    assert set(found.scores) == {"signal", "ttbar"}
    label, shapes = found.features["ht"]
    assert label == "ht"
    assert set(shapes) == {"signal", "ttbar"}
    np.testing.assert_array_equal(shapes["ttbar"].edges, np.linspace(0, 1000, 21))


def test_shapes_have_unit_area(config: Config, events: Events) -> None:
    for shapes in trained(config, events).evaluation.scores.values():
        for shape in shapes[:2]:
            assert np.sum(shape.values * np.diff(shape.edges)) == pytest.approx(1)


def test_equal_weights_give_the_usual_kolmogorov_smirnov_test() -> None:
    rng = np.random.default_rng(5)
    for shift in (0.0, 0.1, 0.3):
        one, two = rng.normal(size=700), rng.normal(shift, size=900)
        expected = ks_2samp(one, two, method="asymp").pvalue
        found = ks_p_value((one, np.ones(700)), (two, np.full(900, 2.5)))
        assert found == pytest.approx(expected, rel=0.3, abs=1e-6)


def test_a_weight_counts_as_so_many_events_in_the_distribution() -> None:
    values = np.array([1.0, 2.0, 3.0])
    repeated = np.repeat(values, [1, 2, 5])
    p = ks_p_value((values, np.array([1.0, 2.0, 5.0])), (repeated, np.ones(8)))
    assert p == pytest.approx(1)


def test_without_events_there_is_no_p_value() -> None:
    nothing = np.empty(0)
    assert np.isnan(ks_p_value((nothing, nothing), (np.ones(3), np.ones(3))))
