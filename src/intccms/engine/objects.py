"""The collections of one chunk as the user's functions see them; pure, nothing is read here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from chunkcolumns import Collection, Column, Lists, Pick, as_chunk_array, shared, taken
from intccms.errors import MissingColumnError, nearest
from intccms.schema import ObjVar

EVENT = "event"  # ObjVar("event", "run") is the top-level column ``run``


class Objects:
    """Collections of `n` events or rows, each built when it is first asked for.

    A row is an event in one variation; functions cannot tell rows from events. Instances are
    not changed after they are made: every method returns a new one.

    Parameters
    ----------
    fetch
        Gives a collection, or a top-level column, by name.
    n
        Number of events.
    narrow
        Makes the objects of some of the events, where the events can do that better than by
        cutting each collection.
    """

    def __init__(
        self,
        fetch: Callable[[str], ak.Array],
        n: int,
        narrow: Callable[[NDArray[np.int64]], Objects] | None = None,
    ) -> None:
        self._fetch = fetch
        self._narrow = narrow
        self._known: dict[str, ak.Array] = {}
        self._columns: dict[ObjVar, ak.Array] = {}
        self.n = n

    def __getitem__(self, name: str) -> ak.Array:
        """Return a collection, or a top-level column, by name."""
        if name not in self._known:
            self._known[name] = as_chunk_array(self._fetch(name))
        return self._known[name]

    def column(self, ref: ObjVar) -> ak.Array:
        """Return what `ref` names: a collection, one of its fields or a top-level column.

        It cannot be written to: all functions see the same values.

        Raises
        ------
        MissingColumnError
            If the events have no such collection or field.
        """
        if ref not in self._columns:
            self._columns[ref] = shared(self._column(ref))
        return self._columns[ref]

    def _column(self, ref: ObjVar) -> ak.Array:
        if ref.obj == EVENT:
            if ref.field == "seed":
                return ak.Array(event_seeds(self["run"], self["luminosityBlock"], self[EVENT]))
            return self[ref.field or EVENT]
        collection = self[ref.obj]
        if ref.field is None:
            return collection
        if ref.field not in collection.fields:
            known = nearest(ref.field, collection.fields)
            raise MissingColumnError(f"{ref.obj} has no field {ref.field!r}; {known}")
        return collection[ref.field]

    def branch(self, name: str) -> ak.Array:
        """Return a column by the name of its branch in the file, e.g. ``Generator_weight``.

        Raises
        ------
        MissingColumnError
            If the events have no such column.
        """
        group, _, field = name.partition("_")
        if not field or self.has(name) or not self.has(group):
            return self[name]
        return self.column(ObjVar(group, field))

    def has(self, name: str) -> bool:
        """Return whether there is a collection or column `name`."""
        try:
            return self[name] is not None
        except MissingColumnError:
            return False

    def take(self, index: NDArray[np.int64] | Pick) -> Objects:
        """Return the events at `index`, in that order; an event may come more than once."""
        events = index if isinstance(index, Pick) else Pick(index)
        return Objects(lambda name: taken(self[name], events), len(events))

    def kept(self, mask: NDArray[np.bool_]) -> Objects:
        """Return the events for which `mask` is true."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def narrowed(self, index: NDArray[np.int64]) -> Objects:
        """Return the events at `index`, which ascends; of the others nothing more is read."""
        return self.take(index) if self._narrow is None else self._narrow(index)

    def replaced(self, collections: Mapping[str, ak.Array]) -> Objects:
        """Return objects in which `collections` stand in for those of the same names."""
        fixed = dict(collections)
        return Objects(lambda name: fixed[name] if name in fixed else self[name], self.n)

    def with_column(self, ref: ObjVar, values: ak.Array) -> Objects:
        """Return objects in which one column holds `values`, in the data type it had before."""
        ref = top_level(ref)
        if ref.field is None or ref.field in self[ref.obj].fields:
            dtype = dtype_of(self.column(ref))
            is_column = isinstance(values, Column)
            values = values.astype(dtype) if is_column else ak.values_astype(values, dtype)
        return self.with_typed(ref, values)

    def with_typed(self, ref: ObjVar, values: ak.Array) -> Objects:
        """Return objects in which one column holds `values`, in their own data type."""
        ref = top_level(ref)
        if ref.field is None:
            return self.replaced({ref.obj: values})
        old = self[ref.obj]
        if isinstance(old, Collection) and isinstance(values, Column):
            return self.replaced({ref.obj: old.with_column(ref.field, values)})
        return self.replaced({ref.obj: ak.with_field(old, values, ref.field)})


class FlatObjects(Objects):
    """The objects of all events in a row: columns are plain arrays without event structure."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects.__getitem__, objects.n)

    def _column(self, ref: ObjVar) -> NDArray[np.generic]:
        return content(super()._column(ref))


def dtype_of(column: ak.Array) -> np.dtype[np.generic]:
    """Return the data type of a flat or jagged column."""
    if isinstance(column, Column):
        return column.values.dtype
    empty: NDArray[np.generic] = ak.to_numpy(ak.flatten(column[:0], axis=None))
    return empty.dtype


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


def from_events(events: ak.Array) -> Objects:
    """Wrap NanoEvents; a name that the file lacks raises `MissingColumnError`."""

    def fetch(name: str) -> ak.Array:
        if name not in events.fields:
            raise MissingColumnError(
                f"no collection or column {name!r} in the file; {nearest(name, events.fields)}"
            )
        try:
            return events[name]
        except ValueError as exc:  # what its behaviour needs is not all there
            first = str(exc).splitlines()[0]
            raise MissingColumnError(f"the file lacks columns of {name!r}: {first}") from exc

    if not hasattr(events, "narrowed"):  # NanoEvents, as coffea makes them
        return Objects(fetch, len(events))
    return Objects(fetch, len(events), lambda index: from_events(events.narrowed(index)))


def top_level(ref: ObjVar) -> ObjVar:
    """Return a reference to a column of the event by the column's own name."""
    return ObjVar(ref.field) if ref.obj == EVENT and ref.field else ref


def overlaps(ref: ObjVar, other: ObjVar) -> bool:
    """Return whether two references share a column; a whole collection has all its fields."""
    one, two = top_level(ref), top_level(other)
    return one.obj == two.obj and (None in (one.field, two.field) or one.field == two.field)


def event_seeds(run: ak.Array, lumi: ak.Array, event: ak.Array) -> NDArray[np.uint64]:
    """Make 64 bits from (run, luminosityBlock, event), the same wherever the event is read.

    Each number is mixed in with the finaliser of SplitMix64.

    Parameters
    ----------
    run, lumi, event : shape (n_events,)
        The identity of the event.

    Returns
    -------
    shape (n_events,)
        Seeds for counter-based random numbers.

    References
    ----------
    G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014.
    """
    seed = np.zeros(len(event), dtype=np.uint64)
    for part in (run, lumi, event):
        z = seed + np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        seed = z ^ (z >> np.uint64(31))
    return seed
