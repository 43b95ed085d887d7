"""Which columns each answer of a user's function depends on, found by running it once.

The function runs on marked arrays: every operation on one gives an array marked with the
columns of all its inputs, so a named cut carries the columns that can change it. A conversion
that would lose the marks stops the run, and the function then counts as depending on everything
it uses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from intccms.functors.objects import overlaps
from intccms.schema import Functor, ObjVar

__all__ = ["CutOrigins", "Marked", "mark", "trace"]

Origins = frozenset[ObjVar]
NONE: Origins = frozenset()
STRUCTURE = frozenset({"dtype", "fields", "is_tuple", "ndim", "shape"})  # no column changes it


class _Untraceable(BaseException):
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
        return _marking(value, self) if callable(value) else _marked(value, self._all)

    def __getitem__(self, where: Any) -> Any:
        """Return a field or a slice, marked also with what the slice depends on."""
        if isinstance(where, str):
            value = self._array[where]
            return Marked(value, self._origins | self._fields.get(where, NONE))
        value = self._array[_bare(where)]
        return Marked(value, self._origins | _origins_of(where), self._fields)

    def __len__(self) -> int:
        """Return the number of events, which no column changes."""
        return len(self._array)

    def __awkward_function__(self, function: Any, _likes: Any, args: Any, kwargs: Any) -> Any:
        """Run the function on the plain arrays and mark its answer."""
        if function.__name__ in STRUCTURE:
            return function(*_bare(args), **_bare(kwargs))
        return _called(function, args, kwargs)

    def __array_function__(self, function: Any, _types: Any, args: Any, kwargs: Any) -> Any:
        """Run the function on the plain arrays and mark its answer."""
        return _called(function, args, kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        """Run the ufunc on the plain arrays and mark its answer."""
        return _called(getattr(ufunc, method), args, kwargs)

    def _lost(self, *_: Any, **__: Any) -> Any:
        raise _Untraceable

    __array__ = __bool__ = __iter__ = __float__ = __int__ = __index__ = __hash__ = _lost
    __contains__ = __setitem__ = _lost


def _binary(name: str) -> Callable[..., Any]:
    def operate(self: Marked, *others: Any) -> Any:
        value = getattr(self._array, name)(*_bare(others))
        if value is NotImplemented:
            return value
        return _marked(value, self._all | _origins_of(others))

    return operate


OPERATORS = (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow "
    "and rand or ror xor rxor lt le gt ge eq ne neg pos abs invert matmul rmatmul"
)
for _name in OPERATORS.split():
    setattr(Marked, f"__{_name}__", _binary(f"__{_name}__"))


def _bare(value: Any) -> Any:
    if isinstance(value, Marked):
        return value._array
    if isinstance(value, tuple | list):
        return type(value)(_bare(item) for item in value)
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()}
    return value


def _origins_of(value: Any) -> Origins:
    if isinstance(value, Marked):
        return value._all
    if isinstance(value, tuple | list):
        return NONE.union(*(_origins_of(item) for item in value))
    return _origins_of(list(value.values())) if isinstance(value, dict) else NONE


def _called(function: Callable[..., Any], args: Any, kwargs: Any, more: Origins = NONE) -> Any:
    if kwargs.get("out") is not None:  # what is written there would bear no marks
        raise _Untraceable
    return _marked(function(*_bare(args), **_bare(kwargs)), more | _origins_of((args, kwargs)))


def _marked(value: Any, origins: Origins) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_marked(item, origins) for item in value)
    if isinstance(value, ak.Array | ak.Record | np.ndarray | np.generic):
        return Marked(value, origins)
    raise _Untraceable


def _marking(method: Callable[..., Any], owner: Marked) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return _called(method, args, kwargs, owner._all)

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


@dataclass(frozen=True)
class CutOrigins:
    """What an answer depends on.

    Parameters
    ----------
    origins
        Columns on which the whole answer depends.
    conjuncts
        For a PackedSelection: the named cuts whose logical *and* is the last one, each with its
        own columns.
    """

    origins: Origins
    conjuncts: dict[str, Origins]

    def untouched(self, changed: Origins) -> tuple[str, ...]:
        """Return the cuts that every passing event must pass and that `changed` cannot move."""
        return tuple(name for name, origins in self.conjuncts.items() if not origins & changed)


class _Conjunction(Marked):
    """What ``PackedSelection.all`` returned: remembers the cuts that it is the *and* of."""

    def __init__(
        self, array: Any, origins: Origins, names: tuple[str, ...], owner: PackedSelection
    ) -> None:
        super().__init__(array, origins)
        self._names, self._owner = names, owner


class _Record:
    """The cuts that were added to each PackedSelection while a function ran."""

    def __init__(self, everything: Origins) -> None:
        self.everything = everything
        self.cuts: dict[int, dict[str, Origins]] = {}
        self.parts: dict[int, dict[str, tuple[str, ...]]] = {}
        self._owners: list[PackedSelection] = []  # kept alive, so that no two have the same id

    def add(self, owner: PackedSelection, name: str, selection: Any) -> None:
        """Take down a cut; one without marks may depend on everything."""
        self._owners.append(owner)
        origins = _origins_of(selection) if isinstance(selection, Marked) else self.everything
        self.cuts.setdefault(id(owner), {})[name] = origins
        if isinstance(selection, _Conjunction) and selection._owner is owner:
            self.parts.setdefault(id(owner), {})[name] = selection._names


_recording: ContextVar[_Record | None] = ContextVar("recording", default=None)
_lock = threading.RLock()


@contextmanager
def _record_cuts(everything: Origins) -> Iterator[_Record]:
    """Let PackedSelection take marked arrays while the block runs, in this thread only."""
    record = _Record(everything)
    add, all_of = PackedSelection.add, PackedSelection.all

    def add_marked(self: Any, name: str, selection: Any, *args: Any, **kwargs: Any) -> Any:
        kept = _recording.get()
        if kept is not None:
            kept.add(self, name, selection)
        return add(self, name, _bare(selection), *args, **kwargs)

    def all_marked(self: Any, *names: str) -> Any:
        kept, value = _recording.get(), all_of(self, *names)
        if kept is None:
            return value
        cuts = kept.cuts.get(id(self), {})
        chosen = names or tuple(cuts)
        return _Conjunction(value, NONE.union(*(cuts[name] for name in chosen)), chosen, self)

    with _lock:
        token = _recording.set(record)
        PackedSelection.add, PackedSelection.all = add_marked, all_marked
        try:
            yield record
        finally:
            PackedSelection.add, PackedSelection.all = add, all_of
            _recording.reset(token)


def trace(functor: Functor, inputs: Sequence[Any], everything: Origins) -> CutOrigins:
    """Run `functor` on marked `inputs` and see what its answer depends on.

    Parameters
    ----------
    functor
        Its function is called once.
    inputs
        Marked arrays, see `mark`.
    everything
        The answer's columns when the function cannot be followed (numba, NumPy conversions,
        branches on values).
    """
    with _record_cuts(everything) as record:
        try:
            answer = functor.function(*inputs, **functor.static_kwargs)
        except (_Untraceable, Exception):  # noqa: BLE001 - the plain call tells of errors
            return CutOrigins(everything, {})
    if not isinstance(answer, PackedSelection):
        return CutOrigins(_origins_of(answer) if isinstance(answer, Marked) else everything, {})
    cuts = record.cuts.get(id(answer), {})
    last = answer.names[-1] if answer.names else ""
    if set(cuts) != set(answer.names):  # filled in another way than by add()
        return CutOrigins(everything, {})
    names = _expanded(last, record.parts.get(id(answer), {}))
    return CutOrigins(cuts.get(last, everything), {name: cuts[name] for name in names})


def _expanded(name: str, parts: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the plain cuts whose *and* is `name`; itself, when it was not made by ``all``."""
    if name not in parts:
        return [name] if name else []
    return [plain for part in parts[name] for plain in _expanded(part, parts)]
