"""All object variations in one pass: (variation × event) rows instead of one call a variation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from intccms.engine.chunk import ChunkWork
from intccms.engine.consequences import content, lists_of
from intccms.engine.evaluation import Call, Level, Nominal, masked
from intccms.engine.shifts import Columns, Starts
from intccms.engine.traces import Traces
from intccms.engine.variations import Variation
from intccms.functors.calls import Selection
from intccms.functors.columns import Column, lean
from intccms.functors.cuts import CutOrigins
from intccms.functors.dependencies import Origins
from intccms.functors.lists import Pick
from intccms.functors.objects import Objects, top_level
from intccms.schema import ObjectMask, ObjVar

__all__ = ["Slab", "early_mask", "slabs"]

BYTES_PER_ROW = 600  # measured: peak memory of the chain for one row

Index = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Slab:
    """The rows of some shifts: of each shift the events in which it moves anything.

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
        All events that the slab is about.
    moved : shape (n_shifts, n_part)
        Which of them each shift moves; the others have their nominal answer.
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

    Cuts that no shift can move are taken from the nominal answer; for all others every event
    may pass.
    """
    if origins is None or not origins.origins & changed:
        return selection.mask
    mask = np.ones(len(selection.mask), dtype=np.bool_)
    for name in origins.untouched(changed):
        mask &= selection.cuts[name]
    return mask


def slabs(
    nominal: Nominal,
    events: Index,
    work: ChunkWork,
    *,
    traces: Traces,
    one_by_one: bool,
) -> Iterator[Slab]:
    """Make the rows of all shifts, a bounded number at a time.

    Parameters
    ----------
    nominal
        Where each shift starts from.
    events : shape (n_events,)
        Events of the chunk that may pass in some variation.
    work
        Its `general.batch_memory_mb` bounds the memory of a slab.
    one_by_one
        Whether a slab holds one shift of all events: a function that draws random numbers sees
        the same ones only in an array that is built as the nominal one.
    """
    limit = max(int(work.config.general.batch_memory_mb * 1e6 / BYTES_PER_ROW), 1)
    n_parts, size = max(-(-len(events) // limit), 1), max(limit // max(len(events), 1), 1)
    if one_by_one:
        n_parts, size = 1, 1
    masks, plan, call = work.config.good_object_masks, work.plan, work.caller.functor
    is_masked = not masks.mva and traces.masks_are_fixed(masks.analysis)
    needed = {}
    if not (is_masked or one_by_one or masks.mva):
        needed = traces.needed(masks.analysis, nominal.stages)
    good = nominal.good if is_masked else {name: [mask] for name, mask in needed.items()}
    before = nominal.stages[-1 if is_masked else 0]
    before = before.replaced({name: before[name][mask] for name, mask in needed.items()})
    together = [s for c in plan.corrections for s in c.uncertainty_sources if s.varies_with]
    for part in np.array_split(events, n_parts):
        starts, chosen = Starts(plan, nominal.corrected, part, work.factors, good), Pick(part)
        old = before.take(chosen)
        for start in range(0, len(plan.shifts), size):
            shifts = plan.shifts[start : start + size]
            columns = [starts.shifted(shift) for shift in shifts]
            moved = np.stack([_moved_events(old, column, len(part)) for column in columns])
            for is_moved, shift in zip(moved, shifts, strict=True):
                if one_by_one or any(plan.companion(one, shift) for one in together):
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
            yield Slab(shifts, part[index], shift_of, level, changed, part, moved)


def _moved_events(old: Objects, columns: Columns, n: int) -> Bools:
    """Say in which events one shift changes any number at all."""
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
        """Apply again the masks whose answer a shift can change; take the others from the nominal.

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
            changed |= self._differ(mask.object, lean(good), nominal.get(mask.object, ()))
        return self.of(stages[-1]).replaced(state), changed

    def _differ(self, name: str, good: Any, nominal: Sequence[Any]) -> Bools:
        """Say in which rows other objects are `good` than nominally."""
        was = nominal[0] if len(nominal) == 1 else None
        if not isinstance(was, Column) or not isinstance(good, Column):
            return np.ones(len(self.of_part), dtype=np.bool_)
        was = (was[self.needed[name]] if name in self.needed else was).taken(self.part)
        now: Column = good != was.taken(self.of_part)
        return now.values if now.lists is None else now.lists.n_true(now.values) > 0


def _rows(old: Objects, of_part: Pick, moved: Bools, columns: Sequence[Columns]) -> Objects:
    """Return the rows of all shifts, one shift after the other."""
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
    """Return rows in which each shift's objects of one collection stand in its own order."""
    lists, own = old[ref.obj].lists, rows[ref.obj].lists
    start, same = lists.each(lists.offsets[:-1]), np.arange(lists.offsets[-1])
    parts = [
        (column.get(ref, same) - start)[lists.each(is_moved)]
        for is_moved, column in zip(moved, columns, strict=True)
    ]
    order = np.concatenate(parts) + own.each(own.offsets[:-1])
    return rows.replaced({ref.obj: rows[ref.obj].arranged(order)})
