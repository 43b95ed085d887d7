"""Events of one chunk → plain sums; pure: one processor object can be used again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC
from numpy.typing import NDArray

from intccms.datasets.sections import LumiSections
from intccms.engine.calls import Caller
from intccms.engine.chunk import (
    ChunkSums,
    ChunkWork,
    NominalChunk,
    generator_weights,
)
from intccms.engine.objects import Objects, from_events
from intccms.engine.scores import EVENT_SEED, FeatureMatrix, Score
from intccms.engine.systematics import fill_object_systematics
from intccms.engine.variations import VariationPlan, branch_of, plan_variations, weight_matrix
from intccms.fingerprint.watching import refresh
from intccms.histograms.exact import ExactSums
from intccms.histograms.sums import OriginalEvents
from intccms.histograms.theory import BRANCHES
from intccms.schema import Config, FunctionSpec
from intccms.skimming.writing import SkimWriter, only_skims
from intccms.usercode.homes import home


@dataclass(frozen=True)
class DatasetTask:
    """What the processor needs to know about the dataset of a chunk."""

    dataset: str
    process: str
    year: str | None
    is_data: bool
    weight_branch: str | None
    lumi_mask: FunctionSpec | None
    selection: FunctionSpec | None = None
    sums: Mapping[str, str] = field(default_factory=dict)  # names of sums of normalised sources
    weight_clip: float | None = None


class AnalysisProcessor(ProcessorABC):  # type: ignore[misc]
    """Runs the configured analysis on the events of a chunk.

    Parameters
    ----------
    config
        What to do.
    tasks
        The datasets, by key; ``events.metadata["dataset"]`` names the one of a chunk.
    writer
        Writes the events that pass the skim selection; None: they are not written.
    """

    activity = "processing"  # what observers are told

    def __init__(
        self,
        config: Config,
        tasks: Mapping[str, DatasetTask],
        writer: SkimWriter | None = None,
    ) -> None:
        self.config = config
        self.tasks = dict(tasks)
        self.writer = writer
        self.has_analysis = not only_skims(config.general)
        self.key = uuid4().hex
        self.extra: dict[str, Any] = {}  # what else decides the sums
        self.behaviors = {  # what the user's code has registered with awkward
            key: value
            for key, value in list(ak.behavior.items())
            if (module := getattr(value, "__module__", None)) and home(module) is None
        }
        self.channels = config.active_channels
        self.plans = {name: self._plan(task) for name, task in self.tasks.items()}

    def _plan(self, task: DatasetTask) -> VariationPlan:
        """Return the corrections and variations of a dataset."""
        plan = plan_variations(
            self.config, task.process, year=task.year, is_data=task.is_data,
            dataset=task.dataset, sums=task.sums,
        )  # fmt: skip
        if self.config.general.run_systematics or self.writer is not None:
            return plan
        return replace(plan, normalised=())  # a skim is read later, for variations, too

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Evaluate one chunk of NanoEvents; nothing is kept on the processor.

        Events of a skim have, as ``events.metadata["whole"]``, what is known of all the events
        that they were taken from; then these are what the sums are of.

        Returns
        -------
        dict
            The items of `ChunkSums`.
        """
        return dict(self._evaluated(events, writes=True))

    def check(self, events: ak.Array) -> None:
        """Evaluate events, and look whether all that a skim is to keep is there; write nothing.

        Raises
        ------
        MissingColumnError
            If a column is not there.
        """
        self._evaluated(events, writes=False)
        if self.writer is not None:
            is_data = self.tasks[events.metadata["dataset"]].is_data
            self.writer.check(events, is_data=is_data)

    def _evaluated(self, events: ak.Array, *, writes: bool) -> ChunkSums:
        refresh()
        ak.behavior.update(self.behaviors)  # a worker has not run the cells of a notebook
        task = self.tasks[events.metadata["dataset"]]
        uuid = str(events.metadata.get("fileuuid", ""))
        entry = int(events.metadata.get("entrystart", 0))
        caller = Caller.of_chunk(task.dataset, uuid, entry)
        work = ChunkWork(self.config, self.channels, self.plans[task.dataset], caller)
        objects, known = from_events(events), events.metadata.get("whole")
        original = None if known is None else OriginalEvents.from_json(known)
        first = int(events.metadata.get("entries", (entry,))[0])
        titles = _titles(events, work.plan) if original is None and not task.is_data else {}
        branch = None if task.is_data else task.weight_branch
        weight = generator_weights(objects, branch, task.weight_clip, first_entry=first)
        work.skim(objects, weight, original, titles=titles)
        if task.is_data:
            work.sums["sections"] = {
                uuid: _sections(objects) if original is None else original.sections
            }
        if hasattr(events, "narrowed"):
            passed = events.narrowed(work.skimmed)  # of the others nothing more is read
        else:
            passed = events if len(work.skimmed) == len(events) else events[work.skimmed]
        parts = None
        if self.writer is not None and writes:
            parts = self.writer.write(passed, work.sums, is_data=task.is_data)
        if self.has_analysis:
            nominal = work.fill_nominal(from_events(passed), task.lumi_mask, task.selection)
            self.after_nominal(work, nominal, task)
            if task.is_data and self.config.statistics is not None and self.config.statistics.blind:
                work.sums["n_kept"] = 0  # reports are not to tell what blinded channels hold
        work.sums["n_draws"] = caller.n_draws
        if parts is not None:
            work.sums["skim_parts"] = parts
        return work.sums

    def after_nominal(self, work: ChunkWork, nominal: NominalChunk, task: DatasetTask) -> None:
        """Do what follows on the nominal events, which is to fill the object systematics."""
        if work.plan.object_systematics and nominal.n_events:
            fill_object_systematics(work, nominal, f"{self.key}/{task.dataset}")

    def postprocess(self, accumulator: Any) -> Any:
        """Do nothing: normalisation waits until all chunks are in."""
        return accumulator


def _titles(events: ak.Array, plan: VariationPlan) -> dict[str, str]:
    """Return the titles of the branches of theory weights that a file has."""
    names = dict.fromkeys([*BRANCHES, *(branch_of(plan, place).obj for place in plan.members)])
    present = [name for name in names if name in events.fields]
    if hasattr(events, "title"):
        return {name: str(events.title(name)) for name in present}
    # as coffea's own events say it
    return {name: str(events[name].layout.parameters.get("__doc__") or "") for name in present}


def _sections(objects: Objects) -> LumiSections:
    """Return the luminosity sections of a chunk; none where events do not say theirs."""
    names = ("run", "luminosityBlock")
    if not all(objects.has(name) for name in names):
        return LumiSections.union(())
    return LumiSections.of(*(ak.to_numpy(objects[name]) for name in names))


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
        """Add the events of other chunks; of too many, a random sample is left."""
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
        """Return the events in an order that does not depend on chunks, `MAX_EVENTS` at most."""
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
        samples = work.sums.setdefault("samples", {})
        for name, (matrix, processes) in self.wanted.items():
            if task.process in processes:
                values = work.caller.evaluate(matrix.spec, f"mva.{name}", level.mva)
                samples[name] = TrainingTable.of(identity, weights, values)
