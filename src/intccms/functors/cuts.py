"""Which columns the cuts of a user's function depend on, found by running it once.

The function runs on marked arrays, so that each named cut carries the columns that can change it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from coffea.analysis_tools import PackedSelection

from intccms.execution.failures import user_code
from intccms.fingerprint import Watch
from intccms.functors.dependencies import (
    MIXED,
    NONE,
    Marked,
    Origins,
    bare,
    origins_of,
)
from intccms.schema import Functor

__all__ = ["CutOrigins", "trace"]


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
    add, all_of = PackedSelection.add, PackedSelection.all

    def add_marked(self: Any, name: str, selection: Any, *args: Any, **kwargs: Any) -> Any:
        kept = _recording.get()
        if kept is not None:
            kept.add(self, name, selection)
        return add(self, name, bare(selection), *args, **kwargs)

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
            with (
                user_code("traced", functor.function),
                Watch(functor.function, "", functor.static_kwargs),
            ):
                answer = functor.function(*inputs, **functor.static_kwargs)
        except Exception:  # noqa: BLE001 - the plain call tells of errors
            return CutOrigins(everything, {})
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
