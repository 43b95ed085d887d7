"""Trained models on disk: is it there, does it fit what is configured; reads, never writes."""

from __future__ import annotations

import hashlib
import json
import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from intccms.analysis.scores.features import FeatureMatrix
from intccms.analysis.scores.predictor import Predictor
from intccms.errors import InputError
from intccms.fingerprint import fingerprint
from intccms.schema import Config, Mva
from intccms.utils.output import Output

__all__ = [
    "MODEL_JSON",
    "MODEL_PKL",
    "estimator_of",
    "inputs_digest",
    "load",
    "settings_digest",
    "versions_of",
]

log = logging.getLogger(__name__)

MODEL_JSON, MODEL_PKL = "model.json", "model.pkl"
TRAIN = "train it with general.run_mva_training=True"


def estimator_of(mva: Mva) -> Any:
    """Call ``estimator``.

    Returns
    -------
    object or Path
        An untrained scikit-learn classifier, or where an ONNX model is.

    Raises
    ------
    InputError
        If it fails or returns anything else.
    """
    key = f"mva.{mva.name}.estimator"
    try:
        made = mva.estimator()
    except Exception as exc:
        raise InputError(f"{key}: {type(exc).__name__}: {exc}") from exc
    if isinstance(made, str | Path):
        if Path(made).suffix != ".onnx":
            raise InputError(f"{key}: {str(made)!r} is not the path of an .onnx file")
        return Path(made)
    if isinstance(made, type):
        raise InputError(f"{key} returns the class {made.__name__}, it must return an instance")
    kind = type(made).__name__
    if not (hasattr(made, "fit") and hasattr(made, "get_params")):
        raise InputError(f"{key} returns a {kind}, which is no scikit-learn classifier")
    if not hasattr(made, "predict_proba"):
        raise InputError(
            f"{key}: {kind} has no predict_proba, as it is set up here; "
            f"CalibratedClassifierCV({kind}(…)) of sklearn.calibration gives it one"
        )
    return made


def load(mva: Mva, config: Config, *, trained: bool = True) -> Predictor | None:
    """Load the model of a classifier: that of `estimator`, or what an earlier run has trained.

    Parameters
    ----------
    mva, config
        The classifier.
    trained
        False: None is the answer where a model has to be trained.

    Raises
    ------
    InputError
        If it is not there, damaged, or was trained on other features or classes.
    """
    made = estimator_of(mva)
    if isinstance(made, Path):
        return _onnx(mva, config.general.input_path(str(made)))
    if not trained:
        return None
    folder = Output(config.general).mva_dir(mva.name)
    try:
        record = json.loads((folder / MODEL_JSON).read_text())
        content = (folder / MODEL_PKL).read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"mva.{mva.name}: no trained model in {folder}; {TRAIN}") from exc
    except (OSError, ValueError) as exc:
        raise InputError(f"mva.{mva.name}: cannot read {folder}: {exc}; {TRAIN}") from exc
    if hashlib.sha256(content).hexdigest() != record["model_sha256"]:
        raise InputError(f"mva.{mva.name}: {folder / MODEL_PKL} is damaged; {TRAIN} again")
    _check_fits(mva, config, record, folder)
    return Predictor("pickle", content, tuple(record["classes"]))


def _check_fits(mva: Mva, config: Config, record: dict[str, Any], folder: Path) -> None:
    names = [one.name for one in mva.features]
    classes = {one.name: list(one.processes) for one in mva.classes}
    now = inputs_digest(mva, config)
    stale = ""
    if record["features"] != names:
        stale = f"features {record['features']}, configured are {names}"
    elif list(record["classes"].items()) != list(classes.items()):
        stale = f"classes {record['classes']}, configured are {classes}"
    elif now is not None and record["inputs_sha256"] not in (None, now):
        stale = "functions of the features that have changed since"
    for package, old in record["versions"].items():
        if (new := versions_of([package]).get(package)) != old:
            stale = stale or f"{package} {old}, here is {new}"
    if stale:
        raise InputError(f"mva.{mva.name}: the model in {folder} was trained with {stale}; {TRAIN}")
    if record["settings_sha256"] != settings_digest(mva, config):
        what = "estimator, its settings, object masks or baseline"
        log.warning("mva.%s was trained with another %s; %s", mva.name, what, TRAIN)


def _onnx(mva: Mva, path: Path) -> Predictor:
    key, classes = f"mva.{mva.name}.estimator", tuple(one.name for one in mva.classes)
    try:
        predictor = Predictor("onnx", path.read_bytes(), classes)
        predictor(np.ones((1, len(mva.features))))
    except OSError as exc:
        raise InputError(f"{key}: cannot read {path}: {exc.strerror}") from exc
    except Exception as exc:  # the runtime has its own for every fault of a model
        what = f"{len(mva.features)} features and {len(classes)} classes"
        raise InputError(f"{key}: {path} cannot be used with {what}: {exc}") from exc
    return predictor


def inputs_digest(mva: Mva, config: Config) -> str | None:
    """Identify what the model is evaluated on; None where a function has no lasting form."""
    read = {ref.obj for one in mva.features for ref in one.use}
    ghosts = [one for one in config.ghost_observables if read & set(one.collections)]
    return _digest((FeatureMatrix.of(mva), ghosts))


def settings_digest(mva: Mva, config: Config) -> str | None:
    """Identify what else decides a training."""
    names = (
        "balance_strategy", "validation_split", "random_state",
        "epochs", "batch_size", "learning_rate", "estimator",
    )  # fmt: skip
    own = [getattr(mva, name) for name in names]
    return _digest((own, config.good_object_masks, config.baseline_selection))


def _digest(value: Any) -> str | None:
    found = fingerprint(value, versions=False)
    return None if found.unstable else found.digest


def versions_of(packages: list[str]) -> dict[str, str]:
    """Look up the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
