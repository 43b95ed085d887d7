"""From a configuration to a score in the histograms, and again in a later run."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from intccms import pipeline
from intccms.datasets import Fileset
from intccms.engine.results import AnalysisResult
from intccms.errors import FunctionError, IncompleteError, InputError
from intccms.mva import save, train
from intccms.pipeline import RunResult
from intccms.schema import load_config
from tests.histograms.test_storage import Planted
from tests.mva.small import classifier, configured, table
from tests.pipeline.runs import Watcher

PAIR = ("signal", "ttbar")
VARIATIONS = ["nominal", "jes_up", "jes_down"]


def bits(result: RunResult) -> bytes:
    assert result.book is not None
    return result.book.histograms["all", "score"].view(flow=True).tobytes()


def template(result: RunResult, process: str, variation: str = "nominal") -> np.ndarray:
    assert result.book is not None
    histogram = result.book.histograms["all", "score"]
    return histogram[:, process, variation].values()


def again(trained: RunResult, out: Path, base: Path, *, mva: Any = None, **more: Any) -> RunResult:
    """Run with the models of an earlier run."""
    shutil.copytree(trained.output.directory / "mva", out / "mva")
    config = configured(base, out, mva=mva, **more)
    with pipeline.Stages(config) as stages:
        stages.count_files()
        stages.process()
        return stages.finish()


def test_the_score_separates_signal_from_background(trained: RunResult) -> None:
    centers = np.arange(0.025, 1, 0.05)
    mean = {
        process: np.average(centers, weights=template(trained, process))
        for process in ("signal", "ttbar", "wjets")
    }
    assert mean["signal"] > mean["ttbar"] + 0.1
    assert mean["signal"] > mean["wjets"] + 0.1


def test_an_object_variation_moves_the_score(trained: RunResult) -> None:
    nominal, up, down = (template(trained, "ttbar", name) for name in VARIATIONS)
    centers = np.arange(0.025, 1, 0.05)
    means = [np.average(centers, weights=one) for one in (down, nominal, up)]
    assert means[0] < means[1] < means[2]  # harder jets look like signal


def test_metadata_account_for_every_event(trained: RunResult, classes: Path) -> None:
    record = json.loads((trained.output.mva_dir("nn") / "model.json").read_text())
    for process in ("signal", "ttbar", "wjets"):
        files = sorted((classes / process).iterdir())
        n_jets = [uproot.open(path)["Events"]["nJet"].array(library="np") for path in files]
        found = record["datasets"][process]
        n = int(np.sum(np.concatenate(n_jets) >= 2))
        assert found["past_baseline"] == n
        assert found["zero_weight_left_out"] > 0
        # with folds each event is on both sides, never in one model
        assert found["training"] == found["validation"] == n - found["zero_weight_left_out"]
        assert found["negative_weight"] > 0.1 * n
        assert found["lost"] == 0
    assert record["events"]["background"]["training"] == sum(
        record["datasets"][process]["training"] for process in ("ttbar", "wjets")
    )
    expected = [["signal", ["signal"]], ["background", ["ttbar", "wjets"]]]
    assert record["made_for"]["classes"] == expected
    assert record["score"] == "signal"
    assert record["auc"]["signal"]["validation"] > 0.75
    assert set(record["overtraining_p_value"]) == {"signal", "background"}


@pytest.mark.parametrize("folds", [1, 5])
def test_what_only_knows_its_events_by_heart_separates_nothing_where_there_are_folds(
    classes: Path, tmp_path: Path, folds: int, caplog: pytest.LogCaptureFixture
) -> None:
    # all processes have the same directions
    noise = [{"name": "phi", "function": lambda phi: phi, "use": [("PuppiMET", "phi")]}]
    block = classifier(
        folds=folds,
        features=noise,
        estimator=lambda: DecisionTreeClassifier(),
        balance_strategy="class_weight",
    )
    config = configured(classes, tmp_path, mva=[block], run_mva_training=True)
    parts = config.channels[0].model_copy(update={"selection": None})
    run = pipeline.run(config.model_copy(update={"channels": (parts,)}))
    assert run.book is not None
    filled = run.book.histograms["all", "score"]
    # squares of weights, which are all alike; a score of 1 is above the last edge
    counts = [filled[:, name, "nominal"].variances(flow=True) for name in PAIR]
    difference = np.subtract(*(one[11:].sum() / one.sum() for one in counts))
    assert abs(difference) < 0.1 if folds == 5 else difference > 0.3
    assert "over-trained" in caplog.text
    (message,) = run.summary["mva"]["nn"]["messages"]
    assert ("templates hold training events" in message) == (folds == 1)


def test_figures_are_saved_beside_the_model(trained: RunResult) -> None:
    folder = trained.output.mva_dir("nn")
    names = {"roc", "score", "importance", "feature_ht", "feature_met"}
    assert {path.stem for path in folder.glob("*.png")} == names
    assert {path.stem for path in folder.glob("*.pdf")} == names
    assert {folder / f"{name}.png" for name in names} <= set(trained.plots)


def test_a_later_run_gives_the_same_bits_in_chunks_of_another_size(
    trained: RunResult, classes: Path, tmp_path: Path
) -> None:
    assert bits(again(trained, tmp_path, classes, chunk_size=177)) == bits(trained)


def test_processes_give_the_same_bits(trained: RunResult, classes: Path, tmp_path: Path) -> None:
    result = again(trained, tmp_path, classes, executor="futures", n_workers=2, chunk_size=500)
    assert bits(result) == bits(trained)


def test_a_dask_cluster_gives_the_same_bits(
    trained: RunResult, classes: Path, tmp_path: Path
) -> None:
    result = again(trained, tmp_path, classes, executor="dask", n_workers=2, chunk_size=450)
    assert bits(result) == bits(trained)


def test_small_slabs_of_variations_give_the_same_bits(
    trained: RunResult, classes: Path, tmp_path: Path
) -> None:
    result = again(trained, tmp_path, classes, batch_memory_mb=0.05, check_functors=True)
    assert bits(result) == bits(trained)


def test_training_again_on_workers_gives_the_same_model(
    trained: RunResult, classes: Path, tmp_path: Path
) -> None:
    watcher = Watcher()
    more: dict[str, Any] = {"executor": "futures", "n_workers": 2, "chunk_size": 411}
    config = configured(classes, tmp_path, run_mva_training=True, **more)
    with pipeline.Stages(config, observer=watcher) as stages:
        stages.count_files()
        record = stages.train()["nn"].record
    before = json.loads((trained.output.mva_dir("nn") / "model.json").read_text())
    assert record["model_sha256"] == before["model_sha256"]
    assert watcher.stages == ["counting events", "collecting training events", "training of nn"]


def test_results_are_reused_with_the_same_model_only(
    trained: RunResult,
    events: tuple[AnalysisResult, Fileset],
    classes: Path,
    tmp_path: Path,
) -> None:
    def statuses(result: RunResult) -> set[str]:
        assert result.analysis is not None
        return {receipt.status for receipt in result.analysis.reports}

    assert "resumed" not in statuses(again(trained, tmp_path, classes))
    shutil.rmtree(tmp_path / "mva")
    assert statuses(again(trained, tmp_path, classes)) == {"resumed"}
    config = configured(classes, tmp_path, mva=[classifier(random_state=1)])
    analysis, fileset = events
    other = train(config.mva[0], config, fileset, analysis)
    shutil.rmtree(tmp_path / "mva")
    save(other, tmp_path / "mva" / "nn")
    with pipeline.Stages(config) as stages:
        stages.count_files()
        stages.process()
        assert "resumed" not in statuses(stages.finish())


def test_an_onnx_model_takes_the_place_of_the_estimator(
    classes: Path, tmp_path: Path, require: Callable[[object, str], None]
) -> None:
    for package in ("skl2onnx", "onnxruntime"):
        require(importlib.util.find_spec(package), f"{package} is not installed")
    from skl2onnx import to_onnx

    alone = [classifier(folds=1)]
    once = pipeline.run(configured(classes, tmp_path / "1", mva=alone, run_mva_training=True))
    (model,) = pickle.loads((once.output.mva_dir("nn") / "model.pkl").read_bytes())
    options = {id(model): {"zipmap": False}}  # which knows no float64
    net = to_onnx(model, np.zeros((1, 2)), options=options)
    path = tmp_path / "net.onnx"
    path.write_bytes(net.SerializeToString())
    foreign = [classifier(estimator=lambda: path)]
    results = [
        pipeline.run(
            configured(classes, tmp_path / f"{size}", mva=foreign, chunk_size=size, **more)
        )
        for size, more in ((300, {"run_mva_training": True}), (177, {}))
    ]
    assert bits(results[0]) == bits(results[1])
    assert not (tmp_path / "300" / "mva").exists()  # there was nothing to train
    for variation in VARIATIONS:
        expected = template(once, "ttbar", variation)
        np.testing.assert_allclose(template(results[0], "ttbar", variation), expected, rtol=1e-6)


def stale(name: str) -> dict[str, Any]:
    """Return the classifier with something that no longer fits its model."""
    block = classifier()
    if name == "features":
        block["features"] = block["features"][:1]
    elif name == "classes":
        block["classes"] = ["signal", "ttbar"]
    elif name == "functions":
        block["features"][1]["function"] = lambda pt: 2 * pt
    elif name == "scale":
        block["features"][1]["scale"] = None
    elif name == "folds":
        block["folds"] = 4
    return block


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("features", r"trained with other features: \['ht', 'met'\], now \['ht'\]"),
        ("classes", r"trained with other classes: \[\['signal'"),
        ("functions", "trained with other functions"),
        ("scale", "trained with other functions"),
        ("folds", r"trained with other folds: \[5, 42\], now \[4, 42\]"),
    ],
)
def test_a_model_of_something_else_is_refused(
    trained: RunResult, classes: Path, tmp_path: Path, change: str, says: str
) -> None:
    with pytest.raises(InputError, match=says) as refused:
        again(trained, tmp_path, classes, mva=[stale(change)])
    assert "general.run_mva_training=True" in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mva"]


def test_a_model_of_another_version_is_refused(
    trained: RunResult, classes: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained.output.directory / "mva", tmp_path / "mva")
    path = tmp_path / "mva" / "nn" / "model.json"
    record = json.loads(path.read_text())
    before = record["made_for"]
    path.write_text(
        json.dumps(record | {"made_for": before | {"versions": {"scikit-learn": "0.1"}}})
    )
    with pytest.raises(InputError, match=r"other versions: \{'scikit-learn': '0\.1'\}, now"):
        pipeline.run(configured(classes, tmp_path))


@pytest.mark.parametrize("name", ["model.pkl", "model.json"])
def test_a_damaged_model_is_refused(
    trained: RunResult, classes: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(trained.output.directory / "mva", tmp_path / "mva")
    path = tmp_path / "mva" / "nn" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged|cannot be read"):
        pipeline.run(configured(classes, tmp_path))


def test_a_model_that_somebody_has_put_there_is_not_loaded(
    trained: RunResult, classes: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained.output.directory / "mva", tmp_path / "mva")
    folder = tmp_path / "mva" / "nn"
    planted = pickle.dumps(Planted(tmp_path / "ran"))
    (folder / "model.pkl").write_bytes(planted)
    record = json.loads((folder / "model.json").read_text())
    record["model_sha256"] = hashlib.sha256(planted).hexdigest()
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="this user has not trained it"):
        pipeline.run(configured(classes, tmp_path))
    assert not (tmp_path / "ran").exists()


def test_without_a_model_the_run_says_how_to_train_one(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no trained model in .*general\.run_mva_training=True"):
        pipeline.run(configured(classes, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_another_estimator_is_only_noted(
    trained: RunResult, classes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        result = again(trained, tmp_path, classes, mva=[classifier(epochs=50)])
    assert "was trained with another estimator" in caplog.text
    assert bits(result) == bits(trained)


def test_a_lost_file_stops_the_training(
    classes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = tmp_path / "in"
    shutil.copytree(classes, base)
    damaged = base / "ttbar" / "1.root"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    config = configured(base, tmp_path / "out", run_mva_training=True)
    with pytest.raises(IncompleteError, match=r"no training: .*'ttbar', .*1\.root"):
        pipeline.run(config)
    allowed = configured(base, tmp_path / "out", run_mva_training=True, max_lost_fraction=0.5)
    with pipeline.Stages(allowed) as stages:
        stages.count_files()
        record = stages.train()["nn"].record
    assert record["datasets"]["ttbar"]["lost"] is None  # how many it had is not known
    assert record["datasets"]["signal"]["lost"] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"estimator": lambda: SVC}, "returns the class SVC"),
        ({"estimator": lambda: SVC()}, "SVC has no predict_proba"),
        ({"estimator": lambda: 1 / 0}, "ZeroDivisionError"),
        ({"estimator": lambda: "net.pt"}, r"'net.pt' is not the path of an \.onnx file"),
        ({"epochs": 5, "estimator": lambda: GaussianNB()}, "mva.nn.epochs: GaussianNB has none"),
        ({"learning_rate": 0.1, "estimator": lambda: GaussianNB()}, "learning_rate: GaussianNB"),
        ({"random_state": -1}, "random_state"),
        ({"classes": ["signal", {"all": ("ttbar", "signal")}]}, "a process is in two"),
        (
            {
                "estimator": lambda: KNeighborsClassifier(),
                "balance_strategy": "class_weight",
            },
            "takes no sample_weight; 'undersample'",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_is_written(
    classes: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    config = configured(
        classes, tmp_path / "out", mva=[classifier(**change)], run_mva_training=True
    )
    with pytest.raises(InputError, match=says):
        pipeline.run(config)
    assert list(tmp_path.iterdir()) == []


def test_a_class_whose_processes_are_left_out_is_refused(classes: Path, tmp_path: Path) -> None:
    config = configured(
        classes, tmp_path / "out", run_mva_training=True, processes=["ttbar", "wjets"]
    )
    with pytest.raises(InputError, match=r"no events of class 'signal' \['signal'\]"):
        pipeline.run(config)


def test_a_feature_may_not_use_a_score_of_the_same_training(classes: Path, tmp_path: Path) -> None:
    second = classifier(name="second")
    second["features"].append(
        {"name": "first", "function": lambda score: score, "use": [("mva", "nn")]}
    )
    config = configured(
        classes, tmp_path / "out", mva=[classifier(), second], run_mva_training=True
    )
    with pytest.raises(InputError, match=r"mva\.second\.features\.first uses a score"):
        pipeline.run(config)


def test_a_column_that_only_the_training_needs_is_missed_before_anything_is_written(
    classes: Path, tmp_path: Path
) -> None:
    parts = table(classes, tmp_path / "out", run_mva_training=True)
    parts["mva"][0]["features"][1]["use"] = [("PuppiMET", "sumEt")]
    parts["channels"][0]["selection"] = None
    parts["channels"][0]["observables"] = []
    with pytest.raises(InputError, match="sumEt"):
        pipeline.run(load_config(parts))
    assert list(tmp_path.iterdir()) == []


def test_a_feature_that_is_nan_stops_the_run_and_is_named(classes: Path, tmp_path: Path) -> None:
    block = classifier()
    block["features"][1]["function"] = lambda pt: np.log(pt - 45)
    config = configured(classes, tmp_path, mva=[block], run_mva_training=True)
    nan = r"mva\.nn\.features\.met: NaN or infinite in \d+ of \d+ events"
    with np.errstate(invalid="ignore"), pytest.raises(FunctionError, match=nan):
        pipeline.run(config)


def test_event_weights_may_use_the_score_of_their_variation(
    trained: RunResult, classes: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained.output.directory / "mva", tmp_path / "mva")
    weight = {
        "name": "weight",
        "type": "event",
        "args": [("mva", "nn")],
        "use_correctionlib": False,
        "nominal_function": lambda score: 2 * score,
    }
    parts = table(classes, tmp_path) | {"corrections": [weight]}
    with pipeline.Stages(load_config(parts)) as stages:
        stages.count_files()
        stages.process()
        weighted = stages.finish()
    edges = np.linspace(0, 1, 21)
    for variation in VARIATIONS:
        assert weighted.book is not None
        assert trained.book is not None
        plain, squares = (
            one.book.histograms["all", "score"][:, "wjets", variation].variances()
            for one in (trained, weighted)
        )
        filled = plain > 0
        ratio = np.sqrt(squares[filled] / plain[filled]) / 2  # root mean square of the score
        assert np.all(ratio >= edges[:-1][filled])
        assert np.all(ratio <= edges[1:][filled])
