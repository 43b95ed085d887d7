"""All object variations in one pass: (variation × event) rows instead of one call a variation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from intccms.engine.chunk import ChunkWork
from intccms.engine.consequences import content, lists_of
from intccms.engine.evaluation import Call, Level, Nominal, masked
from intccms.engine.shifts import Columns, Starts
from intccms.engine.traces import Traces
from intccms.engine.variations import Variation, VariationPlan
from intccms.functors.calls import Selection
from intccms.functors.columns import Column
from intccms.functors.dependencies import CutOrigins, Origins
from intccms.functors.lists import Lists
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
    part : shape (n_part,)
        All events that the slab is about.
    moved : shape (n_shifts, n_part)
        Which of them each shift moves; the others have their nominal answer.
    """

    shifts: tuple[Variation, ...]
    events: Index
    shift_of: Index
    level: Level
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
    good = nominal.good if is_masked else {}
    before = nominal.stages[-1 if is_masked else 0]
    for part in np.array_split(events, n_parts):
        starts, old = Starts(plan, nominal.corrected, part, work.factors, good), before.take(part)
        for start in range(0, len(plan.shifts), size):
            shifts = plan.shifts[start : start + size]
            columns = [starts.shifted(shift) for shift in shifts]
            moved = np.stack(
                [
                    np.ones(len(part), dtype=np.bool_)
                    if one_by_one or _moves_weights(plan, shift)
                    else _moved_events(old, column, len(part))
                    for shift, column in zip(shifts, columns, strict=True)
                ]
            )
            rows = _rows(old, moved, columns)
            shift_of, index = np.nonzero(moved)
            objects = mva = rows
            if not is_masked:
                names = {top_level(ref).obj for column in columns for ref in column}
                state = {name: rows[name] for name in names}
                index_of = part[index]
                objects = _remasked(nominal.stages, masks.analysis, state, index_of, traces, call)
                mva = objects
                if masks.mva:
                    mva = _remasked(nominal.mva_stages, masks.mva, state, index_of, traces, call)
            yield Slab(shifts, part[index], shift_of, Level(objects, mva), part, moved)


def _moves_weights(plan: VariationPlan, shift: Variation) -> bool:
    """Say whether an event weight moves together with the shift (``varies_with``)."""
    sources = (source for c in plan.corrections for source in c.uncertainty_sources)
    return any(plan.companion(source, shift) is not None for source in sources)


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


def _rows(old: Objects, moved: Bools, columns: Sequence[Columns]) -> Objects:
    """Return the rows of all shifts, one shift after the other."""
    rows = old.take(np.nonzero(moved)[1])
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
        row_lists = (
            None
            if lists is None
            else Lists.of_counts(np.concatenate([lists.counts[is_moved] for is_moved in moved]))
        )
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


def _remasked(
    stages: Sequence[Objects],
    masks: Sequence[ObjectMask],
    moved: dict[str, ak.Array],
    index: Index,
    traces: Traces,
    call: Call,
) -> Objects:
    """Apply again the masks whose answer a shift can change; take the others from the nominal."""
    affected = traces.affected(masks)
    state = dict(moved)
    for i, mask in enumerate(masks):
        if mask.object not in affected:
            continue
        view = stages[i].take(index).replaced(state)
        good = call(mask, f"good_object_masks[{i}] ({mask.object})", view)
        state[mask.object] = masked(view, mask, good)
    return stages[-1].take(index).replaced(state)
