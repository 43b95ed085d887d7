"""Object corrections: the nominal columns, and those of every shift laid end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from intccms.analysis.corrections import Factors, apply
from intccms.analysis.objects import Objects
from intccms.analysis.variations import Shift, VariationPlan, overlaps
from intccms.schema import Correction, ObjVar

__all__ = ["Columns", "correct", "shifted_columns", "tiled"]

Columns = dict[ObjVar, Any]


def correct(plan: VariationPlan, objects: Objects, factors: Factors) -> list[Objects]:
    """Apply the nominal object corrections in the order in which they are listed.

    Returns
    -------
    list of Objects
        Before each correction of the plan, and after the last. Event weights change nothing.
    """
    stages = [objects]
    for correction in plan.corrections:
        now = stages[-1]
        if correction.type == "object" and correction.has_nominal:
            now = _applied(correction, now, factors.nominal(correction, now))
        stages.append(now)
    return stages


def _applied(correction: Correction, objects: Objects, factor: Any) -> Objects:
    for target in correction.target:
        changed = apply(correction.op, objects.column(target), factor)
        objects = objects.with_column(target, changed)
    return objects


def shifted_columns(
    plan: VariationPlan,
    shift: Shift,
    stages: Sequence[Objects],
    index: NDArray[np.int64],
    factors: Factors,
) -> Columns:
    """Return the columns that `shift` changes, for the events at `index`.

    A function that draws random numbers is evaluated on all events of the chunk first, so that
    it gets the numbers of the nominal.

    Parameters
    ----------
    stages
        What `correct` returned.
    """
    correction = plan.corrections[shift.correction]
    source = correction.uncertainty_sources[shift.source]
    objects = stages[shift.correction].take(index)
    factors.forget_draws()
    factor = factors.varied(correction, source, shift.direction, objects)
    if factors.drew:
        whole = factors.varied(correction, source, shift.direction, stages[shift.correction])
        factor = whole if np.isscalar(whole) else whole[index]
    objects = _applied(correction, objects, factor)
    changed = set(correction.target)
    for i, later in enumerate(plan.corrections[shift.correction + 1 :], shift.correction + 1):
        if later.type != "object":
            continue
        refs = [arg for arg in later.args if isinstance(arg, ObjVar)]
        if any(overlaps(ref, other) for ref in (*refs, *later.target) for other in changed):
            kept = {ref.obj: objects[ref.obj] for ref in changed}
            objects = stages[i].take(index).replaced(_merged(kept, stages[i], index, changed))
            if later.has_nominal:
                objects = _applied(later, objects, factors.nominal(later, objects))
            changed.update(later.target)
    return {ref: objects.column(ref) for ref in changed}


def _merged(
    kept: dict[str, ak.Array], stage: Objects, index: NDArray[np.int64], changed: set[ObjVar]
) -> dict[str, ak.Array]:
    """Put the changed fields into the collections as `stage` has them."""
    merged: dict[str, ak.Array] = {}
    for name, collection in kept.items():
        merged[name] = stage[name][index]
        for ref in changed:
            if ref.obj == name and ref.field is not None:
                merged[name] = ak.with_field(merged[name], collection[ref.field], ref.field)
    return merged


def tiled(nominal: ak.Array, parts: Sequence[ak.Array]) -> ak.Array:
    """Lay the same column of several shifts end to end, in the data type of the nominal.

    Parameters
    ----------
    nominal : shape (n_events,) or (n_events, var)
        The column without a shift.
    parts
        One array of the same structure for each shift.
    """
    if nominal.ndim == 1:
        dtype = np.asarray(nominal).dtype
        return ak.Array(np.concatenate([np.asarray(part) for part in parts]).astype(dtype))
    dtype = np.asarray(ak.flatten(nominal)).dtype
    flat = np.concatenate([np.asarray(ak.flatten(part)) for part in parts]).astype(dtype)
    counts = np.tile(np.asarray(ak.num(nominal)), len(parts))
    return ak.unflatten(flat, counts)
