"""The common functions of ``ak`` for columns and collections; what is None awkward must do."""

from __future__ import annotations

from typing import Any

import numpy as np

from intccms.functors.columns import Column, aligned, is_numbers
from intccms.functors.lean import FUNCTIONS, SCALARS, Lean
from intccms.functors.lists import Lists

__all__: list[str] = []  # they are entered into `FUNCTIONS`


def _num(array: Any, axis: int = 1) -> Any:
    if not isinstance(array, Lean) or array.ndim == 1 or axis != 1:
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
    return array.fields if isinstance(array, Lean) else None


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
