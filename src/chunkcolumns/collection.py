"""Collections of objects whose fields are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import awkward as ak
import numpy as np

from chunkcolumns.arrays import ChunkArray, Lists, Pick, plain, read_only
from chunkcolumns.columns import Column, as_column, column_of
from chunkcolumns.library_internals import is_bare

# Coordinates that vector returns as they are stored; with another field they might be derived.
COORDINATES = frozenset({"pt", "eta", "phi", "mass"})
OTHERS = frozenset("x y z t px py pz rho theta tau m M e E energy".split())  # noqa: SIM905


class Collection(ChunkArray):
    """Records with one column per field: one per event, as a MET is, or a list, as jets are.

    Fields are made when they are asked for. A collection can always make the awkward array that
    it stands for, with the behaviours of NanoEvents.

    Parameters
    ----------
    record
        Makes the layout of all records, end to end.
    field
        Makes the column of a field.
    names
        The fields.
    kind
        Class of the awkward array, and its `attrs`.
    n, lists
        Number of events, and the lists of records; None if there is one for each event.
    """

    def __init__(
        self,
        record: Callable[[], Any],
        field: Callable[[str], Any],
        names: tuple[str, ...],
        *,
        kind: tuple[type, Any],
        n: int,
        lists: Lists | None,
    ) -> None:
        self._record, self._field, self._names, self._kind = record, field, names, kind
        self._n, self._lists = n, lists
        self._of: tuple[Collection, Pick] | None = None
        self._set_attrs(kind[1])
        self._columns: dict[str, Any] = {}

    def __len__(self) -> int:
        """Return the number of events."""
        return self._n

    @property
    def _repeats(self) -> tuple[Collection, Pick] | None:
        return self._of

    @property
    def ndim(self) -> int:
        """Two, when there is one list per event."""
        return 2 if self._of is not None else super().ndim

    @cached_property
    def _lists(self) -> Lists | None:  # type: ignore[override]  # of repeated events
        once, rows = self._of  # type: ignore[misc]
        return once._lists.take(rows)[0]  # type: ignore[union-attr]

    @cached_property
    def _records(self) -> Any:
        return _read_only(self._record()) if self._is_shared else self._record()

    def _make_layout(self) -> Any:
        if self._lists is None:
            return self._records
        return ak.contents.ListOffsetArray(ak.index.Index64(self._lists.offsets), self._records)

    @cached_property
    def _whole(self) -> ak.Array:
        return super()._plain()

    def _plain(self) -> ak.Array:
        return self._whole

    @property
    def fields(self) -> list[str]:
        """Names of the columns."""
        return list(self._names)

    def column(self, name: str) -> Any:
        """Return a field."""
        if name not in self._columns:
            column = self._field(name)
            self._columns[name] = shared(column) if self._is_shared else column
        return self._columns[name]

    def _share(self) -> None:
        for name in ("_records", "_whole"):
            self.__dict__.pop(name, None)
        self._set_layout()
        self._columns = {name: shared(column) for name, column in self._columns.items()}

    def _at(self, values: Pick, lists: Lists | None) -> Collection:
        return self._with(
            lambda: _picked(self._records, values),
            lambda name: self._column_at(name, values, lists),
            n=len(values) if lists is None else lists.n,
            lists=lists,
        )

    def _wrapped(self, array: Any) -> Any:
        return as_column(array)

    def _repeated(self, events: Pick) -> Collection:
        lists = self._lists
        return self._with(
            lambda: _picked(self._records, events if lists is None else lists.take(events)[1]),
            lambda name: taken(self.column(name), events),
            n=len(events),
            lists=None,
            of=None if lists is None else (self, events),
        )

    def _column_at(self, name: str, values: Pick, lists: Lists | None) -> Any:
        column = self.column(name)
        if self._lists is None:  # it may have lists of its own
            return taken(column, values)
        if isinstance(column, Column):
            return column._at(values, lists)
        some = ak.flatten(column, axis=1)[values.positions]
        return some if lists is None else ak.unflatten(some, lists.counts)

    def _with(
        self, record: Any, field: Any, *, of: tuple[Collection, Pick] | None = None, **more: Any
    ) -> Collection:
        if of is None and "lists" not in more:
            more["lists"] = self._lists
        about = {"names": self._names, "n": self._n, "lists": None, **more}
        made = type(self)(record, field, about.pop("names"), kind=self._kind, **about)
        if of is not None:
            made._of = of
            del made._lists  # made when it is asked for
        return made

    def with_column(self, name: str, column: Column) -> Collection:
        """Return a collection in which `column` is the field `name`."""
        values = ak.contents.NumpyArray(column.values)
        return self._with(
            lambda: ak.with_field(self._records, values, name, highlevel=False),
            lambda other: column if other == name else self.column(other),
            names=tuple(dict.fromkeys((*self._names, name))),
        )

    def __getitem__(self, where: Any) -> Any:
        """Return a field, or a slice."""
        if isinstance(where, str) and where in self._names:
            return self.column(where)
        return super().__getitem__(where)

    def __setitem__(self, where: Any, what: Any) -> None:
        """Put a column in the place of a field or beside the fields."""
        whole = ak.with_field(self._whole, plain(what), where)
        self._lists, self._of = self._lists, None
        self._names, self._columns = tuple(ak.fields(whole)), {}
        self._field = lambda name: as_column(whole[name])
        self._whole = whole
        self._set_layout(whole.layout)
        self._record = lambda: ak.flatten(whole, axis=1).layout if self._lists else whole.layout
        self.__dict__.pop("_records", None)

    def __copy__(self) -> Collection:
        """Return a collection in which columns can be set while this one keeps its own."""
        return self._with(lambda: self._records, self.column, of=self._of)

    def __getattribute__(self, name: str) -> Any:
        """Return a field or what the behaviours of the collection define."""
        if name.startswith("_") or name in OWN:
            return super().__getattribute__(name)
        if name in self._names and _is_stored(self._kind[0], name, self._names):
            return self.column(name)
        return getattr(self._whole, name)

    def __getattr__(self, name: str) -> Any:
        """Return what the behaviours define and keep to themselves."""
        return getattr(self._whole, name)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Leave it to awkward: behaviours say what the sum of two records is."""
        return as_column(getattr(ufunc, method)(*plain(inputs), **plain(kwargs)))


def _picked(records: Any, values: Pick) -> Any:
    return ak.contents.IndexedArray.simplified(ak.index.Index64(values.positions), records)


def taken(array: Any, events: Pick) -> Any:
    """Return some events of what may be no column."""
    return array.taken(events) if isinstance(array, ChunkArray) else array[events.positions]


def shared(array: Any) -> Any:
    """Return an array that several functions may be given: none of them can write to it."""
    if isinstance(array, ChunkArray):
        return array.shared()
    if isinstance(array, np.ndarray):
        return read_only(array)
    if not isinstance(array, ak.Array):
        return array
    about = {"behavior": array.behavior, "attrs": array.attrs or None}
    return ak.Array(_read_only(array.layout), **about)


def _read_only(layout: Any) -> Any:
    """Return the layout with buffers that cannot be written to; none is read for that."""
    if layout.is_numpy:
        data = layout.data
        return layout.copy(data=read_only(data)) if isinstance(data, np.ndarray) else layout
    if layout.is_record or layout.is_union:
        return layout.copy(contents=[_read_only(one) for one in layout.contents])
    return layout if layout.is_unknown else layout.copy(content=_read_only(layout.content))


OWN = frozenset(
    "arranged column fields lists ndim numba_type shared taken with_column".split()  # noqa: SIM905
)


@lru_cache(maxsize=4096)
def _is_stored(kind: type, name: str, names: tuple[str, ...]) -> bool:
    """Say whether ``array.name`` is the field `name`, and nothing that a behaviour computes."""
    for base in kind.__mro__:
        if name in vars(base):
            is_vector = base.__module__.startswith("vector.")
            return is_vector and name in COORDINATES and OTHERS.isdisjoint(names)
    return True


def as_chunk_array(array: Any) -> Any:
    """Return numbers as a `Column` and records, one or one list per event, as a `Collection`."""
    if not isinstance(array, ak.Array) or isinstance(array, ChunkArray) or not is_bare(array):
        return array
    layout = array.layout
    if not layout.fields or array.ndim > 2 or layout.is_option:
        return as_column(array)
    lists, record = None, layout
    if layout.is_list:
        layout = layout.to_ListOffsetArray64(True)
        lists = Lists(np.asarray(layout.offsets.data))
        record = layout.content[: int(lists.offsets[-1])]

    def field(name: str) -> Any:
        column = column_of(record.content(name)) if record.is_record else None
        if column is None or column.lists is not None:
            return as_column(array[name])
        return Column(column.values, lists)

    kind = (type(array), array.attrs or None)
    names = tuple(layout.fields)
    make: type[Collection] = _class_of(kind[0])  # type: ignore[arg-type]
    return make(lambda: record, field, names, kind=kind, n=len(array), lists=lists)


@lru_cache(maxsize=256)
def _class_of(kind: type) -> type[Collection]:
    """Return the class of collections that vector and others take for arrays of `kind`."""
    return type(kind.__name__, (Collection, kind), {})
