"""Trained models give an event the same answer in any array; ONNX models do as estimators do."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from intccms.engine.scores import Predictor, fold_of, load
from intccms.errors import InputError
from tests.mva.small import classifier, configured

CLASSES = ("signal", "background")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4000, 7))
Y = (X @ np.arange(7) + RNG.normal(size=4000) > 0).astype(int)


def predictor(estimator: Any) -> Predictor:
    return Predictor("pickle", pickle.dumps([estimator.fit(X[:500], Y[:500])]), CLASSES)


@pytest.fixture(scope="module")
def network() -> Predictor:
    return predictor(MLPClassifier((33, 17), max_iter=4000, random_state=1))


def test_probabilities_are_those_of_the_estimator(network: Predictor) -> None:
    (estimator,) = pickle.loads(network.content)
    expected = estimator.predict_proba(X)
    np.testing.assert_allclose(network(X), expected, rtol=1e-12)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (7, 30), (1, 4000), (1535, 1538), (100, 3172)])
def test_a_matrix_product_gives_the_same_bits_in_any_array(
    network: Predictor, start: int, stop: int
) -> None:
    np.testing.assert_array_equal(network(X[start:stop]), network(X)[start:stop])


def test_so_does_a_forest_of_many_jobs() -> None:
    forest = predictor(RandomForestClassifier(20, n_jobs=1, random_state=0))
    np.testing.assert_array_equal(forest(X[30:77]), forest(X)[30:77])


def test_no_event_is_no_call() -> None:
    assert Predictor("pickle", b"no model", CLASSES)(np.empty((0, 7))).shape == (0, 2)


@pytest.fixture
def converted(
    require: Callable[[object, str], None], tmp_path: Path
) -> Callable[..., tuple[Path, LogisticRegression]]:
    """Write an ONNX model of a regression on as many features as asked for."""
    for package in ("skl2onnx", "onnxruntime"):
        require(importlib.util.find_spec(package), f"{package} is not installed")

    def convert(n_features: int = 2, **options: Any) -> tuple[Path, LogisticRegression]:
        from skl2onnx import to_onnx

        labels = options.pop("labels", Y[:500])
        model = LogisticRegression().fit(X[:500, :n_features], labels)
        sample = X[:1, :n_features].astype(np.float32)
        net = to_onnx(model, sample, options={id(model): options} if options else None)
        path = tmp_path / "net.onnx"
        path.write_bytes(net.SerializeToString())
        return path, model

    return convert


def loaded(path: Path, **more: Any) -> Predictor:
    config = configured(path.parent, path.parent / "out", mva=[classifier(**more)])
    found = load(config.mva[0], config)
    assert found is not None
    return found


@pytest.mark.parametrize("options", [{}, {"zipmap": False}])
def test_an_onnx_model_does_as_the_estimator_it_was_made_from(
    converted: Callable[..., Any], options: dict[str, Any]
) -> None:
    path, model = converted(**options)
    found = loaded(path, estimator=lambda: path)
    assert found.kind == "onnx"
    np.testing.assert_allclose(found(X[:, :2]), model.predict_proba(X[:, :2]), atol=1e-5)
    np.testing.assert_array_equal(found(X[5:60, :2]), found(X[:, :2])[5:60])


def test_names_of_classes_in_an_onnx_model_count(converted: Callable[..., Any]) -> None:
    path, model = converted(labels=np.where(Y[:500] == 1, "signal", "background"))
    found = loaded(path, estimator=lambda: path)(X[:, :2])
    assert list(model.classes_) == ["background", "signal"]
    np.testing.assert_allclose(found, model.predict_proba(X[:, :2])[:, ::-1], atol=1e-5)


def test_a_relative_path_begins_at_base_dir(converted: Callable[..., Any]) -> None:
    path, _ = converted()
    assert loaded(path, estimator=lambda: "net.onnx").content == path.read_bytes()


def test_an_onnx_model_of_one_output_gives_the_last_class(
    require: Callable[[object, str], None], tmp_path: Path
) -> None:
    require(importlib.util.find_spec("onnx"), "onnx is not installed")
    from onnx import TensorProto, helper

    sigmoid = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
        helper.make_node("Sigmoid", ["sum"], ["y"]),
    ]
    graph = helper.make_graph(
        sigmoid,
        "one",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None, 1])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "one.onnx"
    path.write_bytes(model.SerializeToString())
    found = loaded(path, estimator=lambda: path)(X[:, :2])
    expected = 1 / (1 + np.exp(-X[:, :2].sum(axis=1)))
    np.testing.assert_allclose(found, np.stack([1 - expected, expected], axis=1))


def test_an_onnx_model_of_other_features_is_refused(converted: Callable[..., Any]) -> None:
    path, _ = converted(n_features=3)
    with pytest.raises(InputError, match=r"net\.onnx cannot be used with 2 features and 2 classes"):
        loaded(path, estimator=lambda: path)


def test_an_onnx_model_of_other_classes_is_refused(converted: Callable[..., Any]) -> None:
    path, _ = converted(zipmap=False)
    three = ["signal", "ttbar", "wjets"]
    with pytest.raises(InputError, match="2 features and 3 classes"):
        loaded(path, estimator=lambda: path, classes=three)


def test_what_is_no_onnx_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(InputError, match="cannot read .*net.onnx"):
        loaded(path, estimator=lambda: path)
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match="cannot be used"):
        loaded(path, estimator=lambda: path)


def test_each_event_is_scored_by_the_model_of_its_fold() -> None:
    class Constant:
        def __init__(self, value: float) -> None:
            self.value = value

        def predict_proba(self, rows: np.ndarray) -> np.ndarray:
            return np.full((len(rows), 2), self.value)

    content = cloudpickle.dumps([Constant(i) for i in range(4)])
    predictor = Predictor("pickle", content, CLASSES, 4, 7)
    identity = np.arange(5000, dtype=np.uint64) * np.uint64(2**40 + 1)
    found = predictor(np.empty((5000, 3)), identity)[:, 0]
    np.testing.assert_array_equal(found, fold_of(identity, 4, 7))
    assert np.bincount(found.astype(int)) / 5000 == pytest.approx([0.25] * 4, abs=0.03)
    assert np.mean(fold_of(identity, 4, 8) == found) == pytest.approx(0.25, abs=0.03)
