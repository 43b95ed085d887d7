"""What the answers of the user's functions depend on, found by running them on a few events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from chunkcolumns import Collection, Column, as_column, plain
from chunkcolumns.library_internals import selection_hooks
from intccms.engine.calls import MVA, Level
from intccms.engine.objects import Objects, overlaps
from intccms.errors import attempted
from intccms.execution.failures import user_code
from intccms.fingerprint.watching import Watch
from intccms.schema import Channel, Config, FunctionSpec, ObjectMask, ObjVar

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


def _called(function: Callable[..., Any], args: Any, kwargs: Any, further: Origins = NONE) -> Any:
    if kwargs.get("out") is not None:  # what is written there would bear no marks
        raise Untraceable
    return _marked(function(*bare(args), **bare(kwargs)), further | origins_of((args, kwargs)))


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
    """Mark what a function gets for `ref`.

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


def _answer(spec: FunctionSpec, inputs: Sequence[Any]) -> Any:
    with user_code("traced", spec.function), Watch(spec.function, "", spec.static_kwargs):
        return spec.function(*inputs, **spec.static_kwargs)


def needed(spec: FunctionSpec, inputs: Sequence[Any], changed: Origins) -> list[Any]:
    """Return the boolean arrays that `changed` cannot move and that the answer needs to be true.

    Parameters
    ----------
    spec
        A mask; its function is called once.
    inputs
        Marked arrays, see `mark`.

    Returns
    -------
    list
        Empty if the function does anything but compare each object's own columns: then objects
        for which one of them is false may still matter to the others.
    """
    answer = attempted(_answer, spec, inputs)  # the plain call tells of errors
    if not isinstance(answer, Marked) or answer._all & MIXED:
        return []
    return [part._array for part in answer._parts or (answer,) if not part._all & changed]


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
        origins = _columns_of(selection, self.everything)
        self.cuts.setdefault(id(owner), {})[name] = origins
        if isinstance(selection, _Conjunction) and selection._owner is owner:
            self.parts.setdefault(id(owner), {})[name] = selection._names


_recording: ContextVar[_Record | None] = ContextVar("recording", default=None)
_lock = threading.RLock()


@contextmanager
def _record_cuts(everything: Origins) -> Iterator[_Record]:
    """Let PackedSelection take marked arrays while the block runs, in this thread only."""
    record = _Record(everything)

    def on_add(owner: PackedSelection, name: str, selection: Any) -> Any:
        recorded = _recording.get()
        if recorded is not None:
            recorded.add(owner, name, selection)
        return bare(selection)

    def on_all(owner: PackedSelection, names: tuple[str, ...], value: Any) -> Any:
        recorded = _recording.get()
        if recorded is None:
            return value
        cuts = recorded.cuts.get(id(owner), {})
        chosen = names or tuple(cuts)
        return _Conjunction(value, NONE.union(*(cuts[name] for name in chosen)), chosen, owner)

    with _lock, selection_hooks(on_add, on_all):
        token = _recording.set(record)
        try:
            yield record
        finally:
            _recording.reset(token)


def trace(spec: FunctionSpec, inputs: Sequence[Any], everything: Origins) -> CutOrigins:
    """Run `spec` on marked `inputs` and see what its answer depends on.

    Parameters
    ----------
    spec
        Its function is called once.
    inputs
        Marked arrays, see `mark`.
    everything
        The answer's columns when the function cannot be followed (numba, NumPy conversions,
        branches on values).
    """
    with _record_cuts(everything) as record:
        answer = attempted(_answer, spec, inputs)  # the plain call tells of errors
    if not isinstance(answer, PackedSelection):
        return CutOrigins(_columns_of(answer, everything), {})
    cuts = record.cuts.get(id(answer), {})
    last = answer.names[-1] if answer.names else ""
    if set(cuts) != set(answer.names):  # filled in another way than by add()
        return CutOrigins(everything, {})
    names = _expanded(last, record.parts.get(id(answer), {}))
    return CutOrigins(cuts.get(last, everything), {name: cuts[name] for name in names})


def _columns_of(answer: Any, everything: Origins) -> Origins:
    return origins_of(answer) - MIXED if isinstance(answer, Marked) else everything


def _expanded(name: str, parts: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the plain cuts whose *and* is `name`; itself, when it was not made by ``all``."""
    if name not in parts:
        return [name] if name else []
    return [plain for part in parts[name] for plain in _expanded(part, parts)]


SAMPLE = 64  # events that the functions are run on


@dataclass
class Traces:
    """For each function the shifted columns that its answer depends on.

    Parameters
    ----------
    touched
        Columns that at least one object systematic changes.
    collections
        What decides which objects a collection has: the reference ``name.[]``, where its mask may
        answer otherwise, or for a derived column all shifted columns.
    baseline, channels
        Of the selections.
    """

    touched: Origins
    collections: dict[str, Origins] = field(default_factory=dict)
    baseline: CutOrigins = field(default_factory=lambda: CutOrigins(NONE, {}))
    channels: dict[str, CutOrigins] = field(default_factory=dict)
    is_plain: bool = False

    @property
    def moving(self) -> Origins:
        """What an object systematic can change: columns, and which objects there are."""
        return self.touched.union(*self.collections.values())

    def reaches(self, refs: Iterable[ObjVar]) -> bool:
        """Return whether an object systematic can change any of `refs`."""
        return any(
            self.collections.get(ref.obj) or any(overlaps(ref, other) for other in self.touched)
            for ref in refs
        )

    def affected(self, masks: Sequence[ObjectMask]) -> set[str]:
        """Return the collections that differ between systematics, once `masks` are applied."""
        names = {ref.obj for ref in self.touched}
        for mask in masks:
            if self.reaches(mask.use) or names & {ref.obj for ref in mask.use}:
                names.add(mask.object)
        return names

    def masks_are_fixed(self, masks: Sequence[ObjectMask]) -> bool:
        """Return whether no object systematic changes which objects are good."""
        return not any(self.collections.get(mask.object) for mask in masks)

    def run(self, spec: FunctionSpec, objects: Objects) -> CutOrigins:
        """Trace one function on `objects`."""
        if not self.reaches(spec.use):
            return CutOrigins(NONE, {})
        if objects.n == 0:  # a function may take another path when there is no event
            return CutOrigins(self.moving, {})
        return trace(spec, self._marked(spec, objects), self.moving)

    def _marked(self, spec: FunctionSpec, objects: Objects, unmasked: str = "") -> list[Any]:
        decided = {name: refs for name, refs in self.collections.items() if name != unmasked}
        arrays = [objects.column(ref) for ref in spec.use]
        return [
            mark(array, ref, self.touched, decided.get(ref.obj, NONE))
            for array, ref in zip(plain(arrays) if self.is_plain else arrays, spec.use, strict=True)
        ]

    def needed(self, masks: Sequence[ObjectMask], stages: Sequence[Objects]) -> dict[str, Column]:
        """Say of collections which objects may be good in some systematic, where that is known.

        The mask asks something of each of them alone that no object systematic changes, and no mask
        before it looks at those that lack it.

        Parameters
        ----------
        stages
            Objects before each mask.
        """
        seen, columns = {ref.obj for ref in self.touched if ref.field is None}, dict[str, Column]()
        for mask, objects in zip(masks, stages, strict=False):
            name = mask.object
            lists = objects[name].lists if isinstance(objects[name], Collection) else None
            if name not in seen and self.collections.get(name) and lists is not None:
                known = needed(mask, self._marked(mask, objects, name), self.moving)
                parts = [as_column(part) for part in known]
                if all(isinstance(p, Column) and p.matches(lists) for p in parts) and parts:
                    values = np.logical_and.reduce([part.values for part in parts])
                    columns[name] = Column(values, lists)
            seen |= {name, *(ref.obj for ref in mask.use)}
        return columns


def trace_functions(
    config: Config,
    channels: Sequence[Channel],
    touched: Origins,
    *,
    stages: Sequence[Objects],
    level: Level,
) -> Traces:
    """Run every mask and selection once on a few events.

    Parameters
    ----------
    config, channels
        The functions.
    touched
        Columns that an object systematic changes.
    stages
        Objects before each analysis mask, and after the last.
    level
        Objects of events past the nominal baseline, derived columns attached.
    """
    again = {ref.obj: frozenset({ref}) for ref in touched if ref.field is None}  # sorted
    traces = Traces(touched, again, is_plain=config.general.columns == "awkward")
    for mask, objects in zip(config.good_object_masks.analysis, stages, strict=False):
        if traces.run(mask, _few(objects)).origins & traces.moving:
            before = traces.collections.get(mask.object, NONE)
            traces.collections[mask.object] = before | {ObjVar(mask.object, "[]")}
    for mask in config.good_object_masks.mva:  # they see collections of the same names
        if traces.reaches(mask.use):
            traces.collections[mask.object] = touched
    if config.baseline_selection is not None:
        traces.baseline = traces.run(config.baseline_selection, _few(stages[-1]))
    few = _few(level.objects)
    for derived in config.ghost_observables:
        if traces.reaches(derived.use) or MVA in derived.collections:
            traces.collections.update(dict.fromkeys(derived.collections, touched))
    for channel in channels:
        if channel.selection is not None:
            traces.channels[channel.name] = traces.run(channel.selection, few)
    return traces


def _few(objects: Objects) -> Objects:
    return objects.take(np.arange(min(objects.n, SAMPLE)))
