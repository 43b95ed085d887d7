"""Training events of all datasets, with classes, weights and the split; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.datasets import Fileset
from intccms.engine.objects import event_seeds
from intccms.engine.results import AnalysisResult
from intccms.engine.scores import FeatureMatrix, fold_of
from intccms.errors import InputError
from intccms.schema import Mva

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Events to train and to validate on.

    Parameters
    ----------
    values : shape (n_events, n_features)
        Features, not scaled.
    weights : shape (n_events,)
        Absolute weights; their mean is 1 in each class.
    labels, processes, folds : shape (n_events,)
        Position of the class, name of the process, and number of the model that is not trained
        on the event. A single model has the number 0, what it is trained on has 1.
    n_models
        How many models there are.
    counts
        By dataset, what became of its events.
    """

    values: Floats
    weights: Floats
    labels: Rows
    processes: NDArray[np.str_]
    folds: Rows
    n_models: int
    counts: dict[str, dict[str, Any]]


def wanted(classifiers: Iterable[Mva]) -> dict[str, tuple[FeatureMatrix, tuple[str, ...]]]:
    """Say what `SampleProcessor` has to collect."""
    return {
        mva.name: (FeatureMatrix.of(mva), tuple(p for one in mva.classes for p in one.processes))
        for mva in classifiers
    }


def sample_of(mva: Mva, fileset: Fileset, analysis: AnalysisResult) -> Sample:
    """Bring the events of all datasets together, in an order that never changes.

    Which model is trained on an event follows from its run, section and event number: it is the
    same in any file, skim or chunk. Datasets are weighted by luminosity · cross section / sum of
    weights.

    Raises
    ------
    InputError
        If a class has no event to train on, or none to validate on.
    """
    labels = {process: i for i, one in enumerate(mva.classes) for process in one.processes}
    columns: list[tuple[Any, ...]] = []
    counts: dict[str, dict[str, Any]] = {}
    for files in fileset:
        table = analysis.samples.get(files.dataset, {}).get(mva.name)
        if table is None:
            continue
        table, n_there = table.ordered(), len(table.weights)
        weights = np.abs(table.weights)
        n = len(weights)
        if n < n_there:  # a sample stands for all
            weights = weights * (table.sum_abs.value / weights.sum())
        fold = _folds(mva, table.identity)
        label = np.full(n, labels[files.process])
        process = np.full(n, files.process)
        scale = analysis.scale[files.dataset]
        columns.append((table.values, weights * scale, label, process, fold))
        counts[files.dataset] = {
            "past_baseline": table.n_seen,
            "negative_weight": table.n_negative,
            "zero_weight_left_out": table.n_zero,
            # with several models each event is on both sides
            "training": n if mva.folds > 1 else int(np.sum(fold == 1)),
            "validation": n if mva.folds > 1 else int(np.sum(fold == 0)),
        }
    values, weights, label, process, fold = map(np.concatenate, zip(*columns, strict=True))
    sample = Sample(values, weights, label, process, fold, mva.folds, counts)
    for i, entry in enumerate(mva.classes):
        mine = sample.labels == i
        for model in range(sample.n_models):
            out = sample.folds == model
            for side, chosen in (("train", ~out), ("validate", out)):
                if not np.any(mine & chosen):
                    raise InputError(
                        f"mva.{mva.name}: class {entry.name!r} has no events to {side} on; "
                        f"{np.sum(mine)} of its events pass the baseline with a weight"
                    )
        sample.weights[mine] *= np.sum(mine) / sample.weights[mine].sum()
    return sample


def _folds(mva: Mva, identity: NDArray[np.uint64]) -> Rows:
    """Say for each event which model is not trained on it."""
    if mva.folds > 1:
        return fold_of(identity, mva.folds, mva.random_state)
    salt = np.full(len(identity), mva.random_state)
    held_out = event_seeds(identity, salt, salt) < mva.validation_split * 2.0**64
    return np.where(held_out, 0, 1)


def training_rows(mva: Mva, sample: Sample, model: int) -> tuple[Rows, Floats]:
    """Choose and weigh the events to train a model on, as ``balance_strategy`` says.

    Returns
    -------
    tuple
        Positions in the sample, shuffled, and the weight of each: with a mean of 1 in each class
        or, for ``class_weight``, with the same sum.
    """
    random = np.random.default_rng(mva.random_state)
    rows = np.flatnonzero(sample.folds != model)
    n_classes = len(mva.classes)
    by_class = [rows[sample.labels[rows] == i] for i in range(n_classes)]
    if mva.balance_strategy == "undersample":
        smallest = min(map(len, by_class))
        by_class = [random.choice(one, smallest, replace=False) for one in by_class]
    n_rows = sum(map(len, by_class))
    weights = []
    for one in by_class:
        total = n_rows / n_classes if mva.balance_strategy == "class_weight" else len(one)
        weights.append(sample.weights[one] * (total / sample.weights[one].sum()))
    order = random.permutation(n_rows)
    return np.concatenate(by_class)[order], np.concatenate(weights)[order]
