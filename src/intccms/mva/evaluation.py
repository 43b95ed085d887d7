"""The events that classifiers learn from, how well these separate, and whether they overtrain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.datasets import Fileset
from intccms.engine.objects import event_seeds
from intccms.engine.results import AnalysisResult
from intccms.engine.scores import FeatureMatrix, fold_of, score_class
from intccms.errors import InputError
from intccms.schema import Config, Feature, Mva

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


N_BINS = 40
LOWEST_P = 1e-3  # of the test that training and validation events are alike
N_PERMUTED = 5000  # events on which features are permuted, at most


@dataclass(frozen=True)
class Scored:
    """Some events of a sample with their scores.

    Parameters
    ----------
    rows : shape (n_some,)
        Positions in the sample.
    probabilities : shape (n_some, n_classes)
        Given by a model that knows them, or by one that does not.
    """

    rows: Rows
    probabilities: Floats


@dataclass(frozen=True)
class RocCurve:
    """Efficiency of a class against that of all others, as the cut on its probability moves."""

    efficiency: Floats
    others: Floats
    auc: float


@dataclass(frozen=True)
class Shape:
    """A histogram with unit area, its errors from the sums of squared weights."""

    edges: Floats
    values: Floats
    errors: Floats


@dataclass(frozen=True)
class Importance:
    """How much each feature counts: ``of`` says in what."""

    of: str
    values: Floats
    errors: Floats


@dataclass(frozen=True)
class Evaluation:
    """Numbers behind the figures of a training.

    Parameters
    ----------
    name, score
        The classifier, and the class whose probability is its score.
    curves
        By class, on training and on validation events; of two classes that of the score.
    scores
        By class or process, the score of training and of validation events, and the probability
        that both come from one distribution.
    features
        By feature, the label of its axis and by class or process its distribution.
    importance
        Of the features, in their order.
    has_folds
        Whether the templates hold no event that was scored by a model trained on it.
    """

    name: str
    score: str
    curves: dict[str, tuple[RocCurve, RocCurve]]
    scores: dict[str, tuple[Shape, Shape, float]]
    features: dict[str, tuple[str, dict[str, Shape]]]
    importance: Importance
    has_folds: bool

    @property
    def messages(self) -> tuple[str, ...]:
        """Say where training and validation differ more than by chance, and what it means."""
        known = [f"{name} (p = {p:.1e})" for name, (_, _, p) in self.scores.items() if p < LOWEST_P]
        if not known:
            return ()
        areas = "; ".join(
            f"AUC {one.auc:.3f} on training, {two.auc:.3f} on validation events"
            for one, two in self.curves.values()
        )
        what = f"over-trained: the scores of {', '.join(known)} are others on training events"
        if self.has_folds:
            return (f"{what}; {areas}; templates hold none of these, but it may separate better",)
        return (f"{what}; {areas}; the templates hold training events: take folds of 2 or more",)

    def summary(self) -> dict[str, Any]:
        """Return the numbers in terms of JSON."""
        return {
            "auc": {
                name: {"training": one.auc, "validation": two.auc}
                for name, (one, two) in self.curves.items()
            },
            "overtraining_p_value": {name: p for name, (_, _, p) in self.scores.items()},
            "messages": list(self.messages),
            "importance": {
                "of": self.importance.of,
                **dict(zip(self.features, self.importance.values.tolist(), strict=True)),
            },
        }


def evaluate(
    mva: Mva,
    config: Config,
    sample: Sample,
    *,
    training: Scored,
    validation: Scored,
    importance: Importance,
) -> Evaluation:
    """Compare training and validation events."""
    column, n_classes = score_class(mva, config), len(mva.classes)
    shown = range(n_classes) if n_classes > 2 else [column]
    curves = {
        mva.classes[i].name: (
            _roc(sample, training, i),
            _roc(sample, validation, i),
        )
        for i in shown
    }
    edges, scores = np.linspace(0, 1, N_BINS + 1), {}
    groups = _groups(mva, sample)
    for name, mine in groups.items():
        points = [
            (
                side.probabilities[mine[side.rows], column],
                sample.weights[side.rows[mine[side.rows]]],
            )
            for side in (training, validation)
        ]
        shapes = [_shape(*one, edges=edges) for one in points]
        scores[name] = (shapes[0], shapes[1], ks_p_value(*points))
    features = {}
    for feature, values in zip(mva.features, sample.values.T, strict=True):
        edges = _edges(feature, values)
        by_group = {g: _shape(values[m], sample.weights[m], edges) for g, m in groups.items()}
        features[feature.name] = (feature.label, by_group)
    return Evaluation(
        mva.name, mva.classes[column].name, curves, scores, features, importance, mva.folds > 1
    )


def _groups(mva: Mva, sample: Sample) -> dict[str, NDArray[np.bool_]]:
    """Say which events belong to each class or process that is shown."""
    positions = {entry.name: i for i, entry in enumerate(mva.classes)}
    return {
        name: sample.labels == positions[name] if name in positions else sample.processes == name
        for name in mva.plot_classes or tuple(positions)
    }


def _roc(sample: Sample, side: Scored, label: int) -> RocCurve:
    from sklearn.metrics import auc, roc_curve

    truth, score = sample.labels[side.rows] == label, side.probabilities[:, label]
    others, efficiency, _ = roc_curve(truth, score, sample_weight=sample.weights[side.rows])
    return RocCurve(efficiency, others, float(auc(others, efficiency)))


def _shape(values: Floats, weights: Floats, edges: Floats) -> Shape:
    sums, _ = np.histogram(values, edges, weights=weights)
    squares, _ = np.histogram(values, edges, weights=weights**2)
    per_area = 1 / (max(weights.sum(), 1e-300) * np.diff(edges))
    return Shape(edges, sums * per_area, np.sqrt(squares) * per_area)


def _edges(feature: Feature, values: Floats) -> Floats:
    if feature.binning is not None:
        return np.asarray(feature.binning)
    low, high = np.quantile(values, [0.005, 0.995])
    if high - low < N_BINS and np.all(values == np.round(values)):
        return np.arange(low, high + 2) - 0.5
    return np.linspace(low, high, N_BINS + 1)


def ks_p_value(one: tuple[Floats, Floats], two: tuple[Floats, Floats]) -> float:
    """Return the p-value of the two-sample Kolmogorov-Smirnov test of weighted values.

    Parameters
    ----------
    one, two
        Values and positive weights; the number of events is the effective one, (Σw)² / Σw².

    Notes
    -----
    Asymptotic distribution with the correction of M. A. Stephens, J. R. Stat. Soc. B 32 (1970).
    """
    from scipy.special import kolmogorov

    if not len(one[0]) or not len(two[0]):
        return float("nan")
    grid = np.concatenate([one[0], two[0]])
    distance = float(np.max(np.abs(_cumulative(*one, grid) - _cumulative(*two, grid))))
    sizes = [weights.sum() ** 2 / np.sum(weights**2) for _, weights in (one, two)]
    root = np.sqrt(sizes[0] * sizes[1] / (sizes[0] + sizes[1]))
    return float(kolmogorov(distance * (root + 0.12 + 0.11 / root)))


def _cumulative(values: Floats, weights: Floats, grid: Floats) -> Floats:
    order = np.argsort(values)
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    found: Floats = total[np.searchsorted(values[order], grid, side="right")] / total[-1]
    return found


def importance_of(models: list[Any], mva: Mva, sample: Sample, scaled: Floats) -> Importance:
    """Take the models' own measure or, without one, the loss of AUC when a feature is permuted.

    Parameters
    ----------
    models
        By fold; the mean of them is given.
    scaled : shape (n_events, n_features)
        Scaled features of the sample.
    """
    own = [getattr(last_step(one), "feature_importances_", ()) for one in models]
    if all(len(one) == len(mva.features) for one in own):
        values = np.mean(own, axis=0)
        return Importance("Importance in the estimator", values, np.std(own, axis=0))
    found = [_permuted(one, i, mva, sample, scaled) for i, one in enumerate(models)]
    errors = [one.importances_std for one in found]
    return Importance(
        "Loss of AUC when it is permuted",
        np.mean([one.importances_mean for one in found], axis=0),
        np.sqrt(np.sum(np.square(errors), axis=0)) / len(found),
    )


def _permuted(model: Any, number: int, mva: Mva, sample: Sample, scaled: Floats) -> Any:
    """Permute each feature of events that a model has not seen."""
    from sklearn.inspection import permutation_importance

    n_classes = len(mva.classes)
    random = np.random.default_rng(mva.random_state)
    rows = random.permutation(np.flatnonzero(sample.folds == number))
    labels = sample.labels[rows]
    n_each = N_PERMUTED // (n_classes * sample.n_models)
    rows = np.concatenate([rows[labels == i][:n_each] for i in range(n_classes)])
    return permutation_importance(
        model,
        scaled[rows],
        sample.labels[rows],
        scoring="roc_auc" if n_classes == 2 else "roc_auc_ovr",
        random_state=mva.random_state,
    )


def last_step(estimator: Any) -> Any:
    """Return the classifier at the end of a pipeline, or the estimator itself."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
