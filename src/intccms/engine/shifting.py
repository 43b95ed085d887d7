"""Filling the object variations of one chunk: only events that may pass in one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intccms.engine.batch import Slab, early_mask, slabs
from intccms.engine.chunk import ChunkWork, NominalChunk
from intccms.engine.evaluation import channel_rows, select
from intccms.engine.steps import Index
from intccms.engine.traces import Traces, trace_functions
from intccms.engine.weights import reads, shifted_weights
from intccms.errors import FunctorError
from intccms.functors.calls import Selection
from intccms.functors.objects import Objects
from intccms.schema import Channel, Correction

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
    call, functor = work.caller.functor, work.config.baseline_selection
    for slab in slabs(nominal.objects, events, work, traces=traces, one_by_one=draws):
        baseline = select(functor, "baseline_selection", slab.level.objects, call)
        rows = np.flatnonzero(baseline.mask)
        level, selections = channel_rows(slab.level.take(rows), work.config, work.channels, call)
        source = _Source(work, nominal, traces, slab)
        for channel, selection in selections:
            inside = np.flatnonzero(selection.mask)
            source.fill(channel, level.objects.take(inside), rows[inside])


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
    possible = early_mask(nominal.baseline, origins, traces.touched)
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
        early_mask(selection, traces.channels.get(channel.name), traces.touched)
        for channel, selection in selections
    ]
    in_any: NDArray[np.bool_] = np.logical_or.reduce(masks)
    return in_any


@dataclass(frozen=True)
class _Source:
    """Where the rows of a slab come from."""

    work: ChunkWork
    nominal: NominalChunk
    traces: Traces
    slab: Slab

    def fill(self, channel: Channel, objects: Objects, rows: Index) -> None:
        """Weight and fill the rows that a channel keeps."""
        events, shift_of = self.slab.event_of(rows), self.slab.shift_of(rows)
        unique, expand = np.unique(events, return_inverse=True)
        once = self.nominal.objects.stages[-1].take(unique)  # these have no ghosts
        ghosts = {c for ghost in self.work.config.ghost_observables for c in ghost.collections}

        def objects_for(correction: Correction) -> tuple[Objects, Index]:
            refs = reads(correction)
            if self.traces.reaches(refs) or any(ref.obj in ghosts for ref in refs):
                return objects, np.arange(len(rows))
            return once, expand

        plan = self.work.plan
        weights = shifted_weights(
            plan,
            self.nominal.gen_weight[events],
            shift_of,
            shifts=self.slab.shifts,
            objects_for=objects_for,
            factors=self.work.factors,
        )
        first = 1 + len(plan.weights) + plan.shifts.index(self.slab.shifts[0])
        self.work.fill(channel, objects, weights, first + shift_of)
