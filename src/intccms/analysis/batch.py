"""All object variations in one pass: (variation × event) rows instead of one call a variation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from intccms.analysis.corrections import Factors
from intccms.analysis.dependencies import CutOrigins, Origins
from intccms.analysis.evaluation import Call, Level, masked
from intccms.analysis.functors import Selection
from intccms.analysis.objects import Objects
from intccms.analysis.shifts import Columns, Starts, tiled
from intccms.analysis.traces import Traces
from intccms.analysis.variations import Shift, VariationPlan
from intccms.schema import Config, ObjectMask

__all__ = ["Nominal", "Recipe", "Slab", "early_mask", "slabs"]

BYTES_PER_ROW = 600  # measured: peak memory of the chain for one row


@dataclass(frozen=True)
class Nominal:
    """The nominal objects of a chunk at every step that a shift may have to start from.

    Parameters
    ----------
    corrected
        Before each object correction and after the last (`shifts.correct`).
    stages, mva_stages
        Before each mask and after the last (`evaluation.apply_masks`).
    """

    corrected: list[Objects]
    stages: list[Objects]
    mva_stages: list[Objects]

    @property
    def level(self) -> Level:
        """Objects past all masks."""
        return Level(self.stages[-1], self.mva_stages[-1])


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

    shifts: tuple[Shift, ...]
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


@dataclass(frozen=True)
class Recipe:
    """How to make the rows of the shifts of one chunk.

    Parameters
    ----------
    config
        Its `general.batch_memory_mb` bounds the memory of a slab.
    one_by_one
        Whether a slab holds one shift of all events: a function that draws random numbers sees
        the same ones only in an array that is built as the nominal one.
    """

    config: Config
    plan: VariationPlan
    traces: Traces
    factors: Factors
    call: Call
    one_by_one: bool = False


def slabs(nominal: Nominal, events: NDArray[np.int64], recipe: Recipe) -> Iterator[Slab]:
    """Make the rows of all shifts, a bounded number at a time.

    Parameters
    ----------
    nominal
        Where each shift starts from.
    events : shape (n_events,)
        Events of the chunk that may pass in some variation.
    """
    limit = max(int(recipe.config.general.batch_memory_mb * 1e6 / BYTES_PER_ROW), 1)
    plan, factors = recipe.plan, recipe.factors
    n_parts, size = max(-(-len(events) // limit), 1), max(limit // max(len(events), 1), 1)
    if recipe.one_by_one:
        n_parts, size = 1, 1
    for part in np.array_split(events, n_parts):
        starts = Starts(plan, nominal.corrected, part, factors)
        for start in range(0, len(plan.shifts), size):
            shifts = plan.shifts[start : start + size]
            columns = [starts.shifted(shift) for shift in shifts]
            yield _slab(nominal, part, shifts, columns, recipe)


def _slab(
    nominal: Nominal,
    events: NDArray[np.int64],
    shifts: tuple[Shift, ...],
    columns: Sequence[Columns],
    recipe: Recipe,
) -> Slab:
    traces, call = recipe.traces, recipe.call
    index = np.tile(events, len(shifts))
    moved = _moved_collections(nominal.corrected[-1], events, index, columns)
    masks = recipe.config.good_object_masks
    objects = _remasked(nominal.stages, masks.analysis, moved, index, traces, call)
    mva = objects
    if masks.mva:
        mva = _remasked(nominal.mva_stages, masks.mva, moved, index, traces, call)
    return Slab(shifts, events, Level(objects, mva))


def _moved_collections(
    final: Objects,
    events: NDArray[np.int64],
    index: NDArray[np.int64],
    columns: Sequence[Columns],
) -> dict[str, ak.Array]:
    """Return the collections that a shift moves, before the masks, with all rows."""
    refs = dict.fromkeys(ref for moved in columns for ref in moved)
    collections: dict[str, ak.Array] = {}
    for ref in refs:
        nominal = final.take(events).column(ref)
        parts = [moved.get(ref) for moved in columns]
        name = ref.obj if ref.field is not None and ref.obj != "event" else ref.field or ref.obj
        values = tiled(nominal, parts)
        if name == ref.obj and ref.field is not None:
            whole = collections.get(name, final[name][index])
            values = ak.with_field(whole, values, ref.field)
        collections[name] = values
    return collections


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
