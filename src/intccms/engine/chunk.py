"""The work on one chunk: pre-selection, nominal objects and fill, with the weight variations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Required, TypedDict

import numpy as np
from numpy.typing import NDArray

from intccms.datasets.sections import LumiSections
from intccms.engine.calls import (
    Caller,
    Level,
    Nominal,
    Selection,
    apply_masks,
    as_flat,
    channel_rows,
    observable_values,
    select,
)
from intccms.engine.corrections import Factors
from intccms.engine.object_corrections import correct
from intccms.engine.objects import Objects
from intccms.engine.variations import (
    Index,
    MemberTable,
    VariationPlan,
    Weights,
    check_sums,
    member_sums,
    member_tables,
    weight_matrix,
    weight_sums,
)
from intccms.errors import BadContentError, FunctionError
from intccms.histograms.exact import ExactSums, WeightSpectrum
from intccms.histograms.sums import (
    CutflowSums,
    HistogramSums,
    MemberSums,
    OriginalEvents,
    WeightSums,
)
from intccms.schema import Channel, Config, FunctionSpec, Observable, UncertaintySource

LARGEST = 1e100  # of a weight; that of its square is 1e200, and sums end at 1e308


def generator_weights(
    objects: Objects, branch: str | None, clip: float | None = None, *, first_entry: int = 0
) -> tuple[Weights, WeightSpectrum | None]:
    """Return what each event counts before any correction, and for simulation the spread of it.

    Parameters
    ----------
    branch
        By its name in the file, also of a column that belongs to a group: ``Generator_weight``;
        None for data, where the weight is 1.
    clip
        Larger weights count as this; None: there is no bound.
    first_entry
        Where the chunk begins in its file, for the error.

    Raises
    ------
    BadContentError
        If one is not finite, or so large that its square cannot be added up.
    """
    if branch is None:
        return np.ones(objects.n), None
    weight = as_flat(objects.branch(branch), objects.n, branch).astype(np.float64)
    bad = np.flatnonzero(~(np.abs(weight) < LARGEST))
    if len(bad):
        others = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        value, entry = weight[bad[0]], first_entry + bad[0]
        raise BadContentError(f"bad content: {branch} is {value:g} at entry {entry}{others}")
    if clip is None:
        return weight, WeightSpectrum.of(weight)
    n_clipped = int(np.count_nonzero(np.abs(weight) > clip))
    weight = np.clip(weight, -clip, clip)
    return weight, WeightSpectrum.of(weight, n_clipped)


class Steps:
    """Counts, cut by cut, how far each event of a chunk comes.

    Parameters
    ----------
    n, gen_weight
        Events at hand, and the weight of each.
    whole
        Where these are those of a skim: what they were taken from.
    """

    def __init__(self, n: int, gen_weight: Weights, original: OriginalEvents | None = None) -> None:
        self.gen_weight, self.whole = gen_weight, original
        self._names = ["all events"]
        self._depth = np.ones(n, dtype=np.intp)

    def keep(self, name: str, events: Index) -> None:
        """Add one cut that `events` pass."""
        self._names.append(name)
        self._depth[events] += 1

    def add(self, selection: Selection, events: Index, name: str) -> None:
        """Add the named cuts of a selection of `events`, one after the other."""
        alive = np.ones(len(events), dtype=np.bool_)
        for cut, mask in (selection.steps() or {name: selection.mask}).items():
            alive &= mask
            self.keep(cut if cut not in self._names else f"{name}: {cut}", events[alive])

    def flow(
        self, channel: str, selection: Selection, events: Index, weights: Weights
    ) -> CutflowSums:
        """Return the cutflow of one channel; its last step has all corrections in."""
        steps = Steps(len(self._depth), self.gen_weight)
        steps._names, steps._depth = list(self._names), self._depth.copy()
        steps.add(selection, events, channel)
        flow = CutflowSums.of(steps._names, steps._depth, self.gen_weight)
        if self.whole is not None:
            flow = flow.beginning_with(self.whole.n_events, self.whole.sumw)
        return flow.then("event weights", len(weights), ExactSums.total(weights))


Values = NDArray[Any]


class ChunkSums(TypedDict, total=False):
    """The sums of a chunk, not normalised; those of several chunks are added with ``+``.

    ``n_kept`` counts the events that at least one channel keeps, ``overlaps`` those that two of
    them keep, ``n_draws`` the calls that drew random numbers. ``sumw`` is of the generator weights
    of all events, before any cut, ``spectrum`` says how they are spread, ``weights`` has the
    titles of theory weights and sums of the varied ones likewise. ``histograms`` and ``members``
    (theory weights that are to be combined) are by channel and observable, ``cutflow`` by channel,
    ``sections`` (of data, all events) by the uuid of the file, ``samples`` by classifier;
    ``skim_parts`` are the records of what was written, ``fill_s`` the seconds spent on filling.
    """

    n_events: Required[int]
    n_kept: Required[int]
    sumw: Required[ExactSums]
    weights: Required[WeightSums]
    members: Required[dict[tuple[str, str], MemberSums]]
    histograms: Required[dict[tuple[str, str], HistogramSums]]
    cutflow: Required[dict[str, CutflowSums]]
    overlaps: Required[dict[tuple[str, str], int]]
    n_draws: Required[int]
    fill_s: Required[float]
    spectrum: WeightSpectrum
    sections: dict[str, LumiSections]
    samples: dict[str, Any]
    skim_parts: Any


@dataclass(frozen=True)
class KeptEvents:
    """The nominal events that a channel keeps.

    Parameters
    ----------
    events : shape (n_kept,)
        Their positions among the pre-selected ones.
    weights : shape (n_kept,)
        Nominal weights.
    values
        By observable.
    """

    events: Index
    weights: Weights
    values: dict[str, Values]


@dataclass(frozen=True)
class NominalChunk:
    """The nominal answer for a chunk, from which the object systematics start.

    Parameters
    ----------
    objects
        Nominal objects, at every step, of the pre-selected events.
    gen_weight : shape (n_events,)
        Of the pre-selected events.
    baseline
        Answer of the baseline for them.
    passed : shape (n_passed,)
        Which of them pass the baseline.
    level, selections
        Objects past the baseline, derived columns attached, and each channel's answer for them.
    kept
        By channel, what was filled.
    """

    objects: Nominal
    gen_weight: Weights
    baseline: Selection
    passed: Index
    level: Level
    selections: list[tuple[Channel, Selection]]
    kept: dict[str, KeptEvents]

    @property
    def n_events(self) -> int:
        """Pre-selected events."""
        return len(self.gen_weight)


class ChunkWork:
    """Evaluates and fills one chunk; made anew for each.

    Parameters
    ----------
    config, channels, plan
        What to do for this dataset.
    caller
        Calls the user's functions with the seed of this chunk.
    """

    def __init__(
        self, config: Config, channels: Sequence[Channel], plan: VariationPlan, caller: Caller
    ) -> None:
        self.config, self.channels, self.plan, self.caller = config, channels, plan, caller
        self.skimmed: Index = np.empty(0, dtype=np.int64)  # events that pass the skim selection
        caller.is_checked = config.general.check_functors
        caller.is_plain = config.general.columns == "awkward"
        self.factors = Factors(config.general.input_path, caller)
        self.sums: ChunkSums = {
            "n_events": 0,
            "n_kept": 0,
            "sumw": ExactSums.zeros(1),
            "weights": WeightSums({}, MemberSums.nothing()),
            "members": {},
            "histograms": {},
            "cutflow": {},
            "overlaps": {},
            "n_draws": 0,
            "fill_s": 0.0,
        }
        self._steps = Steps(0, np.empty(0))

    def skim(
        self,
        objects: Objects,
        weights: tuple[Weights, WeightSpectrum | None],
        whole: OriginalEvents | None = None,
        *,
        titles: Mapping[str, str] | None = None,
    ) -> None:
        """Count the events and apply the skim selection; the answer is in `skimmed`.

        Parameters
        ----------
        objects
            All events of the chunk.
        weights
            What each of them counts, see `generator_weights`.
        whole
            Where `objects` are those of a skim: what they were taken from.
        titles
            Of the branches of theory weights, where `objects` are all of a file's.
        """
        gen_weight, spectrum = weights
        self._steps = Steps(objects.n, gen_weight, whole)
        sums, plan = self.sums, self.plan
        sums["n_events"] = objects.n if whole is None else whole.n_events
        sums["sumw"] = ExactSums.total(gen_weight) if whole is None else whole.sumw
        if whole is None:
            sums["weights"] = weight_sums(plan, objects, gen_weight, titles or {}, self.factors)
        else:
            sums["weights"], spectrum = whole.weights, whole.spectrum
            if whole.n_events:
                check_sums(plan, whole.weights)
        if spectrum is not None:
            sums["spectrum"] = spectrum
        spec = self.config.preprocess.skimming.selection
        self.skimmed = np.arange(objects.n)
        if spec is not None and (whole is None or not whole.is_selected):
            answer = select(spec, "preprocess.skimming", objects, self.caller.evaluate)
            self.skimmed = np.flatnonzero(answer.mask)
        if spec is not None:
            self._steps.keep("skim", self.skimmed)
        sums["n_kept"] = len(self.skimmed)

    def fill_nominal(
        self, objects: Objects, lumi_mask: FunctionSpec | None, part: FunctionSpec | None = None
    ) -> NominalChunk:
        """Select and fill the nominal events; the weight variations go in with them.

        Parameters
        ----------
        objects
            The events that `skim` has left.
        lumi_mask
            Certified sections, for data.
        part
            Selection of the dataset: the part of its events that counts.
        """
        steps, gen_weight = self._steps, self._steps.gen_weight
        selected = self.skimmed
        for spec, key, name in (
            (lumi_mask, "lumi_mask", "lumi mask"),
            (part, "selection of the dataset", "dataset selection"),
        ):
            if spec is not None:
                answer = select(spec, key, objects, self.caller.evaluate)
                passed = np.flatnonzero(answer.mask)
                selected, objects = selected[passed], objects.narrowed(passed)
                steps.keep(name, selected)
        nominal = self._nominal_objects(objects)
        call, spec = self.caller.evaluate, self.config.baseline_selection
        baseline = select(spec, "baseline_selection", nominal.stages[-1], call)
        steps.add(baseline, selected, "baseline")
        passed = np.flatnonzero(baseline.mask)
        level, selections = channel_rows(
            nominal.level.take(passed), self.config, self.channels, call
        )
        kept_by = {}
        for channel, selection in selections:
            rows = np.flatnonzero(selection.mask)
            chosen = level.objects.take(rows)
            events = selected[passed]
            gen = gen_weight[events[rows]]
            weights = weight_matrix(self.plan, chosen, gen, self.factors, channel.name)
            self.sums["cutflow"][channel.name] = steps.flow(
                channel.name, selection, events, weights[0]
            )
            values: dict[str, Values] = {}
            for observable in self.observables(channel):
                key = f"channels.{channel.name}.{observable.name}"
                values[observable.name] = observable_values(observable, key, chosen, call)
                self.add(channel, observable, values[observable.name], weights)
            self._fill_members(channel, chosen, weights[0], values)
            kept_by[channel.name] = KeptEvents(passed[rows], weights[0], values)
        self._count_channels(selections, len(passed))
        return NominalChunk(
            nominal, gen_weight[selected], baseline, passed, level, selections, kept_by
        )

    def _count_channels(
        self, selections: Sequence[tuple[Channel, Selection]], n_events: int
    ) -> None:
        """Count the events that any channel keeps, and those that two of them keep."""
        n_channels = np.zeros(n_events, dtype=np.intp)
        for _, selection in selections:
            n_channels += selection.mask
        self.sums["n_kept"] = int(np.count_nonzero(n_channels))
        shared = n_channels > 1
        if not shared.any():
            return
        masks = {channel.name: selection.mask[shared] for channel, selection in selections}
        for one, other in combinations(sorted(masks), 2):
            if n := int(np.count_nonzero(masks[one] & masks[other])):
                self.sums["overlaps"][one, other] = n

    def _nominal_objects(self, objects: Objects) -> Nominal:
        corrected = correct(self.plan, objects, self.factors)
        masks, call = self.config.good_object_masks, self.caller.evaluate
        key = "good_object_masks"
        stages, good = apply_masks(corrected[-1], masks.analysis, call, f"{key}.analysis")
        mva = stages
        if masks.mva:
            mva, _ = apply_masks(corrected[-1], masks.mva, call, f"{key}.mva")
        return Nominal(corrected, stages, mva, good)

    def _fill_members(
        self, channel: Channel, objects: Objects, weights: Weights, values: dict[str, Values]
    ) -> None:
        """Fill the members of theory weights; they are combined when all chunks are in."""
        start = time.perf_counter()
        tables_of: list[tuple[UncertaintySource, MemberTable]] = []
        for place in self.plan.members:
            if not all(part.is_in(channel.name) for part in self.plan.of(place)):
                continue
            tables = member_tables(self.plan, place, objects, self.sums["weights"].titles)
            tables_of += [(self.plan.of(place)[1], table) for table in tables]
        for observable in self.observables(channel) if tables_of else ():
            total = MemberSums.nothing(len(observable.binning) + 1)
            for source, table in tables_of:
                numbers = values[observable.name]
                total += member_sums(source, table, weights, numbers, observable.binning)
            self.sums["members"][channel.name, observable.name] = total
        self.sums["fill_s"] += time.perf_counter() - start

    def observables(self, channel: Channel) -> Sequence[Observable]:
        """Return what is histogrammed."""
        return channel.observables if self.config.general.run_histogramming else ()

    def add(
        self,
        channel: Channel,
        observable: Observable,
        values: Values,
        weights: Weights,
        variation: Index | None = None,
    ) -> None:
        """Add values of an observable to its histogram.

        Parameters
        ----------
        values
            Of the events or rows that the channel keeps.
        weights : shape (n_variations, n_events) or (n_rows,)
            Nominal and weight variations of events, or the weight of each row of the shifts.
        variation : shape (n_rows,)
            For rows: their position in ``plan.labels``.
        """
        start, labels = time.perf_counter(), self.plan.labels
        used = labels if variation is not None else labels[: len(weights)]
        try:
            filled = HistogramSums.filled(used, observable.binning, values, weights, variation)
        except ValueError as exc:
            raise FunctionError(f"channels.{channel.name}.{observable.name}: {exc}") from exc
        filled = filled.aligned(labels)
        where = (channel.name, observable.name)
        before = self.sums["histograms"].get(where)
        self.sums["histograms"][where] = filled if before is None else before + filled
        self.sums["fill_s"] += time.perf_counter() - start
