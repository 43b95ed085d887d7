"""Event weights of the events that a channel keeps: nominal, varied, and in the rows of shifts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.engine.corrections import Factors, apply
from intccms.engine.variations import Variation, VariationPlan, changes
from intccms.errors import FunctorError
from intccms.functors.calls import as_flat
from intccms.functors.objects import Objects
from intccms.schema import Correction, ObjVar

__all__ = ["checked", "reads", "shifted_weights", "weight_matrix"]

Array = NDArray[np.float64]


def checked(value: Any, n: int, correction: Correction, source: str = "") -> Array:
    """Return finite float64 weights of `n` events; `value` may be one number for all."""
    key = f"correction {correction.name!r}" + (f", source {source!r}" if source else "")
    flat = as_flat(value, n, key).astype(np.float64)
    if not np.isfinite(flat).all():
        n_bad = int(np.count_nonzero(~np.isfinite(flat)))
        raise FunctorError(f"{key}: {n_bad} of {n} event weights are not finite")
    return flat


def weight_matrix(
    plan: VariationPlan,
    objects: Objects,
    gen_weight: Array,
    factors: Factors,
    channel: str | None = None,
) -> Array:
    """Return the nominal weights and those of every weight variation.

    Parameters
    ----------
    objects
        Good, corrected objects of the events that the channel keeps.
    gen_weight : shape (n_events,)
        Of the same events; 1 for data.
    channel
        In which they are; None: what is for some channels only does not count.

    Returns
    -------
    shape (1 + n_weight_variations, n_events)
        In the order of ``plan.labels``.
    """
    steps = [
        (i, c, checked(factors.nominal(c, objects), objects.n, c))
        for i, c in enumerate(plan.corrections)
        if c.type == "event" and c.is_in(channel)
    ]
    rows = [_product(gen_weight, steps, {})]
    for variation in plan.weights:
        correction = plan.corrections[variation.correction]
        source = correction.uncertainty_sources[variation.source]
        if not (correction.is_in(channel) and source.is_in(channel)):
            rows.append(rows[0])
            continue
        value = factors.varied(correction, source, variation.direction, objects)
        varied = checked(value, objects.n, correction, source.name)
        rows.append(_product(gen_weight, steps, {variation.correction: varied}))
    return np.stack(rows)


def _product(
    gen_weight: Array, steps: list[tuple[int, Correction, Array]], instead: dict[int, Array]
) -> Array:
    weight = gen_weight
    for i, correction, factor in steps:  # always in this order, so that the bits agree
        weight = apply(correction.op, weight, instead.get(i, factor))
    return weight


def shifted_weights(  # noqa: PLR0913 - one call in the house
    plan: VariationPlan,
    gen_weight: Array,
    shift_of: NDArray[np.int64],
    *,
    shifts: tuple[Variation, ...],
    objects_for: Callable[[list[ObjVar]], tuple[Objects, NDArray[np.int64]]],
    factors: Factors,
    channel: str | None = None,
) -> Array:
    """Return the weights of the rows of object variations.

    Weights are at their nominal index, but those that move together with a shift
    (``varies_with``) at its direction.

    Parameters
    ----------
    gen_weight, shift_of : shape (n_rows,)
        Generator weight of each row and the position of its shift in `shifts`.
    objects_for
        For the columns that a correction reads the objects to evaluate it on, and for each row
        which of them is its own: events where no shift can change the answer, else the rows
        themselves.
    channel
        As for `weight_matrix`.
    """
    weight = gen_weight
    for correction in plan.corrections:
        if correction.type != "event" or not correction.is_in(channel):
            continue
        objects, expand = objects_for(reads(correction))
        factor = checked(factors.nominal(correction, objects), objects.n, correction)[expand]
        for source in correction.uncertainty_sources:
            if not (source.varies_with and source.is_in(channel)):
                continue
            for position in np.unique(shift_of):
                side = plan.companion(source, shifts[position])
                if side is None:
                    continue
                rows = np.flatnonzero(shift_of == position)
                chosen = objects.take(expand[rows])
                value = factors.varied(correction, source, side, chosen)
                factor[rows] = checked(value, chosen.n, correction, source.name)
        weight = apply(correction.op, weight, factor)
    return weight


def reads(correction: Correction) -> list[ObjVar]:
    """Return the columns that a correction or one of its sources reads, be it to change them."""
    sources = [one for one in correction.uncertainty_sources if one.members is None]
    refs = [ref for ref in changes(correction) if ref.field is not None]
    if correction.propagate_to is not None:
        refs += [ObjVar(ref.obj, "phi") for ref in correction.momenta]
    own = correction.args if sources or correction.has_nominal else ()  # members need not be there
    args = [*own, *(arg for source in sources for arg in source.args or ())]
    return [*(arg for arg in args if isinstance(arg, ObjVar)), *refs]
