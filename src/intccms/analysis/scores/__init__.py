"""Classifiers inside the analysis: what they are trained on, and their scores as columns."""

from __future__ import annotations

from intccms.analysis.scores.features import FeatureMatrix
from intccms.analysis.scores.ghosts import Score, column_names, references, score_class, with_scores
from intccms.analysis.scores.models import (
    MODEL_JSON,
    MODEL_PKL,
    estimator_of,
    made_for,
    settings_digest,
)
from intccms.analysis.scores.predictor import Predictor, fold_of
from intccms.analysis.scores.trusted import trust

__all__ = [
    "MODEL_JSON",
    "MODEL_PKL",
    "FeatureMatrix",
    "Predictor",
    "Score",
    "column_names",
    "estimator_of",
    "fold_of",
    "made_for",
    "references",
    "score_class",
    "settings_digest",
    "trust",
    "with_scores",
]
