"""All object variations in one pass: (variation × event) rows instead of one call a variation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from intccms.engine.chunk import ChunkWork
from intccms.engine.evaluation import Call, Level, Nominal, masked
from intccms.engine.shifts import Columns, Starts, tiled
from intccms.engine.traces import Traces
from intccms.engine.variations import Variation
from intccms.functors.calls import Selection
from intccms.functors.dependencies import CutOrigins, Origins
from intccms.functors.objects import Objects, top_level
from intccms.schema import ObjectMask

__all__ = ["Slab", "early_mask", "slabs"]

BYTES_PER_ROW = 600  # measured: peak memory of the chain for one row


@dataclass(frozen=True)
class Slab:
    """The rows of some shifts: shift after shift, each with the same events.

    Parameters
    ----------
    shifts
        In the order of the rows.
    events : shape (n_events,)
        Which events of the chunk.
    level
        Objects of all ``len(shifts) * len(events)`` rows.
    """

    shifts: tuple[Variation, ...]
    events: NDArray[np.int64]
    level: Level

    def event_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the event of each row."""
        return self.events[rows % len(self.events)]

    def shift_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the position in `shifts` of each row."""
        return rows // len(self.events)


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
    events: NDArray[np.int64],
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
    masks, call = work.config.good_object_masks, work.caller.functor
    for part in np.array_split(events, n_parts):
        starts = Starts(work.plan, nominal.corrected, part, work.factors)
        for start in range(0, len(work.plan.shifts), size):
            shifts = work.plan.shifts[start : start + size]
            index = np.tile(part, len(shifts))
            columns = [starts.shifted(shift) for shift in shifts]
            moved = _moved_collections(nominal.corrected[-1], part, index, columns)
            objects = _remasked(nominal.stages, masks.analysis, moved, index, traces, call)
            mva = objects
            if masks.mva:
                mva = _remasked(nominal.mva_stages, masks.mva, moved, index, traces, call)
            yield Slab(shifts, part, Level(objects, mva))


def _moved_collections(
    final: Objects,
    events: NDArray[np.int64],
    index: NDArray[np.int64],
    columns: Sequence[Columns],
) -> dict[str, ak.Array]:
    """Return the collections that a shift moves, before the masks, with all rows."""
    refs = dict.fromkeys(ref for moved in columns for ref in moved)
    nominal, rows = final.take(events), final.take(index)
    for ref in refs:
        values = tiled(nominal.column(ref), [moved.get(ref) for moved in columns])
        rows = rows.with_column(ref, values)
    return {name: rows[name] for name in dict.fromkeys(top_level(ref).obj for ref in refs)}


def _remasked(
    stages: Sequence[Objects],
    masks: Sequence[ObjectMask],
    moved: dict[str, ak.Array],
    index: NDArray[np.int64],
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
