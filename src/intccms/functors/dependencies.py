"""Arrays that remember which columns they were made from.

The function runs on marked arrays: every operation on one gives an array marked with the
columns of all its inputs, so a named cut carries the columns that can change it. A conversion
that would lose the marks stops the run, and the function then counts as depending on everything
it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak
import numpy as np

from intccms.execution.failures import user_code
from intccms.fingerprint import Watch
from intccms.functors.objects import overlaps
from intccms.schema import Functor, ObjVar

__all__ = [
    "MIXED",
    "NONE",
    "Marked",
    "Origins",
    "Untraceable",
    "bare",
    "mark",
    "needed",
    "origins_of",
]

Origins = frozenset[ObjVar]
NONE: Origins = frozenset()
MIXED: Origins = frozenset({ObjVar("", "mixed")})  # marks what looks at other objects too
STRUCTURE = frozenset({"dtype", "fields", "is_tuple", "ndim", "shape"})  # no column changes it
AND = {np.logical_and, np.bitwise_and}


class Untraceable(BaseException):
    """The marks would be lost; not an Exception, so that no function can swallow it."""


class Marked:
    """An array that remembers which columns it was made from.

    Parameters
    ----------
    array
        The array itself.
    origins
        Columns that the whole array depends on.
    fields
        For a record array: further columns that single fields depend on.
    """

    def __init__(
        self, array: Any, origins: Origins, fields: dict[str, Origins] | None = None
    ) -> None:
        self._array = array
        self._origins = origins
        self._fields = fields or {}
        self._parts: tuple[Marked, ...] = ()  # of which it is the logical *and*

    @property
    def _all(self) -> Origins:
        return self._origins.union(*self._fields.values())

    def __getattr__(self, name: str) -> Any:
        """Return a field or property, marked; a method marks what it returns."""
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._array, name)
        if name in ak.fields(self._array):
            return Marked(value, self._origins | self._fields.get(name, NONE))
        if name in STRUCTURE:
            return value
        return _marking(value, self) if callable(value) else _marked(value, self._all | MIXED)

    def __getitem__(self, where: Any) -> Any:
        """Return a field or a slice, marked also with what the slice depends on."""
        if isinstance(where, str):
            value = self._array[where]
            return Marked(value, self._origins | self._fields.get(where, NONE))
        value = self._array[bare(where)]
        return Marked(value, self._origins | origins_of(where) | MIXED, self._fields)

    def __len__(self) -> int:
        """Return the number of events, which no column changes."""
        return len(self._array)

    def __awkward_function__(self, function: Any, _likes: Any, args: Any, kwargs: Any) -> Any:
        """Run the function on the plain arrays and mark its answer."""
        if function.__name__ in STRUCTURE:
            return function(*bare(args), **bare(kwargs))
        return _called(function, args, kwargs, MIXED)

    def __array_function__(self, function: Any, _types: Any, args: Any, kwargs: Any) -> Any:
        """Run the function on the plain arrays and mark its answer."""
        return _called(function, args, kwargs, MIXED)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        """Run the ufunc on the plain arrays and mark its answer."""
        is_alone = method == "__call__"
        answer = _called(getattr(ufunc, method), args, kwargs, NONE if is_alone else MIXED)
        return _and(answer, args) if is_alone and ufunc in AND else answer

    def _lost(self, *_: Any, **__: Any) -> Any:
        raise Untraceable

    __array__ = __bool__ = __iter__ = __float__ = __int__ = __index__ = __hash__ = _lost
    __contains__ = __setitem__ = _lost


def _binary(name: str) -> Callable[..., Any]:
    def operate(self: Marked, *others: Any) -> Any:
        value = getattr(self._array, name)(*bare(others))
        if value is NotImplemented:
            return value
        answer = _marked(value, self._all | origins_of(others))
        return _and(answer, (self, *others)) if name in ("__and__", "__rand__") else answer

    return operate


def _and(answer: Marked, items: Sequence[Any]) -> Marked:
    """Take down what `answer` is the logical *and* of."""
    for item in items:
        part = item if isinstance(item, Marked) else Marked(item, NONE)
        answer._parts += part._parts or (part,)
    return answer


OPERATORS = (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow "
    "and rand or ror xor rxor lt le gt ge eq ne neg pos abs invert matmul rmatmul"
)
for _name in OPERATORS.split():
    setattr(Marked, f"__{_name}__", _binary(f"__{_name}__"))


def bare(value: Any) -> Any:
    """Return the plain arrays, in tuples and dicts too."""
    if isinstance(value, Marked):
        return value._array
    if isinstance(value, tuple | list):
        return type(value)(bare(item) for item in value)
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items()}
    return value


def origins_of(value: Any) -> Origins:
    """Return the columns that anything marked in `value` depends on."""
    if isinstance(value, Marked):
        return value._all
    if isinstance(value, tuple | list):
        return NONE.union(*(origins_of(item) for item in value))
    return origins_of(list(value.values())) if isinstance(value, dict) else NONE


def _called(function: Callable[..., Any], args: Any, kwargs: Any, more: Origins = NONE) -> Any:
    if kwargs.get("out") is not None:  # what is written there would bear no marks
        raise Untraceable
    return _marked(function(*bare(args), **bare(kwargs)), more | origins_of((args, kwargs)))


def _marked(value: Any, origins: Origins) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_marked(item, origins) for item in value)
    if isinstance(value, ak.Array | ak.Record | np.ndarray | np.generic):
        return Marked(value, origins)
    raise Untraceable


def _marking(method: Callable[..., Any], owner: Marked) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return _called(method, args, kwargs, owner._all | MIXED)

    return call


def mark(array: Any, ref: ObjVar, touched: Origins, collection: Origins) -> Any:
    """Mark what a functor gets for `ref`.

    Parameters
    ----------
    array
        The collection or column.
    touched
        Columns that a variation changes.
    collection
        Columns that decide which of its objects there are, as its mask does.
    """
    if not isinstance(array, ak.Array | np.ndarray):
        return array
    if ref.field is not None or not ak.fields(array):
        return Marked(array, collection | {t for t in touched if overlaps(t, ref)})
    fields = {t.field: frozenset({t}) for t in touched if t.obj == ref.obj and t.field}
    return Marked(array, collection, fields)


def needed(functor: Functor, inputs: Sequence[Any], changed: Origins) -> list[Any]:
    """Return the boolean arrays that `changed` cannot move and that the answer needs to be true.

    Parameters
    ----------
    functor
        A mask; its function is called once.
    inputs
        Marked arrays, see `mark`.

    Returns
    -------
    list
        Empty if the function does anything but compare each object's own columns: then objects
        for which one of them is false may still matter to the others.
    """
    try:
        with (
            user_code("traced", functor.function),
            Watch(functor.function, "", functor.static_kwargs),
        ):
            answer = functor.function(*inputs, **functor.static_kwargs)
    except Exception:  # noqa: BLE001 - the plain call tells of errors
        return []
    if not isinstance(answer, Marked) or answer._all & MIXED:
        return []
    return [part._array for part in answer._parts or (answer,) if not part._all & changed]
