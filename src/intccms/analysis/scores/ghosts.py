"""The score of a classifier as a derived column, which masks, cuts and observables can use."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from intccms.analysis.scores.features import FeatureMatrix
from intccms.analysis.scores.models import load
from intccms.analysis.scores.predictor import Predictor
from intccms.engine.evaluation import MVA
from intccms.engine.weights import reads
from intccms.errors import InputError
from intccms.schema import Config, Correction, GhostObservable, Mva, ObjVar
from intccms.schema.datasets import is_signal

__all__ = ["Score", "column_names", "references", "score_class", "with_scores"]

log = logging.getLogger(__name__)

EVENT_SEED = ObjVar("event", "seed")


@dataclass(frozen=True)
class Score:
    """The function of the ghost of a classifier.

    Parameters
    ----------
    matrix
        Its features.
    predictor
        Its model; None before the training: then all scores are 0.
    columns
        Which classes' probabilities are given.
    """

    matrix: FeatureMatrix
    predictor: Predictor | None
    columns: tuple[int, ...]

    @property
    def use(self) -> tuple[ObjVar, ...]:
        """What it is called with: with several models the identity of the events comes first."""
        return (*((EVENT_SEED,) if self._has_folds else ()), *self.matrix.functor.use)

    @property
    def _has_folds(self) -> bool:
        return self.predictor is not None and self.predictor.n_folds > 1

    def __call__(self, *inputs: Any) -> tuple[NDArray[np.float64], ...]:
        """Give the columns, of shape (n_events,)."""
        identity = None
        if self._has_folds:
            identity, *inputs = inputs  # type: ignore[assignment]
        scaled = self.matrix.scaled(self.matrix(*inputs))
        if self.predictor is None:
            return tuple(np.zeros(len(scaled)) for _ in self.columns)
        probabilities = self.predictor(scaled, identity)
        return tuple(np.ascontiguousarray(probabilities[:, one]) for one in self.columns)


def references(part: Any) -> Iterator[ObjVar]:
    """Yield every reference in a part of a configuration to what it reads."""
    if isinstance(part, ObjVar):
        yield part
    elif isinstance(part, BaseModel):
        if isinstance(part, Correction):
            yield from reads(part)
            return
        for name in sorted(type(part).model_fields):
            yield from references(getattr(part, name))
    elif isinstance(part, Mapping):
        yield from references(list(part.values()))
    elif isinstance(part, list | tuple):
        for one in part:
            yield from references(one)


def score_class(mva: Mva, config: Config) -> int:
    """Position of the class whose probability is the score: of the signals, else the last."""
    named = config.statistics.signals if config.statistics is not None else None
    of_signal = [
        i
        for i, entry in enumerate(mva.classes)
        if any(is_signal(one) if named is None else one in named for one in entry.processes)
    ]
    return of_signal[-1] if of_signal else len(mva.classes) - 1


def column_names(mva: Mva) -> tuple[str, ...]:
    """Name the columns: the score and, for more than two classes, the probability of each."""
    each = [f"{mva.name}_{one.name}" for one in mva.classes]
    return (mva.name, *(each if len(each) > 2 else ()))


def with_scores(config: Config, *, trained: bool = True) -> Config:
    """Return a configuration with a ghost observable for each classifier whose score is read.

    Parameters
    ----------
    config
        The configuration.
    trained
        Whether there should be models; without, scores are 0 until there are.

    Raises
    ------
    InputError
        If a model is not there or does not fit.
    """
    ghosts = list(config.ghost_observables)
    parts = (config.active_channels, config.corrections, config.systematics)
    fields = {ref.field for ref in references(parts) if ref.obj == MVA}
    for mva in reversed(config.mva):  # features may use the scores of classifiers before it
        names = column_names(mva)
        if any(MVA in one.collections and mva.name in one.names for one in ghosts):
            raise InputError(f"mva.{mva.name}: a ghost observable has the same name")
        readers = [
            position
            for position, ghost in enumerate(ghosts)
            if any(ref.obj == MVA and ref.field in names for ref in ghost.use)
        ]
        is_needed = bool(readers or fields & set(names))
        if not (is_needed or None in fields):
            continue
        try:
            predictor = load(mva, config, trained=trained)
        except InputError as exc:
            if is_needed:
                raise
            log.warning("no score %s: %s", mva.name, exc)  # the whole collection is read
            continue
        positions = (score_class(mva, config), *range(len(mva.classes)))[: len(names)]
        score = Score(FeatureMatrix.of(mva), predictor, positions)
        ghost = GhostObservable(
            names=names, collections=(MVA,) * len(names), function=score, use=score.use
        )
        ghosts.insert(min(readers, default=len(ghosts)), ghost)
    return config.model_copy(update={"ghost_observables": tuple(ghosts)})
