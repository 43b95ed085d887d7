"""Corrections of objects, nominal and shifted, and what follows from them: order and MET."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from chunkcolumns import Column, Lists, as_column
from intccms.engine.corrections import NEUTRAL, Factors, apply
from intccms.engine.objects import FlatObjects, Objects, content, lists_of, top_level
from intccms.engine.variations import Variation, VariationPlan, changes, needs
from intccms.errors import FunctionError
from intccms.schema import Correction, ObjVar, UncertaintySource

Index = NDArray[np.int64]


def carried(correction: Correction, before: Objects, after: Objects) -> Objects:
    """Carry the change of transverse momenta into what the correction names `propagate_to`.

    The missing transverse momentum is minus the vector sum of all objects, so the sum of the
    changes of theirs, or of the share of each that `propagate_share` says, is taken from it. Where
    nothing is carried, it keeps its bits.

    Parameters
    ----------
    before, after
        The objects that `correction` was applied to, and what came out, in the same order.
    """
    if correction.propagate_to is None:
        return after
    met = ObjVar(correction.propagate_to, "pt"), ObjVar(correction.propagate_to, "phi")
    pt, phi = (content(after.column(ref)).astype(np.float64) for ref in met)
    px, py, moved = pt * np.cos(phi), pt * np.sin(phi), np.zeros(after.n, dtype=np.bool_)
    for target in correction.momenta:
        old, new = before.column(target), after.column(target)
        change = content(new).astype(np.float64) - content(old)
        if correction.propagate_share is not None:
            change *= content(before.column(correction.propagate_share))
        changed, lists = np.flatnonzero(change), lists_of(old)
        event = changed if lists is None else lists.events[changed]
        angle = content(before.column(ObjVar(target.obj, "phi")))[changed].astype(np.float64)
        # one after the other, so that the bits of an event do not depend on its neighbours
        px -= np.bincount(event, change[changed] * np.cos(angle), minlength=after.n)
        py -= np.bincount(event, change[changed] * np.sin(angle), minlength=after.n)
        moved[event] = True
    pt[moved], phi[moved] = np.hypot(px, py)[moved], np.arctan2(py, px)[moved]
    for ref, values in zip(met, (pt, phi), strict=True):
        after = after.with_column(ref, Column(values))
    return after


def with_orders(objects: Objects, corrections: Iterable[Correction]) -> Objects:
    """Return a number to each object of the collections that a correction may sort again.

    The numbers go with the objects, see `reordering`; no function of the user sees them.
    """
    numbers = {}
    for name in {ref.obj for one in corrections if one.resort for ref in one.momenta}:
        lists = lists_of(objects.column(ObjVar(name, "pt")))
        if lists is not None:
            start = lists.each(lists.offsets[:-1])
            numbers[names_of_sorted(name)[1]] = Column(np.arange(len(start)) - start, lists)
    return objects.replaced(numbers) if numbers else objects


def sorted_by_pt(correction: Correction, objects: Objects) -> Objects:
    """Sort what the correction changed by falling pt, all fields together, if it says `resort`.

    Objects of the same pt keep their order.
    """
    if not correction.resort:
        return objects
    for target in correction.momenta:
        column = objects.column(target)
        lists = lists_of(column)
        order = None if lists is None else _falling(content(column), lists)
        if order is None:
            continue
        names = names_of_sorted(target.obj)
        objects = objects.replaced({name: objects[name].arranged(order) for name in names})
    return objects


def _falling(values: NDArray[Any], lists: Lists) -> Index | None:
    """Return the order in which the values of each event fall; None if they do so already."""
    rises = values[1:] > values[:-1]
    ends = lists.offsets[1:-1]
    rises[ends[(ends > 0) & (ends < len(values))] - 1] = False  # between two events
    if not rises.any():
        return None
    wrong = np.zeros(lists.n, dtype=np.bool_)
    wrong[lists.events[1:][rises]] = True
    where = np.flatnonzero(lists.each(wrong))
    order = np.arange(len(values))
    order[where] = where[np.lexsort((-values[where], lists.events[where]))]
    return order


def reordering(name: str, nominal: Objects, shifted: Objects) -> Index:
    """Return where among the nominal objects of a collection each shifted one stands."""
    name = names_of_sorted(name)[1]
    column = nominal[name]
    start = column.lists.each(column.lists.offsets[:-1])
    position = np.empty(len(start), dtype=np.int64)
    position[start + column.values] = np.arange(len(start))
    order: Index = position[start + shifted[name].values]
    return order


def names_of_sorted(collection: str) -> tuple[str, str]:
    """Return the names of a collection that is sorted, and of the numbers that go with it."""
    return collection, f"{collection} as read"


# Without the event structure, which no object systematic changes; for a whole collection, which is
# sorted again, the positions of its objects among the nominal ones.
Columns = dict[ObjVar, NDArray[Any]]


def correct(plan: VariationPlan, objects: Objects, factors: Factors) -> list[Objects]:
    """Apply the nominal object corrections in the order in which they are listed.

    Returns
    -------
    list of Objects
        Before each correction of the plan, and after the last. Event weights change nothing.
    """
    objects = with_new_columns(objects, plan.corrections, plan.read)
    stages = [with_orders(objects, plan.corrections)]
    for correction in plan.corrections:
        now = stages[-1]
        if correction.type == "object" and correction.has_nominal:
            now = _applied(correction, now, factors.nominal(correction, now))
        stages.append(now)
    return stages


def with_new_columns(
    objects: Objects, corrections: Sequence[Correction], read: Iterable[ObjVar]
) -> Objects:
    """Add the columns that corrections make, before anything is applied to them.

    Such a column is the target of an object correction, `read` by name by masks, selections or
    observables or by a later correction, and none that the events have; each object has one value.
    """
    for i, correction in enumerate(corrections):
        after = corrections[i + 1 :]
        args = (arg for other in after for arg in (*other.args, other.propagate_share))
        later = {*read, *(arg for arg in args if isinstance(arg, ObjVar))}
        for target in later.intersection(correction.target):
            like = [a for a in correction.args if isinstance(a, ObjVar) and a.obj == target.obj]
            is_column = target == top_level(target)  # and not one of the event
            if like and is_column and target.field not in objects[target.obj].fields:
                neutral = objects.column(like[0]) * 0.0 + NEUTRAL[correction.op]
                objects = objects.with_column(target, neutral)
    return objects


def _applied(correction: Correction, before: Objects, factor: Any) -> Objects:
    objects, targets = before, correction.target
    factors = factor if isinstance(factor, tuple) else (factor,) * len(targets)
    if len(factors) != len(targets):
        raise FunctionError(
            f"correction {correction.name!r} has {len(targets)} targets, but {len(factors)} factors"
        )
    for target, factor in zip(targets, factors, strict=True):
        column = objects.column(target)
        try:
            changed = as_column(apply(correction.op, column, factor))
            if isinstance(column, Column) and not (
                isinstance(changed, Column) and changed.matches(column.lists)
            ):
                raise ValueError("another number of values, or some are missing")
        except (ValueError, TypeError, AssertionError) as exc:
            is_array = isinstance(factor, ak.Array | np.ndarray)
            kind = ak.type(factor) if is_array else type(factor).__name__
            raise FunctionError(
                f"correction {correction.name!r} changes {target.obj}.{target.field}, which is "
                f"{ak.type(column)}, but its factor is {kind}"
            ) from exc
        objects = objects.with_column(target, changed)
    return sorted_by_pt(correction, carried(correction, before, objects))


class Starts:
    """Some events of a chunk at each step of the corrections, where systematics may start.

    Parameters
    ----------
    plan
        Corrections and object systematics.
    stages
        What `correct` returned.
    index
        The events.
    factors
        Evaluates corrections.
    good
        By collection, masks that no object systematic can change: of objects that fail no column is
        wanted, and what looks at one object alone never sees them.
    """

    def __init__(
        self,
        plan: VariationPlan,
        stages: Sequence[Objects],
        index: NDArray[np.int64],
        factors: Factors,
        good: Mapping[str, Sequence[Any]],
    ) -> None:
        self._plan, self._stages, self._index, self._factors = plan, stages, index, factors
        self._taken: dict[int, Objects] = {}
        self._flat: dict[tuple[int, str], FlatObjects] = {}
        self._good = {name: [mask[index] for mask in masks] for name, masks in good.items()}

    def at(self, stage: int) -> Objects:
        """Return the objects before the correction number `stage`."""
        if stage not in self._taken:
            self._taken[stage] = self._stages[stage].take(self._index)
        return self._taken[stage]

    def shifted(self, shift: Variation) -> Columns:
        """Return the columns that `shift` changes."""
        moving = [self._plan.corrections[i].uncertainty_sources[j] for i, j in shift.parts.items()]
        parts = [(self._plan.corrections[i], s) for i, s in zip(shift.parts, moving, strict=True)]
        followers = any(
            later.type == "object" and later.has_nominal
            for later in self._plan.corrections[shift.correction + 1 :]
        )
        targets = {ref.obj for correction, _ in parts for ref in correction.target}
        apart = len(targets) == len(parts)  # each moves a collection of its own
        if not followers and apart and all(_is_elementwise(*part) for part in parts):
            return self._elementwise(shift)
        self._factors.caller.drew = False
        objects = self._in_full(shift, self.at)
        if (
            self._factors.caller.drew
        ):  # on all events of the chunk it gets the numbers of the nominal
            objects = self._in_full(shift, self._stages.__getitem__).take(self._index)
        return {
            ref: content(self._masked(ref.obj, objects.column(ref)))
            if ref.field
            else reordering(ref.obj, self.at(len(self._stages) - 1), objects)
            for ref in self._plan.touched[shift.label]
        }

    def _masked(self, name: str, array: ak.Array) -> ak.Array:
        for mask in self._good.get(name, ()):
            array = array[mask]
        return array

    def _elementwise(self, shift: Variation) -> Columns:
        """Evaluate on the plain objects: nothing needs to know which event they are in."""
        columns: Columns = {}
        for i, j in shift.parts.items():
            correction = self._plan.corrections[i]
            source = correction.uncertainty_sources[j]
            on_top = _is_on_top(correction, source)
            where = (i + on_top, correction.target[0].obj)
            if where not in self._flat:
                objects_here = self.at(where[0])
                few = objects_here.replaced(
                    {where[1]: self._masked(where[1], objects_here[where[1]])}
                )
                self._flat[where] = FlatObjects(few)
            objects, side = self._flat[where], shift.direction
            factor = self._factors.varied(correction, source, side, objects, on_top=on_top)
            for target in correction.target:
                old = objects.column(target)
                columns[target] = apply(correction.op, old, factor).astype(old.dtype)
        return columns

    def _in_full(self, shift: Variation, at: Callable[[int], Objects]) -> Objects:
        """Evaluate on events: what moves, and again what reads something that has changed."""
        objects, changed, parts = at(shift.correction), set[ObjVar](), shift.parts

        def moved(stage: int) -> Objects:
            """Return the objects at a stage, with what has changed by then."""
            state = at(stage)
            for ref in changed:
                state = _with(state, ref, objects)
            return state

        for i, correction in enumerate(self._plan.corrections):
            if correction.type != "object":
                continue
            is_again = correction.has_nominal and needs(correction, changed)
            if i in parts:
                source = correction.uncertainty_sources[parts[i]]
                on_top = _is_on_top(correction, source)
                before = moved(i if is_again else i + on_top)
                if on_top and is_again:
                    before = _applied(correction, before, self._factors.nominal(correction, before))
                factor = self._factors.varied(
                    correction, source, shift.direction, before, on_top=on_top
                )
                objects = _applied(correction, before, factor)
            elif is_again:
                before = moved(i)
                objects = _applied(correction, before, self._factors.nominal(correction, before))
            else:
                continue
            changed.update(changes(correction))
        return objects


def _with(objects: Objects, ref: ObjVar, other: Objects) -> Objects:
    """Return `objects` with what `ref` names taken from `other`."""
    if ref.field is not None:
        return objects.with_column(ref, other.column(ref))
    return objects.replaced({name: other[name] for name in names_of_sorted(ref.obj)})


def _is_on_top(correction: Correction, source: UncertaintySource) -> bool:
    """Return whether an uncertainty is one of the corrected column, not in place of its correction.

    Such as that of the jet energy scale, which is tabulated for corrected momenta.
    """
    return source.is_delta and correction.has_nominal


def _is_elementwise(correction: Correction, source: UncertaintySource) -> bool:
    """Return whether the factor of an object depends on that object's own columns only."""
    functions = (
        *(source.up_function, source.down_function, source.transform_in, source.transform_out),
        *(correction.nominal_function, correction.transform_in, correction.transform_out),
    )
    args = (*correction.args, *(source.args or ()))
    refs = [arg for arg in args if isinstance(arg, ObjVar)]
    return (
        not any(functions)
        and correction.reduce is None
        and correction.propagate_to is None
        and not correction.resort
        and len({ref.obj for ref in (*refs, *correction.target)}) == 1
    )
