"""Filling the object variations of one chunk: only events that may pass in one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.engine.batch import Slab, early_mask, slabs
from intccms.engine.chunk import ChunkWork, NominalChunk
from intccms.engine.evaluation import channel_rows, observable_values, select, with_ghosts
from intccms.engine.steps import Index
from intccms.engine.traces import Traces, trace_functions
from intccms.engine.weights import shifted_weights
from intccms.errors import FunctorError
from intccms.functors.calls import Selection
from intccms.functors.cuts import CutOrigins
from intccms.functors.dependencies import NONE
from intccms.functors.objects import Objects
from intccms.schema import Channel, Functor, ObjVar, Observable

__all__ = ["fill_shifts"]

_traces: dict[str, Traces] = {}  # of this process, by processor and dataset: the same in each chunk


def fill_shifts(work: ChunkWork, nominal: NominalChunk, key: str) -> None:
    """Evaluate every object variation on the events that it can concern, and fill.

    Parameters
    ----------
    work
        Of this chunk; its histograms get the rows.
    nominal
        What it found for the nominal.
    key
        Names the processor and dataset, whose functions are traced once.
    """
    traces, draws = _traced(work, nominal, key), work.caller.drew
    events = np.arange(nominal.n_events) if draws else _candidates(work, nominal, traces)
    if not len(events):
        return
    for slab in slabs(nominal.objects, events, work, traces=traces, one_by_one=draws):
        _Filler(work, nominal, traces, slab).fill()


def _traced(work: ChunkWork, nominal: NominalChunk, key: str) -> Traces:
    if key in _traces:
        return _traces[key]
    traces = trace_functions(
        work.config,
        work.channels,
        work.plan.touched_by_any(),
        stages=nominal.objects.stages,
        level=nominal.level,
    )
    if nominal.level.objects.n:
        _traces[key] = traces
    return traces


def _candidates(work: ChunkWork, nominal: NominalChunk, traces: Traces) -> Index:
    """Return the events that a channel may keep in some variation.

    Cuts that no shift can move have their answer already, from the nominal objects. Outside the
    nominal baseline a channel's functions may fail; then all events there stay candidates.
    """
    has_baseline = work.config.baseline_selection is not None
    origins = traces.baseline if has_baseline else None
    possible = early_mask(nominal.baseline, origins, traces.moving)
    keep = np.zeros(len(possible), dtype=np.bool_)
    keep[nominal.passed[_in_any(nominal.selections, traces)]] = True
    outside = np.flatnonzero(possible & ~nominal.baseline.mask)
    if len(outside):
        try:
            _, selections = channel_rows(
                nominal.objects.level.take(outside),
                work.config,
                work.channels,
                work.caller.functor,
            )
            keep[outside[_in_any(selections, traces)]] = True
        except FunctorError:
            keep[outside] = True
    return np.flatnonzero(keep)


def _in_any(selections: list[tuple[Channel, Selection]], traces: Traces) -> NDArray[np.bool_]:
    masks = [
        early_mask(selection, traces.channels.get(channel.name), traces.moving)
        for channel, selection in selections
    ]
    in_any: NDArray[np.bool_] = np.logical_or.reduce(masks)
    return in_any


@dataclass(frozen=True)
class _Filler:
    """Selects, weights and fills the rows of a slab."""

    work: ChunkWork
    nominal: NominalChunk
    traces: Traces
    slab: Slab

    def fill(self) -> None:
        """Fill all channels."""
        slab, work, traces, nominal = self.slab, self.work, self.traces, self.nominal
        functor, call = work.config.baseline_selection, work.caller.functor
        answer = nominal.baseline.mask
        unsure = self._unsure(traces.baseline, np.arange(len(slab.events)))
        key = "baseline_selection"
        mask = self._selected(functor, key, slab.level.objects, answer[slab.events], unsure)
        rows, level = np.flatnonzero(mask), slab.level.kept(mask)
        level = with_ghosts(level, work.config, call) if len(rows) else level
        unknown = ~answer[slab.events[rows]]  # what a channel says outside the nominal baseline
        for channel, selection in nominal.selections:
            answer = np.zeros(nominal.n_events, dtype=np.bool_)
            answer[nominal.passed] = selection.mask
            unsure = unknown | self._unsure(traces.channels.get(channel.name), rows)
            key, known = f"channels.{channel.name}", answer[slab.events[rows]]
            inside = self._selected(channel.selection, key, level.objects, known, unsure)
            self._fill_channel(channel, level.objects.kept(inside), rows[inside])

    def _unsure(self, origins: CutOrigins | None, rows: Index) -> NDArray[np.bool_]:
        """Say in which of `rows` the answer of a function may not be the nominal one."""
        found = NONE if origins is None else origins.origins
        if found & self.traces.touched:
            return np.ones(len(rows), dtype=np.bool_)
        return self.slab.changed[rows] & bool(found & self.traces.moving)

    def _selected(
        self,
        functor: Functor | None,
        key: str,
        objects: Objects,
        nominal: NDArray[np.bool_],
        unsure: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Evaluate a selection where the nominal answer may not be that of a row."""
        rows = np.flatnonzero(unsure)
        if not len(rows):
            return nominal
        answer = nominal.copy()
        some = objects if len(rows) == len(unsure) else objects.take(rows)
        answer[rows] = select(functor, key, some, self.work.caller.functor).mask
        return answer

    def _fill_channel(self, channel: Channel, objects: Objects, rows: Index) -> None:
        """Fill the rows that a channel keeps, and the nominal answer where nothing has moved."""
        work, slab, plan = self.work, self.slab, self.work.plan
        events, shift_of = slab.events[rows], slab.shift_of[rows]
        weights = shifted_weights(
            plan,
            self.nominal.gen_weight[events],
            shift_of,
            shifts=slab.shifts,
            objects_for=self._evaluated_on(objects, events),
            factors=work.factors,
            channel=channel.name,
        )
        still, still_shift = self._unmoved(channel)
        kept = self.nominal.kept[channel.name]
        weights = np.concatenate([weights, kept.weights[still]])
        first = 1 + len(plan.weights) + plan.shifts.index(slab.shifts[0])
        variation = first + np.concatenate([shift_of, still_shift])
        if not len(weights):
            return
        for observable in work.observables(channel):
            values = self._values(channel, observable, objects, events)
            values = np.concatenate([values, kept.values[observable.name][still]])
            work.add(channel, observable, values, weights, variation)

    def _unmoved(self, channel: Channel) -> tuple[Index, Index]:
        """Return which events that the channel keeps nominally stay as they are in which shift."""
        slab, events = self.slab, self.nominal.kept[channel.name].events
        position = np.full(self.nominal.n_events, -1)
        position[slab.part] = np.arange(len(slab.part))
        inside = np.flatnonzero(position[events] >= 0)
        shift_of, still = np.nonzero(~slab.moved[:, position[events[inside]]])
        return inside[still], shift_of

    def _values(
        self, channel: Channel, observable: Observable, objects: Objects, events: Index
    ) -> NDArray[Any]:
        key = f"channels.{channel.name}.{observable.name}"
        chosen, expand = self._evaluated_on(objects, events)(observable.use)
        if not chosen.n:
            return np.zeros(0)
        return observable_values(observable, key, chosen, self.work.caller.functor)[expand]

    def _evaluated_on(
        self, objects: Objects, events: Index
    ) -> Callable[[Iterable[ObjVar]], tuple[Objects, Index]]:
        """Say on what a function of some columns is evaluated, and where each row's answer is.

        That is the rows; or each event once, where no shift can change the answer.
        """
        is_in = np.zeros(self.nominal.n_events, dtype=np.bool_)
        is_in[events] = True
        once = self.nominal.objects.stages[-1].kept(is_in)  # these have no ghosts
        expand = (np.cumsum(is_in) - 1)[events]
        ghosts = {c for ghost in self.work.config.ghost_observables for c in ghost.collections}

        def choose(use: Iterable[ObjVar]) -> tuple[Objects, Index]:
            refs = tuple(use)
            if self.traces.reaches(refs) or any(ref.obj in ghosts for ref in refs):
                return objects, np.arange(len(events))
            return once, expand

        return choose
