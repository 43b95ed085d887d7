"""Awkward arrays of numbers, flat or one list per event, whose usual operations run on NumPy.

An operation on an awkward array costs about a millisecond however few events there are; on what
is kept here, flat values and where each event's begin, it costs what NumPy takes. Both classes
*are* `ak.Array`: whatever is not done here is done by awkward, on the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

__all__ = ["Collection", "Column", "Lists", "aligned", "lean", "plain", "wrapped"]

Index = NDArray[np.int64]
Values = NDArray[Any]
SCALARS = (bool, int, float, np.number, np.bool_)
# Coordinates that vector returns as they are stored; with another field they might be derived.
COORDINATES = frozenset({"pt", "eta", "phi", "mass"})
OTHERS = frozenset("x y z t px py pz rho theta tau m e E M E energy".split())


class Lists:
    """Where the values of each event begin and end, in an array that has them end to end.

    Parameters
    ----------
    offsets : shape (n_events + 1,)
        Event `i` has the values from ``offsets[i]`` up to ``offsets[i + 1]``; the first is 0.
    """

    def __init__(self, offsets: Index) -> None:
        self.offsets = offsets

    @classmethod
    def of_counts(cls, counts: NDArray[Any]) -> Lists:
        """Make the lists of events that have `counts` values."""
        return cls(_so_far(counts))

    @cached_property
    def counts(self) -> Index:
        """Values of each event."""
        return np.diff(self.offsets)

    @property
    def n(self) -> int:
        """Number of events."""
        return len(self.offsets) - 1

    def like(self, other: Lists) -> bool:
        """Say whether the events have the same numbers of values."""
        return self is other or np.array_equal(self.offsets, other.offsets)

    def take(self, events: Index) -> tuple[Lists, Index]:
        """Return the lists of `events`, and where their values stood."""
        lists = Lists.of_counts(self.counts[events])
        shift = self.offsets[events] - lists.offsets[:-1]
        return lists, np.arange(lists.offsets[-1]) + np.repeat(shift, lists.counts)

    def keep(self, values: NDArray[np.bool_]) -> tuple[Lists, Index]:
        """Return the lists of chosen values, and where these stood."""
        return Lists(_so_far(values)[self.offsets]), np.flatnonzero(values)

    def each(self, values: Values) -> Values:
        """Repeat one value per event for each value of that event."""
        return np.repeat(values, self.counts)

    def n_true(self, values: NDArray[np.bool_]) -> Index:
        """Count for each event the values that are true."""
        return np.diff(_so_far(values)[self.offsets])

    def nth(self, position: int) -> Index | None:
        """Return where value `position` of each event stands; None if one has not so many."""
        if self.n and (position if position >= 0 else -position - 1) >= self.counts.min():
            return None
        start = self.offsets[:-1] if position >= 0 else self.offsets[1:]
        return start + position


def _so_far(numbers: NDArray[Any]) -> Index:
    """Return the sum of the numbers before each position, the last being that of all."""
    sums = np.zeros(len(numbers) + 1, dtype=np.int64)
    np.cumsum(numbers, out=sums[1:])
    return sums


class _Lean(ak.Array):  # type: ignore[misc]
    """What columns and collections share: slicing, and leaving the rest to awkward."""

    _lists: Lists | None
    _behavior = _attrs = _cpp_type = _numbaview = _generator = _lookup = None

    def __len__(self) -> int:
        raise NotImplementedError

    def _at(self, values: Index | slice, lists: Lists | None) -> _Lean:
        """Return what stands at positions of the flat values, in other lists."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """Two, when there is one list per event."""
        return 1 if self._lists is None else 2

    def taken(self, events: Index) -> _Lean:
        """Return the events at an index of which each entry is known to exist."""
        if self._lists is None:
            return self._at(events, None)
        lists, values = self._lists.take(events)
        return self._at(values, lists)

    def __getitem__(self, where: Any) -> Any:
        """Slice by event or, with a jagged mask, by value; other ways as awkward does it."""
        found = self._sliced(where)
        return lean(plain(self)[plain(where)]) if found is None else found

    def _sliced(self, where: Any) -> _Lean | None:
        if isinstance(where, Column):
            if where._lists is not None:
                return self._kept(where)
            where = where._values
        if isinstance(where, np.ndarray) and where.ndim == 1:
            events = _as_events(where, len(self))
            return None if events is None else self.taken(events)
        if isinstance(where, slice):
            if self._lists is None:
                return self._at(where, None)
            return self.taken(np.arange(len(self))[where])
        if not isinstance(where, tuple) or len(where) != 2 or self._lists is None:
            return None
        if where[0] != slice(None) or type(where[1]) is not int:
            return None
        values = self._lists.nth(where[1])
        return None if values is None else self._at(values, None)

    def _kept(self, mask: Column) -> _Lean | None:
        lists, own = mask._lists, self._lists
        if lists is None or own is None or mask._values.dtype != np.bool_ or not own.like(lists):
            return None
        lists, values = own.keep(mask._values)
        return self._at(values, lists)

    def __awkward_function__(self, function: Any, _likes: Any, args: Any, kwargs: Any) -> Any:
        """Answer the common functions of ``ak``; let awkward answer the others."""
        known = FUNCTIONS.get(function.__name__)
        if known is not None and kwargs.keys() <= {"axis", "allow_missing"}:
            answer = known(*args, **kwargs)
            if answer is not None:
                return answer
        return lean(function(*plain(args), **plain(kwargs)))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the awkward array that it stands for."""
        return plain(self).__reduce_ex__(protocol)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Leave NumPy's other functions to awkward."""
        return lean(func(*plain(args), **plain(kwargs)))


def _as_events(where: Values, n: int) -> Index | None:
    if where.dtype == np.bool_:
        return np.flatnonzero(where) if len(where) == n else None
    if where.dtype.kind not in "iu" or (len(where) and (where.min() < 0 or where.max() >= n)):
        return None
    return where.astype(np.int64, copy=False)


class Column(_Lean):
    """Numbers: one per event, or one list of them.

    Parameters
    ----------
    values : shape (n_values,)
        Those of all events, end to end.
    lists
        How they belong to events; None if there is one for each.
    """

    def __init__(self, values: Values, lists: Lists | None = None) -> None:
        self._values = values
        self._lists = lists

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self._values) if self._lists is None else self._lists.n

    @cached_property
    def _layout(self) -> Any:
        flat = ak.contents.NumpyArray(self._values)
        if self._lists is None:
            return flat
        return ak.contents.ListOffsetArray(ak.index.Index64(self._lists.offsets), flat)

    @property
    def values(self) -> Values:
        """Numbers of all events, end to end."""
        return self._values

    @property
    def lists(self) -> Lists | None:
        """How the values belong to events."""
        return self._lists

    def astype(self, dtype: Any) -> Column:
        """Return the numbers in another data type."""
        return Column(self._values.astype(dtype, copy=False), self._lists)

    def matches(self, lists: Lists | None) -> bool:
        """Say whether there is one number for each value of `lists`."""
        own = self._lists
        return own is None if lists is None else own is not None and own.like(lists)

    def _at(self, values: Index | slice, lists: Lists | None) -> Column:
        return Column(self._values[values], lists)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Values:
        """Return one number per event as NumPy array."""
        if self._lists is not None:
            return np.asarray(plain(self), dtype=dtype)
        return np.array(self._values, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Apply a NumPy function to the values; one per event serves each of its list."""
        if method == "__call__" and not kwargs and ufunc.nout == 1:
            found = aligned(inputs)
            if found is not None:
                values, lists = found
                return Column(ufunc(*values), lists)
        return lean(getattr(ufunc, method)(*plain(inputs), **plain(kwargs)))


def aligned(inputs: Sequence[Any]) -> tuple[list[Any], Lists | None] | None:
    """Return flat values of the same length, and their lists; None where awkward must help."""
    lists, n = None, None
    for item in inputs:
        if isinstance(item, SCALARS):
            continue
        if not isinstance(item, Column) and not _is_numbers(item):
            return None
        if n not in (None, len(item)):
            return None
        n = len(item)
        if isinstance(item, Column) and item._lists is not None:
            if lists is not None and not lists.like(item._lists):
                return None
            lists = lists or item._lists
    return [_flat(item, lists) for item in inputs], lists


def _is_numbers(item: Any) -> bool:
    return type(item) is np.ndarray and item.ndim == 1 and item.dtype.kind in "biuf"


def _flat(item: Any, lists: Lists | None) -> Any:
    if isinstance(item, SCALARS):
        return item
    if isinstance(item, Column):
        if item._lists is not None:
            return item._values
        item = item._values
    return item if lists is None else lists.each(item)


class Collection(_Lean):
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
        self._attrs = kind[1]
        self._columns: dict[str, Any] = {}

    def __len__(self) -> int:
        """Return the number of events."""
        return self._n

    @cached_property
    def _records(self) -> Any:
        return self._record()

    @cached_property
    def _layout(self) -> Any:
        if self._lists is None:
            return self._records
        return ak.contents.ListOffsetArray(ak.index.Index64(self._lists.offsets), self._records)

    @cached_property
    def _whole(self) -> ak.Array:
        return ak.Array(self._layout, attrs=self._attrs)

    @property
    def fields(self) -> list[str]:
        """Names of the columns."""
        return list(self._names)

    @property
    def lists(self) -> Lists | None:
        """How the objects belong to events."""
        return self._lists

    def column(self, name: str) -> Any:
        """Return a field."""
        if name not in self._columns:
            self._columns[name] = self._field(name)
        return self._columns[name]

    def _at(self, values: Index | slice, lists: Lists | None) -> Collection:
        if isinstance(values, slice):
            values = np.arange(self._n)[values]
        index: Index = values

        def record() -> Any:
            return ak.contents.IndexedArray.simplified(ak.index.Index64(index), self._records)

        return self._with(
            record,
            lambda name: self._column_at(name, index, lists),
            n=len(index) if lists is None else lists.n,
            lists=lists,
        )

    def _column_at(self, name: str, values: Index, lists: Lists | None) -> Any:
        column = self.column(name)
        if isinstance(column, Column):
            return column._at(values, lists)
        flat = column if self._lists is None else ak.flatten(column, axis=1)
        return flat[values] if lists is None else ak.unflatten(flat[values], lists.counts)

    def _with(self, record: Any, field: Any, **more: Any) -> Collection:
        about = {"names": self._names, "n": self._n, "lists": self._lists, **more}
        return type(self)(record, field, about.pop("names"), kind=self._kind, **about)

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
        self._names, self._columns = tuple(ak.fields(whole)), {}
        self._field = lambda name: lean(whole[name])
        self._whole, self._layout = whole, whole.layout
        self._record = lambda: ak.flatten(whole, axis=1).layout if self._lists else whole.layout
        self.__dict__.pop("_records", None)

    def __copy__(self) -> Collection:
        """Return a collection in which columns can be set while this one keeps its own."""
        return self._with(lambda: self._records, self.column)

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
        return lean(getattr(ufunc, method)(*plain(inputs), **plain(kwargs)))


OWN = frozenset({"column", "fields", "lists", "ndim", "taken", "with_column"})


@lru_cache(maxsize=4096)
def _is_stored(kind: type, name: str, names: tuple[str, ...]) -> bool:
    """Say whether ``array.name`` is the field `name`, and nothing that a behaviour computes."""
    for base in kind.__mro__:
        if name in vars(base):
            is_vector = base.__module__.startswith("vector.")
            return is_vector and name in COORDINATES and OTHERS.isdisjoint(names)
    return True


def plain(value: Any) -> Any:
    """Return the awkward arrays that columns and collections stand for, in tuples and dicts too."""
    if isinstance(value, Collection):
        return value._whole
    if isinstance(value, Column):
        return ak.Array(value._layout)
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return value


def lean(array: Any) -> Any:
    """Return numbers, flat or one list per event, as a `Column`; all else as it is."""
    if type(array) in (tuple, list):
        return type(array)(lean(item) for item in array)
    if not isinstance(array, ak.Array) or isinstance(array, _Lean) or not _is_ours(array):
        return array
    column = _column_of(array._layout)
    return array if column is None else column


def wrapped(array: Any) -> Any:
    """Return numbers as a `Column` and records, one or one list per event, as a `Collection`."""
    if not isinstance(array, ak.Array) or isinstance(array, _Lean) or not _is_ours(array):
        return array
    layout = array.layout
    if not layout.fields or array.ndim > 2 or layout.is_option:
        return lean(array)
    lists, record = None, layout
    if layout.is_list:
        layout = layout.to_ListOffsetArray64(True)
        lists = Lists(np.asarray(layout.offsets.data))
        record = layout.content[: int(lists.offsets[-1])]

    def field(name: str) -> Any:
        column = _column_of(record.content(name)) if record.is_record else None
        if column is None or column.lists is not None:
            return lean(array[name])
        return Column(column.values, lists)

    kind = (type(array), array.attrs or None)
    names = tuple(layout.fields)
    return _class_of(kind[0])(lambda: record, field, names, kind=kind, n=len(array), lists=lists)


@lru_cache(maxsize=256)
def _class_of(kind: type) -> type[Collection]:
    """Return the class of collections that vector and others take for arrays of `kind`."""
    return type(kind.__name__, (Collection, kind), {})


def _is_ours(array: ak.Array) -> bool:
    """Say whether the array has no behaviours or names of axes that would be lost."""
    return array._behavior is None and "__named_axis__" not in (array._attrs or ())


def _column_of(layout: Any) -> Column | None:
    if layout.parameter("__array__") is not None or layout.parameter("__list__") is not None:
        return None
    lists = None
    if layout.is_list:
        layout = layout.to_ListOffsetArray64(True)
        lists = Lists(np.asarray(layout.offsets.data))
        layout = layout.content[: int(lists.offsets[-1])]
    if layout.is_indexed and not layout.is_option:
        layout = layout.project()
    if not layout.is_numpy or layout.parameter("__array__") is not None:
        return None
    values = layout.to_backend_array()
    return Column(values, lists) if values.ndim == 1 and values.dtype.kind in "biuf" else None


def _num(array: Any, axis: int = 1) -> Any:
    if not isinstance(array, _Lean) or array._lists is None or axis != 1:
        return None
    return _Counts(array._lists)


class _Counts(Column):
    """Numbers of values of some lists; knows the lists, which ``ak.unflatten`` makes of it."""

    def __init__(self, lists: Lists) -> None:
        super().__init__(lists.counts)
        self._made_of = lists


def _values_per_event(array: Any, axis: Any) -> Column | None:
    own = isinstance(array, Column) and array._lists is not None
    return array if own and axis in (1, -1) else None


def _count(array: Any, axis: Any = None) -> Any:
    own = _values_per_event(array, axis)
    return None if own is None else _num(own)


def _sum(array: Any, axis: Any = None) -> Any:
    own = _values_per_event(array, axis)
    if own is None or own._values.dtype != np.bool_:  # sums of other numbers are awkward's
        return None
    return Column(own._lists.n_true(own._values))


def _any(array: Any, axis: Any = None) -> Any:
    number = _sum(array, axis)
    return None if number is None else number > 0


def _all(array: Any, axis: Any = None) -> Any:
    number = _sum(array, axis)
    return None if number is None else number == array._lists.counts


def _flatten(array: Any, axis: Any = 1) -> Any:
    if not isinstance(array, Column) or (
        axis is not None and _values_per_event(array, axis) is None
    ):
        return None
    return Column(array._values)


def _to_numpy(array: Any, allow_missing: bool = True) -> Any:
    return array._values if isinstance(array, Column) and array._lists is None else None


def _fill_none(array: Any, value: Any, axis: Any = -1) -> Any:
    return array if isinstance(array, Column) else None  # nothing is missing there


def _unflatten(array: Any, counts: Any, axis: int = 0) -> Any:
    values = array._values if isinstance(array, Column) else array
    if axis != 0 or not isinstance(counts, Column) or not _is_numbers(values):
        return None
    if (isinstance(array, Column) and array._lists is not None) or counts._lists is not None:
        return None
    if isinstance(counts, _Counts):
        lists = counts._made_of
    else:
        lists = Lists.of_counts(counts._values)
    return Column(values, lists) if lists.offsets[-1] == len(values) else None


def _broadcast_arrays(*arrays: Any) -> Any:
    found = aligned(arrays)
    if found is None or any(isinstance(item, SCALARS) for item in arrays):
        return None
    values, lists = found
    return [Column(item, lists) for item in values]


def _values_astype(array: Any, to: Any) -> Any:
    return Column(array._values.astype(to), array._lists) if isinstance(array, Column) else None


def _fields(array: Any) -> Any:
    return array.fields if isinstance(array, Collection) else []


FUNCTIONS = {
    "all": _all,
    "any": _any,
    "broadcast_arrays": _broadcast_arrays,
    "count": _count,
    "fields": _fields,
    "fill_none": _fill_none,
    "flatten": _flatten,
    "num": _num,
    "sum": _sum,
    "to_numpy": _to_numpy,
    "unflatten": _unflatten,
    "values_astype": _values_astype,
}
