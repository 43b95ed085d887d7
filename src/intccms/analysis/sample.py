"""The events that classifiers are trained on: nominal ones that pass the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.analysis.processor import AnalysisProcessor, DatasetTask
from intccms.engine.chunk import ChunkWork, NominalChunk
from intccms.engine.scores import EVENT_SEED, FeatureMatrix, Score
from intccms.engine.weights import weight_matrix
from intccms.histograms.exact import ExactSums

MAX_EVENTS = 250_000  # of a dataset; about 25 MB with ten features


@dataclass(frozen=True)
class TrainingTable:
    """Events of one dataset: all of them or, of more than `MAX_EVENTS`, a random sample.

    The sample is that of the smallest `identity`, which is the same for any chunks in any order.

    Parameters
    ----------
    identity : shape (n_events,)
        64 bits made from run, section and event number.
    weights : shape (n_events,)
        Signed, not normalised.
    values : shape (n_events, n_features)
        Features, not scaled.
    n_seen, n_negative, n_zero, sum_abs
        Number of all events, of those with negative weights and of those with weight 0, which are
        left out; sum of the absolute weights.
    """

    identity: NDArray[np.uint64]
    weights: NDArray[np.float64]
    values: NDArray[np.float64]
    n_seen: int
    n_negative: int
    n_zero: int
    sum_abs: ExactSums

    @classmethod
    def of(cls, identity: Any, weights: NDArray[np.float64], values: Any) -> TrainingTable:
        """Take the events of a chunk."""
        counts = (len(weights), int(np.sum(weights < 0)), int(np.sum(weights == 0)))
        good, total = weights != 0, ExactSums.total(np.abs(weights))
        return cls(np.asarray(identity)[good], weights[good], values[good], *counts, total)

    def __add__(self, other: TrainingTable) -> TrainingTable:
        """Both."""
        both = TrainingTable(
            np.concatenate([self.identity, other.identity]),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.values, other.values]),
            self.n_seen + other.n_seen,
            self.n_negative + other.n_negative,
            self.n_zero + other.n_zero,
            self.sum_abs + other.sum_abs,
        )
        return both.ordered() if len(both.weights) > 2 * MAX_EVENTS else both

    def ordered(self) -> TrainingTable:
        """Give the events in an order that does not depend on chunks, `MAX_EVENTS` at most."""
        order = np.lexsort((*self.values.T, self.weights, self.identity))[:MAX_EVENTS]
        columns = {name: getattr(self, name)[order] for name in ("identity", "weights", "values")}
        return replace(self, **columns)


class SampleProcessor(AnalysisProcessor):
    """Collects the features of nominal events past the baseline, whatever channels keep.

    Parameters
    ----------
    analysis
        The analysis that the scores are for; its corrections, masks and derived columns count.
    wanted
        By classifier, its features and the processes it is trained on.
    """

    activity = "collecting training events"

    def __init__(
        self,
        analysis: AnalysisProcessor,
        wanted: Mapping[str, tuple[FeatureMatrix, tuple[str, ...]]],
    ) -> None:
        config = analysis.config
        nominal = {
            "run_analysis": True, "analysis": "nondiff", "run_skimming": False,
            "run_systematics": False, "channels": (),
        }  # fmt: skip
        derived = tuple(
            one
            for one in config.ghost_observables
            if not isinstance(one.function, Score) or one.function.predictor is not None
        )
        general = config.general.model_copy(update=nominal)
        config = config.model_copy(update={"general": general, "ghost_observables": derived})
        processes = {process for _, several in wanted.values() for process in several}
        super().__init__(
            config, {k: task for k, task in analysis.tasks.items() if task.process in processes}
        )
        self.extra = self.wanted = dict(wanted)

    def after_nominal(self, work: ChunkWork, nominal: NominalChunk, task: DatasetTask) -> None:
        """Collect the table of each classifier that this process is a part of."""
        level = nominal.level
        gen_weight = nominal.gen_weight[nominal.passed]
        weights = weight_matrix(work.plan, level.objects, gen_weight, work.factors)[0]
        identity = level.objects.column(EVENT_SEED)
        for name, (matrix, processes) in self.wanted.items():
            if task.process in processes:
                values = work.caller.evaluate(matrix.spec, f"mva.{name}", level.mva)
                work.samples[name] = TrainingTable.of(identity, weights, values)
