"""Trains a classifier, and saves model and metadata."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

import intccms
from intccms.datasets import Fileset
from intccms.engine.results import AnalysisResult
from intccms.engine.scores import (
    MODEL_JSON,
    MODEL_PKL,
    FeatureMatrix,
    Predictor,
    made_for,
    settings_digest,
    trust,
)
from intccms.mva.estimators import fitted, last_step
from intccms.mva.evaluation import Evaluation, Scored, evaluate, importance_of
from intccms.mva.samples import Floats, Rows, Sample, sample_of, training_rows
from intccms.schema import Config, Mva
from intccms.storage import write_bytes, write_json

log = logging.getLogger(__name__)


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
    FunctorError
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
