"""What follows from changed momenta: the missing transverse momentum, and the order by pt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from intccms.functors.columns import Column
from intccms.functors.lists import Lists
from intccms.functors.objects import Objects
from intccms.schema import Correction, ObjVar

__all__ = [
    "carried",
    "content",
    "lists_of",
    "names_of_sorted",
    "reordering",
    "sorted_by_pt",
    "with_orders",
]

Index = NDArray[np.int64]


def carried(correction: Correction, before: Objects, after: Objects) -> Objects:
    """Carry the change of transverse momenta into what the correction names `propagate_to`.

    The missing transverse momentum is minus the vector sum of all objects, so the sum of the
    changes of theirs is taken from it. Where no momentum has changed, it keeps its bits.

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
    """Give a number to each object of the collections that a correction may sort again.

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
    """Say where among the nominal objects of a collection each of the shifted ones stands."""
    name = names_of_sorted(name)[1]
    column = nominal[name]
    start = column.lists.each(column.lists.offsets[:-1])
    position = np.empty(len(start), dtype=np.int64)
    position[start + column.values] = np.arange(len(start))
    found: Index = position[start + shifted[name].values]
    return found


def names_of_sorted(collection: str) -> tuple[str, str]:
    """Return the names of a collection that is sorted, and of the numbers that go with it."""
    return collection, f"{collection} as read"


def content(column: ak.Array) -> NDArray[Any]:
    """Return the numbers of all events, end to end."""
    if isinstance(column, Column):
        return column.values
    return np.asarray(ak.flatten(column) if column.ndim > 1 else column)


def lists_of(column: ak.Array) -> Lists | None:
    """Return how the numbers of a column belong to events; None if there is one for each."""
    if isinstance(column, Column):
        return column.lists
    return Lists.of_counts(np.asarray(ak.num(column))) if column.ndim > 1 else None
