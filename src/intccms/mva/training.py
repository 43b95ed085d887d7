"""The estimator of a classifier with the settings of the configuration, and how it is fitted."""

from __future__ import annotations

import hashlib
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

import intccms
from intccms.datasets import Fileset
from intccms.engine.calls import MVA
from intccms.engine.results import AnalysisResult
from intccms.engine.scores import (
    MODEL_JSON,
    MODEL_PKL,
    FeatureMatrix,
    Predictor,
    estimator_of,
    made_for,
    settings_digest,
    trust,
)
from intccms.errors import FunctionError, InputError
from intccms.execution.failures import user_code
from intccms.mva.evaluation import (
    Evaluation,
    Floats,
    Rows,
    Sample,
    Scored,
    evaluate,
    importance_of,
    last_step,
    sample_of,
    training_rows,
)
from intccms.schema import Config, Mva
from intccms.storage import write_bytes, write_json

log = logging.getLogger(__name__)

# How scikit-learn and packages with its interface call these settings.
EPOCHS = ("epochs", "max_epochs", "max_iter")
BATCH_SIZE = ("batch_size",)
LEARNING_RATE = ("learning_rate_init", "learning_rate")


def check(config: Config, fileset: Fileset) -> tuple[Mva, ...]:
    """Look whether the classifiers can be trained; return those that are.

    Raises
    ------
    InputError
        If there is none, or one of them cannot be.
    """
    if not config.mva:
        what = "general.run_mva_training=True: no classifier is configured, see mva"
        raise InputError(what)
    todo = tuple(mva for mva in config.mva if not isinstance(estimator_of(mva), Path))
    names = {mva.name for mva in todo}
    for mva in todo:
        _check_classes(mva, fileset)
        takes_weights = _weights_key(prepared(mva)) is not None
        if mva.balance_strategy == "class_weight" and not takes_weights:
            raise InputError(
                f"mva.{mva.name}.balance_strategy: the fit of this estimator takes no "
                "sample_weight; 'undersample' needs none"
            )
        for feature in mva.features:
            if any(ref.obj == MVA and ref.field in names for ref in feature.use):
                raise InputError(
                    f"mva.{mva.name}.features.{feature.name} uses a score that this run trains"
                )
    return todo


def _check_classes(mva: Mva, fileset: Fileset) -> None:
    if not 0 <= mva.random_state < 2**32:
        raise InputError(f"mva.{mva.name}.random_state: 0 to 2**32 - 1, not {mva.random_state}")
    processes = [process for entry in mva.classes for process in entry.processes]
    if len(set(processes)) < len(processes):
        raise InputError(f"mva.{mva.name}.classes: a process is in two of them: {processes}")
    for entry in mva.classes:
        if not set(entry.processes) & set(fileset.processes):
            raise InputError(
                f"mva.{mva.name}.classes: this run has no events of class {entry.name!r} "
                f"{list(entry.processes)}; see general.processes"
            )


def prepared(mva: Mva) -> Any:
    """Make the estimator with ``epochs``, ``batch_size``, ``learning_rate`` and a seed.

    Raises
    ------
    InputError
        If it has no parameter for a setting that is given.
    """
    estimator = estimator_of(mva)
    parameters = estimator.get_params()
    chosen: dict[str, Any] = {
        key: mva.random_state
        for key, value in parameters.items()
        if _last(key) == "random_state" and value is None
    }
    for setting, value, names in (
        ("epochs", mva.epochs, EPOCHS),
        ("batch_size", mva.batch_size, BATCH_SIZE),
        ("learning_rate", mva.learning_rate, LEARNING_RATE),
    ):
        if value is None:
            continue
        found = [
            key
            for name in names
            for key in sorted(parameters, key=len)
            if _last(key) == name and not (name == "learning_rate" and _is_text(parameters[key]))
        ]
        if not found:
            raise InputError(
                f"mva.{mva.name}.{setting}: {type(estimator).__name__} has none of the parameters "
                f"{list(names)}; leave it out and set what it has in 'estimator'"
            )
        chosen[found[0]] = value
    return estimator.set_params(**chosen)


def _last(key: str) -> str:
    return key.rpartition("__")[2]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _weights_key(estimator: Any) -> str | None:
    from sklearn.utils.validation import has_fit_parameter

    if not has_fit_parameter(last_step(estimator), "sample_weight"):
        return None
    prefix = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    return f"{prefix}sample_weight"


def fitted(
    mva: Mva, x: NDArray[np.float64], y: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[Any, bool]:
    """Fit the estimator.

    Parameters
    ----------
    mva
        The classifier.
    x : shape (n_events, n_features)
        Scaled features.
    y, weights : shape (n_events,)
        Position of the class; positive weights.

    Returns
    -------
    tuple
        The estimator, and whether it has used the weights.

    Raises
    ------
    FunctionError
        If the fit fails.
    """
    key, estimator = f"mva.{mva.name}.estimator", prepared(mva)
    name = _weights_key(estimator)
    if name is None:
        log.warning("%s: its fit takes no sample_weight, every event counts the same", key)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with user_code(key):
                estimator.fit(x, y, **({} if name is None else {name: weights}))
        except Exception as exc:
            raise FunctionError(f"{key}: the fit failed: {type(exc).__name__}: {exc}") from exc
    for text in dict.fromkeys(" ".join(str(one.message).split()) for one in told):
        log.warning("%s: %s", key, text)
    # Threads of its own would add trees up in any order, and workers have one core each.
    jobs = {one: 1 for one in estimator.get_params() if _last(one) == "n_jobs"}
    return estimator.set_params(**jobs), name is not None


@dataclass(frozen=True)
class Trained:
    """A trained classifier.

    Parameters
    ----------
    predictor
        The model.
    record
        What ``model.json`` holds.
    evaluation
        What it is worth.
    """

    predictor: Predictor
    record: dict[str, Any]
    evaluation: Evaluation


def train(mva: Mva, config: Config, fileset: Fileset, analysis: AnalysisResult) -> Trained:
    """Train a classifier on the events that a run with `SampleProcessor` has collected.

    Raises
    ------
    InputError
        If a class has no events.
    FunctionError
        If a feature cannot be scaled or the fit fails.
    """
    sample = sample_of(mva, fileset, analysis)
    scaled = FeatureMatrix.of(mva).scaled(sample.values)
    models, trained_on = [], []
    for number in range(sample.n_models):
        rows, weights = training_rows(mva, sample, number)
        model, is_weighted = fitted(mva, scaled[rows], sample.labels[rows], weights)
        models.append(model)
        trained_on.append(rows)
    content = cloudpickle.dumps(models, protocol=5)
    classes = tuple(one.name for one in mva.classes)
    predictor = Predictor("pickle", content, classes, mva.folds, mva.random_state)
    evaluation = evaluate(
        mva, config, sample,
        training=_on_known_events(predictor, sample, scaled, trained_on),
        validation=_on_new_events(predictor, sample, scaled),
        importance=importance_of(models, mva, sample, scaled),
    )  # fmt: skip
    for message in evaluation.messages:
        log.warning("mva.%s: %s", mva.name, message)
    n_training = np.bincount(np.concatenate(trained_on), minlength=len(sample.labels)) > 0
    n_validation = sample.folds < sample.n_models
    used = zip(
        classes,
        *(np.bincount(sample.labels[side]) for side in (n_training, n_validation)),
        strict=True,
    )
    record = {
        "name": mva.name,
        "score": evaluation.score,
        "estimator": " ".join(repr(models[0]).split()),
        "n_iter": [getattr(last_step(one), "n_iter_", None) for one in models],
        "random_state": mva.random_state,
        "folds": mva.folds,
        "validation_split": mva.validation_split if mva.folds == 1 else None,
        "balance_strategy": mva.balance_strategy,
        "weights": "absolute" if is_weighted else "not used: the fit takes none",
        "events": {name: {"training": int(a), "validation": int(b)} for name, a, b in used},
        "datasets": {
            name: counts | {"lost": analysis.ledger.datasets[name].lost.events}
            for name, counts in sample.counts.items()
        },
        **evaluation.summary(),
        "intccms": intccms.__version__,
        "made_for": made_for(mva, config),
        "settings_sha256": settings_digest(mva, config),
        "model_sha256": hashlib.sha256(content).hexdigest(),
    }
    return Trained(predictor, record, evaluation)


def _on_new_events(predictor: Predictor, sample: Sample, scaled: Floats) -> Scored:
    """Score the events of each fold with the model that is not trained on them."""
    rows = np.flatnonzero(sample.folds < sample.n_models)
    return Scored(rows, predictor.by_fold(scaled[rows], sample.folds[rows]))


def _on_known_events(
    predictor: Predictor, sample: Sample, scaled: Floats, trained_on: list[Rows]
) -> Scored:
    """Score events with a model that is trained on them: the next one of those."""
    known = (sample.folds + 1) % sample.n_models
    rows = np.concatenate([rows[known[rows] == number] for number, rows in enumerate(trained_on)])
    return Scored(rows, predictor.by_fold(scaled[rows], known[rows]))


def save(trained: Trained, folder: Path) -> None:
    """Write ``model.pkl`` and, when that is there, ``model.json``; this user trusts it from now."""
    content = trained.predictor.content
    write_bytes(folder / MODEL_PKL, content)
    trust(content, folder)
    write_json(folder / MODEL_JSON, trained.record)
