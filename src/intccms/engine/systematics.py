"""All object systematics of a chunk in one pass: rows (variation × event), selected and filled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from chunkcolumns import Column, Pick, as_column
from intccms.engine.calls import (
    Call,
    Level,
    Nominal,
    Selection,
    channel_rows,
    masked,
    observable_values,
    select,
    with_derived,
)
from intccms.engine.chunk import ChunkWork, NominalChunk
from intccms.engine.corrections import apply
from intccms.engine.object_corrections import Columns, Starts
from intccms.engine.objects import Objects, content, lists_of, top_level
from intccms.engine.tracing import NONE, CutOrigins, Origins, Traces, trace_functions
from intccms.engine.variations import Index, Variation, Weights, checked, reads
from intccms.errors import FunctionError
from intccms.execution.memory import BYTES_PER_ROW
from intccms.schema import Channel, FunctionSpec, ObjectMask, ObjVar

Bools = NDArray[np.bool_]
Evaluated = Callable[[Iterable[ObjVar]], tuple[Objects, Index]]


@dataclass(frozen=True)
class Batch:
    """The rows of some object systematics: of each the events in which it moves anything.

    Parameters
    ----------
    shifts
        In the order of the rows.
    events, shift_of : shape (n_rows,)
        Which event of the chunk, and which of `shifts`, each row is.
    level
        Objects of the rows.
    changed : shape (n_rows,)
        Where other objects may be good than nominally.
    part : shape (n_part,)
        All events that the batch is about.
    moved : shape (n_shifts, n_part)
        Which of them each object systematic moves; the others have their nominal answer.
    """

    shifts: tuple[Variation, ...]
    events: Index
    shift_of: Index
    level: Level
    changed: Bools
    part: Index
    moved: Bools


def early_mask(
    selection: Selection, origins: CutOrigins | None, changed: Origins
) -> NDArray[np.bool_]:
    """Return the events that may pass `selection` in some variation.

    Cuts that no object systematic can move are taken from the nominal answer; for all others every
    event may pass.
    """
    if origins is None or not origins.origins & changed:
        return selection.mask
    mask = np.ones(len(selection.mask), dtype=np.bool_)
    for name in origins.untouched(changed):
        mask &= selection.cuts[name]
    return mask


def batches(
    nominal: Nominal,
    events: Index,
    work: ChunkWork,
    *,
    traces: Traces,
    one_by_one: bool,
) -> Iterator[Batch]:
    """Make the rows of all object systematics, a bounded number at a time.

    Parameters
    ----------
    nominal
        Where each object systematic starts from.
    events : shape (n_events,)
        Events of the chunk that may pass in some variation.
    work
        Its `general.batch_memory_mb` bounds the memory of a batch.
    one_by_one
        Whether a batch holds one object systematic of all events: a function that draws random
        numbers sees the same ones only in an array that is built as the nominal one.
    """
    limit = max(int(work.config.general.batch_memory_mb * 1e6 / BYTES_PER_ROW), 1)
    n_parts, size = max(-(-len(events) // limit), 1), max(limit // max(len(events), 1), 1)
    if one_by_one:
        n_parts, size = 1, 1
    masks, plan, call = work.config.good_object_masks, work.plan, work.caller.evaluate
    is_masked = not masks.mva and traces.masks_are_fixed(masks.analysis)
    needed = {}
    if not (is_masked or one_by_one or masks.mva):
        needed = traces.needed(masks.analysis, nominal.stages)
    good = nominal.good if is_masked else {name: [mask] for name, mask in needed.items()}
    before = nominal.stages[-1 if is_masked else 0]
    before = before.replaced({name: before[name][mask] for name, mask in needed.items()})
    companions = [s for c in plan.corrections for s in c.uncertainty_sources if s.varies_with]
    for part in np.array_split(events, n_parts):
        starts, chosen = Starts(plan, nominal.corrected, part, work.factors, good), Pick(part)
        old = before.take(chosen)
        for start in range(0, len(plan.object_systematics), size):
            shifts = plan.object_systematics[start : start + size]
            columns = [starts.shifted(shift) for shift in shifts]
            moved = np.stack([_moved_events(old, column, len(part)) for column in columns])
            for is_moved, shift in zip(moved, shifts, strict=True):
                if one_by_one or any(plan.companion(one, shift) for one in companions):
                    is_moved[:] = True
            shift_of, index = np.nonzero(moved)
            rows = _Rows(chosen, Pick(index), needed, traces, call)
            objects = mva = _rows(old, rows.of_part, moved, columns)
            changed = np.zeros(len(index), dtype=np.bool_)
            if not is_masked:
                names = {top_level(ref).obj for column in columns for ref in column}
                state = {name: objects[name] for name in names}
                objects, changed = rows.remasked(
                    nominal.stages, masks.analysis, state, nominal.good
                )
                mva = objects
                if masks.mva:
                    mva, _ = rows.remasked(nominal.mva_stages, masks.mva, state, {})
            level = Level(objects, mva)
            yield Batch(shifts, part[index], shift_of, level, changed, part, moved)


def _moved_events(old: Objects, columns: Columns, n: int) -> Bools:
    """Return the mask of the events in which one object systematic changes any number."""
    moved = np.zeros(n, dtype=np.bool_)
    for ref, new in columns.items():
        if ref.field is None:
            ordered, lists = np.arange(len(new)), old[ref.obj].lists
            moved |= lists.n_true(new != ordered) > 0
            continue
        column = old.column(ref)
        before = content(column)
        changed = new.astype(before.dtype, copy=False) != before
        if changed.any():
            lists = lists_of(column)
            moved |= changed if lists is None else lists.n_true(changed) > 0
    return moved


@dataclass(frozen=True)
class _Rows:
    """Which events of a chunk rows are, and of which collections only some objects are needed."""

    part: Pick
    of_part: Pick
    needed: dict[str, Column]
    traces: Traces
    call: Call

    def of(self, objects: Objects) -> Objects:
        """Return the rows of all events of the chunk."""
        return objects.take(self.part).take(self.of_part)

    def remasked(
        self,
        stages: Sequence[Objects],
        masks: Sequence[ObjectMask],
        moved: dict[str, ak.Array],
        nominal: Mapping[str, Sequence[Any]],
    ) -> tuple[Objects, Bools]:
        """Apply again the masks whose answer can change; take the others from the nominal.

        Parameters
        ----------
        stages
            Objects of the chunk before each mask, and after the last.
        moved
            Collections of the rows that are not the nominal ones.
        nominal
            By collection, what its masks answered nominally.

        Returns
        -------
        Objects
            Of the rows.
        shape (n_rows,)
            Where an answer is another than nominally.
        """
        affected, state = self.traces.affected(masks), dict(moved)
        changed = np.zeros(len(self.of_part), dtype=np.bool_)
        for i, mask in enumerate(masks):
            if mask.object not in affected:
                continue
            view = self.of(stages[i]).replaced(state)
            good = self.call(mask, f"good_object_masks[{i}] ({mask.object})", view)
            state[mask.object] = masked(view, mask, good)
            changed |= self._differ(mask.object, as_column(good), nominal.get(mask.object, ()))
        return self.of(stages[-1]).replaced(state), changed

    def _differ(self, name: str, good: Any, nominal: Sequence[Any]) -> Bools:
        """Return the mask of the rows in which other objects are `good` than nominally."""
        was = nominal[0] if len(nominal) == 1 else None
        if not isinstance(was, Column) or not isinstance(good, Column):
            return np.ones(len(self.of_part), dtype=np.bool_)
        was = (was[self.needed[name]] if name in self.needed else was).taken(self.part)
        now: Column = good != was.taken(self.of_part)
        return now.values if now.lists is None else now.lists.n_true(now.values) > 0


def _rows(old: Objects, of_part: Pick, moved: Bools, columns: Sequence[Columns]) -> Objects:
    """Return the rows of all object systematics, one after the other."""
    rows = old.take(of_part)
    refs = dict.fromkeys(ref for column in columns for ref in column)
    for ref in sorted(refs, key=lambda ref: ref.field is not None):  # the order comes first
        if ref.field is None:
            rows = _reordered(rows, ref, old, moved, columns)
            continue
        before = old.column(ref)
        nominal, lists = content(before), lists_of(before)
        parts = []
        for is_moved, column in zip(moved, columns, strict=True):
            order = column.get(ObjVar(ref.obj), slice(None))
            new = column.get(ref, nominal[order]).astype(nominal.dtype, copy=False)
            parts.append(new[is_moved if lists is None else lists.each(is_moved)])
        row_lists = None if lists is None else lists.take(of_part)[0]
        rows = rows.with_typed(ref, Column(np.concatenate(parts), row_lists))
    return rows


def _reordered(
    rows: Objects, ref: ObjVar, old: Objects, moved: Bools, columns: Sequence[Columns]
) -> Objects:
    """Return rows in which the objects of one collection stand in each systematic's own order."""
    lists, own = old[ref.obj].lists, rows[ref.obj].lists
    start, same = lists.each(lists.offsets[:-1]), np.arange(lists.offsets[-1])
    parts = [
        (column.get(ref, same) - start)[lists.each(is_moved)]
        for is_moved, column in zip(moved, columns, strict=True)
    ]
    order = np.concatenate(parts) + own.each(own.offsets[:-1])
    return rows.replaced({ref.obj: rows[ref.obj].arranged(order)})


_traces: dict[str, Traces] = {}  # of this process, by processor and dataset: the same in each chunk


def fill_object_systematics(work: ChunkWork, nominal: NominalChunk, key: str) -> None:
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
    traces, draws = _traces.get(key), work.caller.drew
    if traces is None:
        level, stages, touched = nominal.level, nominal.objects.stages, work.plan.touched_by_any()
        traces = trace_functions(work.config, work.channels, touched, stages=stages, level=level)
        if level.objects.n:
            _traces[key] = traces
    events = np.arange(nominal.n_events) if draws else _candidates(work, nominal, traces)
    if not len(events):
        return
    for batch in batches(nominal.objects, events, work, traces=traces, one_by_one=draws):
        _Filler(work, nominal, traces, batch).fill()


def _candidates(work: ChunkWork, nominal: NominalChunk, traces: Traces) -> Index:
    """Return the events that a channel may keep in some variation.

    Cuts that no object systematic can move have their answer already, from the nominal objects.
    Outside the nominal baseline a channel's functions may fail; then all events there stay
    candidates.
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
                work.caller.evaluate,
            )
            keep[outside[_in_any(selections, traces)]] = True
        except FunctionError:
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
    """Selects, weights and fills the rows of a batch."""

    work: ChunkWork
    nominal: NominalChunk
    traces: Traces
    batch: Batch

    def fill(self) -> None:
        """Fill all channels."""
        batch, work, traces, nominal = self.batch, self.work, self.traces, self.nominal
        spec, call = work.config.baseline_selection, work.caller.evaluate
        answer = nominal.baseline.mask
        unsure = self._unsure(traces.baseline, np.arange(len(batch.events)))
        key = "baseline_selection"
        mask = self._selected(spec, key, batch.level.objects, answer[batch.events], unsure)
        rows, level = np.flatnonzero(mask), batch.level.kept(mask)
        level = with_derived(level, work.config, call) if len(rows) else level
        unknown = ~answer[batch.events[rows]]  # what a channel says outside the nominal baseline
        for channel, selection in nominal.selections:
            answer = np.zeros(nominal.n_events, dtype=np.bool_)
            answer[nominal.passed] = selection.mask
            unsure = unknown | self._unsure(traces.channels.get(channel.name), rows)
            key, known = f"channels.{channel.name}", answer[batch.events[rows]]
            inside = self._selected(channel.selection, key, level.objects, known, unsure)
            self._fill_channel(channel, level.objects.kept(inside), rows[inside])

    def _unsure(self, origins: CutOrigins | None, rows: Index) -> NDArray[np.bool_]:
        """Return for which of `rows` the answer of a function may not be the nominal one."""
        columns = NONE if origins is None else origins.origins
        if columns & self.traces.touched:
            return np.ones(len(rows), dtype=np.bool_)
        return self.batch.changed[rows] & bool(columns & self.traces.moving)

    def _selected(
        self,
        spec: FunctionSpec | None,
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
        answer[rows] = select(spec, key, some, self.work.caller.evaluate).mask
        return answer

    def _fill_channel(self, channel: Channel, objects: Objects, rows: Index) -> None:
        """Fill the rows that a channel keeps, and the nominal answer where nothing has moved."""
        work, batch, plan = self.work, self.batch, self.work.plan
        events, shift_of = batch.events[rows], batch.shift_of[rows]
        on = self._evaluated_on(objects, events)
        weights = self._weights(channel, on, events, shift_of)
        still, still_shift = self._unmoved(channel)
        nominal_events = self.nominal.kept[channel.name]
        weights = np.concatenate([weights, nominal_events.weights[still]])
        first = 1 + len(plan.weights) + plan.object_systematics.index(batch.shifts[0])
        variation = first + np.concatenate([shift_of, still_shift])
        if not len(weights):
            return
        for observable in work.observables(channel):
            key, (some, expand) = f"channels.{channel.name}.{observable.name}", on(observable.use)
            values = np.zeros(0)
            if some.n:
                values = observable_values(observable, key, some, work.caller.evaluate)[expand]
            values = np.concatenate([values, nominal_events.values[observable.name][still]])
            work.add(channel, observable, values, weights, variation)

    def _weights(
        self, channel: Channel, objects_for: Evaluated, events: Index, shift_of: Index
    ) -> Weights:
        """Return the weights of rows.

        They are at their nominal index, but those that move together with an object systematic
        (``varies_with``) at its direction.
        """
        plan, factors, weight = self.work.plan, self.work.factors, self.nominal.gen_weight[events]
        for correction in plan.corrections:
            if correction.type != "event" or not correction.is_in(channel.name):
                continue
            some, expand = objects_for(reads(correction))
            factor = checked(factors.nominal(correction, some), some.n, correction)[expand]
            for source in correction.uncertainty_sources:
                if not (source.varies_with and source.is_in(channel.name)):
                    continue
                for position in np.unique(shift_of):
                    side = plan.companion(source, self.batch.shifts[position])
                    if side is None:
                        continue
                    rows = np.flatnonzero(shift_of == position)
                    chosen = some.take(expand[rows])
                    value = factors.varied(correction, source, side, chosen)
                    factor[rows] = checked(value, chosen.n, correction, source.name)
            weight = apply(correction.op, weight, factor)
        return weight

    def _unmoved(self, channel: Channel) -> tuple[Index, Index]:
        """Return which events that the channel keeps nominally stay as they are in which shift."""
        batch, events = self.batch, self.nominal.kept[channel.name].events
        position = np.full(self.nominal.n_events, -1)
        position[batch.part] = np.arange(len(batch.part))
        inside = np.flatnonzero(position[events] >= 0)
        shift_of, still = np.nonzero(~batch.moved[:, position[events[inside]]])
        return inside[still], shift_of

    def _evaluated_on(self, objects: Objects, events: Index) -> Evaluated:
        """Say on what a function of some columns is evaluated, and where each row's answer is.

        That is the rows; or each event once, where no object systematic can change the answer.
        """
        is_in = np.zeros(self.nominal.n_events, dtype=np.bool_)
        is_in[events] = True
        once = self.nominal.objects.stages[-1].kept(is_in)  # these have no derived columns
        expand = (np.cumsum(is_in) - 1)[events]
        made = {c for derived in self.work.config.ghost_observables for c in derived.collections}

        def choose(use: Iterable[ObjVar]) -> tuple[Objects, Index]:
            refs = tuple(use)
            if self.traces.reaches(refs) or any(ref.obj in made for ref in refs):
                return objects, np.arange(len(events))
            return once, expand

        return choose
