"""Numbers, flat or one list per event, whose usual operations run on NumPy.

The functions of ``ak`` that columns answer are at the end; where one returns None awkward must.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from chunkcolumns.arrays import (
    FUNCTIONS,
    SCALARS,
    ChunkArray,
    Lists,
    Pick,
    once_only,
    plain,
    read_only,
)
from chunkcolumns.library_internals import is_bare

Values = NDArray[Any]


class Column(ChunkArray):
    """Numbers: one per event, or one list of them.

    Parameters
    ----------
    values : shape (n_values,)
        Those of all events, end to end.
    lists
        How they belong to events; None if there is one for each.
    pick
        Which of `values` they are, if not all; they are taken when they are needed.
    """

    _is_column = True

    def __init__(
        self, values: Values, lists: Lists | None = None, pick: Pick | None = None
    ) -> None:
        self._source, self._pick = values, pick
        self._lists = lists

    def __len__(self) -> int:
        """Return the number of events."""
        if self._lists is not None:
            return self._lists.n
        return len(self._source if self._pick is None else self._pick)

    @cached_property
    def _values(self) -> Values:
        values = self._source if self._pick is None else self._source[self._pick.positions]
        return read_only(values) if self._is_shared else values

    @property
    def _repeats(self) -> tuple[Column, Pick] | None:
        if self._pick is None or self._lists is not None or len(self._pick) <= len(self._source):
            return None
        return Column(self._source), self._pick

    @cached_property
    def _keeping(self) -> tuple[Lists, Pick]:
        """How a mask cuts lists, and which of their values it keeps."""
        assert self._lists is not None
        return self._lists.keep(self._values)

    def _make_layout(self) -> Any:
        flat = ak.contents.NumpyArray(self._values)
        if self._lists is None:
            return flat
        return ak.contents.ListOffsetArray(ak.index.Index64(self._lists.offsets), flat)

    @property
    def values(self) -> Values:
        """Numbers of all events, end to end."""
        return self._values

    def _share(self) -> None:
        self.__dict__.pop("_values", None)
        self._set_layout()

    def astype(self, dtype: Any) -> Column:
        """Return the numbers in another data type."""
        if self._repeats is not None:
            once, rows = self._repeats
            return once.astype(dtype).taken(rows)  # type: ignore[no-any-return]
        return Column(self._values.astype(dtype, copy=False), self._lists)

    def matches(self, lists: Lists | None) -> bool:
        """Say whether there is one number for each value of `lists`."""
        own = self._lists
        return own is None if lists is None else own is not None and own.like(lists)

    def _at(self, values: Pick, lists: Lists | None) -> Column:
        pick = values if self._pick is None else self._pick.then(values)
        return Column(self._source, lists, pick)

    def _wrapped(self, array: Any) -> Any:
        return as_column(array)

    def _repeated(self, events: Pick) -> Column:
        return Column(self._values, None, events) if self.ndim == 1 else _Repeated(self, events)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Values:
        """Return one number per event as NumPy array."""
        if self._lists is not None:
            return np.asarray(plain(self), dtype=dtype)
        return np.array(self._values, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Apply a NumPy function to the values; one per event serves each of its list."""
        if method == "__call__" and not kwargs and ufunc.nout == 1:
            once = once_only(inputs)
            if once is not None:
                with np.errstate(all="ignore"):  # some may be in no row
                    answer = ufunc(*once[0])
                if isinstance(answer, ChunkArray):
                    return answer.taken(once[1])
            found = aligned(inputs)
            if found is not None:
                values, lists = found
                return Column(ufunc(*values), lists)
        return as_column(getattr(ufunc, method)(*plain(inputs), **plain(kwargs)))


class _Repeated(Column):
    """Lists of events that come more than once; put end to end only if they must."""

    def __init__(self, once: Column, rows: Pick) -> None:
        self._once, self._rows = once, rows

    @property
    def _repeats(self) -> tuple[Column, Pick]:
        return self._once, self._rows

    @property
    def ndim(self) -> int:
        return 2

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def _lists(self) -> Lists:  # type: ignore[override]
        assert self._once._lists is not None
        return self._once._lists.take(self._rows)[0]

    @cached_property
    def _pick(self) -> Pick:  # type: ignore[override]
        assert self._once._lists is not None
        return self._once._lists.take(self._rows)[1]

    @cached_property
    def _source(self) -> Values:  # type: ignore[override]
        return self._once._values


def aligned(inputs: Sequence[Any]) -> tuple[list[Any], Lists | None] | None:
    """Return flat values of the same length, and their lists; None where awkward must help."""
    lists, n = None, None
    for item in inputs:
        if isinstance(item, SCALARS):
            continue
        if not isinstance(item, Column) and not is_numbers(item):
            return None
        if n not in (None, len(item)):
            return None
        n = len(item)
        if isinstance(item, Column) and item._lists is not None:
            if lists is not None and not lists.like(item._lists):
                return None
            lists = lists or item._lists
    return [_flat(item, lists) for item in inputs], lists


def is_numbers(item: Any) -> bool:
    """Say whether it is a plain NumPy array with one number per event."""
    return type(item) is np.ndarray and item.ndim == 1 and item.dtype.kind in "biuf"


def _flat(item: Any, lists: Lists | None) -> Any:
    if isinstance(item, SCALARS):
        return item
    if isinstance(item, Column):
        if item._lists is not None:
            return item._values
        item = item._values
    return item if lists is None else lists.each(item)


def as_column(array: Any) -> Any:
    """Return numbers, flat or one list per event, as a `Column`; all else as it is."""
    if type(array) in (tuple, list):
        return type(array)(as_column(item) for item in array)
    if not isinstance(array, ak.Array) or isinstance(array, ChunkArray) or not is_bare(array):
        return array
    column = column_of(array.layout)
    return array if column is None else column


def column_of(layout: Any) -> Column | None:
    """Return the column that an awkward layout stands for; None if it is anything else."""
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
    if not isinstance(array, ChunkArray) or array.ndim == 1 or axis != 1:
        return None
    assert array._lists is not None
    return _Counts(array._lists)


class _Counts(Column):
    """Numbers of values of some lists; knows the lists, which ``ak.unflatten`` makes of it."""

    def __init__(self, lists: Lists) -> None:
        super().__init__(lists.counts)
        self._made_of = lists


def _values_per_event(array: Any, axis: Any) -> Column | None:
    own = isinstance(array, Column) and axis in (1, -1) and array.ndim == 2
    return array if own else None


def _count(array: Any, axis: Any = None) -> Any:
    own = _values_per_event(array, axis)
    return None if own is None else _num(own)


def _sum(array: Any, axis: Any = None) -> Any:
    own = _values_per_event(array, axis)
    if (
        own is None or own._lists is None or own._values.dtype != np.bool_
    ):  # sums of other numbers are awkward's
        return None
    return Column(own._lists.n_true(own._values))


def _any(array: Any, axis: Any = None) -> Any:
    number = _sum(array, axis)
    return None if number is None else number > 0


def _all(array: Any, axis: Any = None) -> Any:
    number = _sum(array, axis)
    return None if number is None else number == array._lists.counts


def _firsts(array: Any, axis: Any = 1) -> Any:
    own = _values_per_event(array, axis)
    return None if own is None else own._nth((slice(None), 0))


def _where(condition: Any, chosen: Any, other: Any) -> Any:
    found = aligned((condition, chosen, other))
    if found is None or found[0][0].dtype != np.bool_:
        return None
    values = (np.asarray(value)[()] for value in found[0])  # a scalar's type counts, as in awkward
    return Column(np.where(*values), found[1])


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
    if axis != 0 or not isinstance(counts, Column) or not is_numbers(values):
        return None
    if (isinstance(array, Column) and array._lists is not None) or counts._lists is not None:
        return None
    known = isinstance(counts, _Counts)
    lists = counts._made_of if known else Lists.of_counts(counts._values)
    return Column(values, lists) if lists.offsets[-1] == len(values) else None


def _broadcast_arrays(*arrays: Any) -> Any:
    found = aligned(arrays)
    if found is None or any(isinstance(item, SCALARS) for item in arrays):
        return None
    values, lists = found
    return [Column(item, lists) for item in values]


def _values_astype(array: Any, to: Any) -> Any:
    return array.astype(to) if isinstance(array, Column) else None


def _fields(array: Any) -> Any:
    return array.fields if isinstance(array, ChunkArray) else None


FUNCTIONS |= {
    "all": _all,
    "any": _any,
    "broadcast_arrays": _broadcast_arrays,
    "count": _count,
    "fields": _fields,
    "fill_none": _fill_none,
    "firsts": _firsts,
    "flatten": _flatten,
    "num": _num,
    "sum": _sum,
    "to_numpy": _to_numpy,
    "unflatten": _unflatten,
    "values_astype": _values_astype,
    "where": _where,
}
