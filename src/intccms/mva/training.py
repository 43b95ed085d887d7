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
from intccms.analysis.results import AnalysisResult
from intccms.analysis.scores import (
    MODEL_JSON,
    MODEL_PKL,
    FeatureMatrix,
    Predictor,
    made_for,
    settings_digest,
    trust,
)
from intccms.datasets import Fileset
from intccms.mva.estimators import fitted, last_step
from intccms.mva.evaluation import Evaluation, evaluate, importance_of
from intccms.mva.samples import sample_of, training_rows
from intccms.schema import Config, Mva
from intccms.utils.output import write_bytes, write_json

__all__ = ["Trained", "save", "train"]

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
    rows, weights = training_rows(mva, sample)
    estimator, is_weighted = fitted(mva, scaled[rows], sample.labels[rows], weights)
    content = cloudpickle.dumps(estimator, protocol=5)
    predictor = Predictor("pickle", content, tuple(one.name for one in mva.classes))
    evaluation = evaluate(
        mva, config, sample,
        training=rows,
        probabilities=predictor(scaled),
        importance=importance_of(estimator, mva, sample, scaled),
    )  # fmt: skip
    validation = np.bincount(sample.labels[sample.is_validation])
    used = zip(mva.classes, np.bincount(sample.labels[rows]), validation, strict=True)
    record = {
        "name": mva.name,
        "score": evaluation.score,
        "estimator": " ".join(repr(estimator).split()),
        "n_iter": getattr(last_step(estimator), "n_iter_", None),
        "random_state": mva.random_state,
        "validation_split": mva.validation_split,
        "balance_strategy": mva.balance_strategy,
        "weights": "absolute" if is_weighted else "not used: the fit takes none",
        "events": {one.name: {"training": a, "validation": b} for one, a, b in used},
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


def save(trained: Trained, folder: Path) -> None:
    """Write ``model.pkl`` and, when that is there, ``model.json``; this user trusts it from now."""
    content = trained.predictor.content
    write_bytes(folder / MODEL_PKL, content)
    trust(content, folder)
    write_json(folder / MODEL_JSON, trained.record)
