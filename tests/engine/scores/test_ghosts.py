"""Which scores are computed, from which objects, and in which order."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
import pytest

from intccms.datasets import DatasetFiles
from intccms.engine.columns import declared_inputs
from intccms.engine.scores import (
    FeatureMatrix,
    Predictor,
    Score,
    column_names,
    score_class,
    with_scores,
)
from intccms.errors import InputError
from intccms.schema import Config, Mva, ObjVar, load_config
from tests.engine.small import channel as region
from tests.engine.small import config as small
from tests.engine.small import function, observable, outcome
from tests.mva.small import classifier, table


def config(tmp_path: Path, *, mva: Any = None, **parts: Any) -> Config:
    return load_config(table(tmp_path, tmp_path / "out", mva=mva) | parts)


def channel(*use: Any) -> list[dict[str, Any]]:
    selection = {"function": lambda *columns: columns[0] > 0, "use": list(use)}
    return [{"name": "all", "selection": selection}]


def ghost(name: str, *use: Any) -> dict[str, Any]:
    return {"names": name, "collections": "own", "function": lambda x: x, "use": list(use)}


def made(found: Config) -> list[str]:
    return [one.names[0] for one in found.ghost_observables]


def test_a_score_that_nobody_reads_needs_no_model(tmp_path: Path) -> None:
    assert made(with_scores(config(tmp_path, channels=channel(("Jet", "pt"))))) == []


def test_a_score_that_is_read_needs_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained model"):
        with_scores(config(tmp_path))
    assert made(with_scores(config(tmp_path), trained=False)) == ["nn"]


def test_who_reads_the_whole_collection_may_not_mean_the_score(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = config(tmp_path, channels=channel(("mva", None)))
    with caplog.at_level(logging.WARNING):
        assert made(with_scores(whole)) == []
    assert "no score nn" in caplog.text
    assert made(with_scores(whole, trained=False)) == ["nn"]


def test_a_ghost_that_reads_a_score_comes_after_it(tmp_path: Path) -> None:
    ghosts = [ghost("st", ("Jet", None)), ghost("cut", ("mva", "nn")), ghost("n", ("Jet", None))]
    found = with_scores(config(tmp_path, ghost_observables=ghosts), trained=False)
    assert made(found) == ["st", "nn", "cut", "n"]


def test_a_classifier_may_use_the_score_of_one_before_it(tmp_path: Path) -> None:
    second = classifier(name="second")
    second["features"].append({"name": "s", "function": lambda s: s, "use": [("mva", "nn")]})
    both = config(tmp_path, mva=[classifier(), second], channels=channel(("mva", "second")))
    assert made(with_scores(both, trained=False)) == ["nn", "second"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = [ghost("nn", ("Jet", None)) | {"collections": "mva"}]
    with pytest.raises(InputError, match=r"mva\.nn: a derived column has the same name"):
        with_scores(config(tmp_path, ghost_observables=twice), trained=False)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["signal", {"background": ("ttbar", "wjets")}], 0),
        (["ttbar", "signal"], 1),
        (["ttbar", "wjets"], 1),
        (["ttbar", {"new": ("signal",)}, "wjets"], 1),
    ],
)
def test_the_score_is_the_probability_of_the_signal(
    tmp_path: Path, classes: list[Any], expected: int
) -> None:
    found = config(tmp_path, mva=[classifier(classes=classes)])
    assert score_class(found.mva[0], found) == expected


def test_of_more_than_two_classes_each_has_a_column(tmp_path: Path) -> None:
    found = config(tmp_path, mva=[classifier(classes=["signal", "ttbar", "wjets"])])
    assert column_names(found.mva[0]) == ("nn", "nn_signal", "nn_ttbar", "nn_wjets")
    (only,) = with_scores(found, trained=False).ghost_observables
    assert only.function.columns == (0, 0, 1, 2)


class Sum:
    """Gives the sum of the features as a probability: enough to see what they were."""

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.stack([x.sum(axis=1), x.sum(axis=1)], axis=1)


def test_features_see_the_objects_of_the_mva_masks(few: Path) -> None:
    jets = [("Jet", None)]
    feature = {"name": "n", "function": lambda jets: ak.num(jets), "use": jets}
    mva = Mva.model_validate(classifier(classes=["mc", "other"], features=[feature]))
    predictor = Predictor("pickle", cloudpickle.dumps([Sum()]), ("mc", "other"))
    score = Score(FeatureMatrix.of(mva), predictor, (0,))

    def filled(name: str, made_by: Any) -> np.ndarray:
        masks = {
            "analysis": [{"object": "Jet", **function(lambda pt: pt > 80, ("Jet", "pt"))}],
            "mva": [{"object": "Jet", **function(lambda pt: pt > 30, ("Jet", "pt"))}],
        }
        column = {"names": name, "collections": "mva", "function": made_by, "use": jets}
        shown = observable("n", lambda n: n, ("mva", name), edges=[0, 1, 2, 3, 4, 9])
        parts = {"good_object_masks": masks, "ghost_observables": [column]}
        return outcome(few, small(**parts, channels=[region("all", [shown])]))["nominal"]

    of_score = filled("nn", score)
    np.testing.assert_array_equal(of_score, filled("n", lambda jets: ak.num(jets)))
    assert np.count_nonzero(of_score) > 3


def test_inputs_of_features_are_declared_and_scores_are_not_in_the_file(tmp_path: Path) -> None:
    files = DatasetFiles("ttbar", "ttbar", None, False, 1.0, ("a.root",))
    refs = declared_inputs(config(tmp_path), files)
    assert ObjVar("PuppiMET", "pt") in refs
    assert "mva" not in {ref.obj for ref in refs}
