"""Trained models on disk: is it there, does it fit what is configured; reads, never writes."""

from __future__ import annotations

import hashlib
import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from intccms.analysis.scores.features import FeatureMatrix
from intccms.analysis.scores.predictor import Predictor
from intccms.analysis.scores.trusted import check_trusted
from intccms.errors import InputError
from intccms.fingerprint import fingerprint
from intccms.schema import Config, Mva
from intccms.storage import Output

__all__ = [
    "MODEL_JSON",
    "MODEL_PKL",
    "estimator_of",
    "load",
    "made_for",
    "settings_digest",
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
        If it is not there, damaged, was trained on other features or classes, or is not known to
        be trained by this user.
    """
    made = estimator_of(mva)
    if isinstance(made, Path):
        return _onnx(mva, config.general.input_path(str(made)))
    if not trained:
        return None
    folder = Output(config.general).mva_dir(mva.name)
    where = f"mva.{mva.name}: the model in {folder}"
    try:
        record = json.loads((folder / MODEL_JSON).read_text())
        content = (folder / MODEL_PKL).read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"mva.{mva.name}: no trained model in {folder}; {TRAIN}") from exc
    except (OSError, ValueError) as exc:
        raise InputError(f"{where} cannot be read: {exc}; {TRAIN}") from exc
    if hashlib.sha256(content).hexdigest() != record["model_sha256"]:
        raise InputError(f"{where} is damaged; {TRAIN} again")
    check_trusted(folder / MODEL_PKL, content)
    for what, now in made_for(mva, config).items():
        if (then := record["made_for"].get(what)) != now:
            raise InputError(f"{where} was trained with other {what}: {then}, now {now}; {TRAIN}")
    if record["settings_sha256"] != settings_digest(mva, config):
        what = "another estimator, other settings, object masks or baseline"
        log.warning("%s was trained with %s; %s", where, what, TRAIN)
    classes = tuple(one.name for one in mva.classes)
    return Predictor("pickle", content, classes, mva.folds, mva.random_state)


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


def made_for(mva: Mva, config: Config) -> dict[str, Any]:
    """Say in terms of JSON what must not change between training and use."""
    read = {ref.obj for one in mva.features for ref in one.use}
    ghosts = [one for one in config.ghost_observables if read & set(one.collections)]
    return {
        "features": [one.name for one in mva.features],
        "classes": [[one.name, list(one.processes)] for one in mva.classes],
        "functions": _digest((FeatureMatrix.of(mva), ghosts)),
        # an event has to be scored by the model that has not seen it
        "folds": [mva.folds, mva.random_state if mva.folds > 1 else None],
        "versions": {"scikit-learn": version("scikit-learn")},
    }


def settings_digest(mva: Mva, config: Config) -> str | None:
    """Identify what else decides a training."""
    shown = {"features": (), "classes": (), "plot_classes": ()}
    plain = mva.model_copy(update=shown)
    return _digest((plain, config.good_object_masks, config.baseline_selection))


def _digest(value: Any) -> str | None:
    """Digest a value; None where it has no form that lasts."""
    found = fingerprint(value, versions=False)
    return None if found.unstable else found.digest
