"""All that this project uses of the internals of awkward and coffea, each with its reason.

Nothing else in ``src`` names an attribute of these libraries that begins with an underscore, nor
changes a class of theirs. When a release breaks something here, `tests/chunkcolumns` fails; what
to do then stands with each entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import awkward as ak

Hook = Callable[..., Any]


class LazyArray(ak.Array):  # type: ignore[misc]
    """An ``ak.Array`` that makes its layout when awkward first asks for it.

    Reason: `ak.Array.__init__` wants the layout at once, and building one costs what this package
    saves. So ``__init__`` is not called, and what it would have set is set here.

    When awkward changes: compare with the assignments in ``ak.Array.__init__``; a further
    attribute gets its default below. If that does not help, let `chunkcolumns.as_chunk_array` and
    `as_column` return their argument: all results stay the same, a chunk takes 2.5 times as long.
    """

    _behavior = _attrs = _cpp_type = _numbaview = _generator = _lookup = None

    def _make_layout(self) -> Any:
        raise NotImplementedError

    @cached_property
    def _layout(self) -> Any:
        return self._make_layout()

    def _set_layout(self, layout: Any = None) -> None:
        """Take another layout; None: it is made anew when it is asked for."""
        self.__dict__.pop("_layout", None)
        if layout is not None:
            self._layout = layout

    def _set_attrs(self, attrs: Any) -> None:
        self._attrs = attrs

    def _plain(self) -> ak.Array:
        return ak.Array(self._layout, attrs=self._attrs)


def is_bare(array: ak.Array) -> bool:
    """Say whether the array has no behaviours or names of axes that would be lost.

    Reason: the public ``attrs`` makes an empty mapping on each array that it is asked of.
    When awkward changes: use ``array.behavior`` and ``array.attrs``.
    """
    return array._behavior is None and "__named_axis__" not in (array._attrs or ())


def root_form(tree: Any) -> dict[str, Any]:
    """Describe the branches of a TTree or RNTuple as coffea's NanoEvents wants them.

    Reason: coffea makes this description only for whole files, opened and mapped by itself.
    When coffea changes: see what ``NanoEventsFactory.from_root`` calls in its place.
    """
    from coffea.nanoevents.mapping import UprootSourceMapping  # slow to import

    form: dict[str, Any] = UprootSourceMapping._extract_base_form(tree)
    return form


def parquet_form(schema: Any) -> dict[str, Any]:
    """Describe the columns of a parquet file (its Arrow schema) as `root_form` does.

    When coffea changes: see what ``NanoEventsFactory.from_parquet`` calls in its place.
    """
    from coffea.nanoevents.mapping import ParquetSourceMapping  # slow to import

    form: dict[str, Any] = ParquetSourceMapping._extract_base_form(schema)
    return form


@contextmanager
def selection_hooks(on_add: Hook, on_all: Hook) -> Iterator[None]:
    """See what is added to any ``PackedSelection`` while the block runs.

    Reason: a user's function makes its selection itself, of coffea's class, which packs the cuts
    into bits and forgets the arrays that they were.
    When coffea changes: ``add`` and ``all`` are public; adapt the signatures. Without this all
    cuts count as depending on every column, which costs time and changes no result.

    Parameters
    ----------
    on_add
        Called with selection, name and array; returns the array that coffea gets.
    on_all
        Called with selection, names and coffea's answer; returns what the function gets.
    """
    from coffea.analysis_tools import PackedSelection  # slow to import

    add, all_of = PackedSelection.add, PackedSelection.all

    def add_seen(self: Any, name: str, selection: Any, *args: Any, **kwargs: Any) -> Any:
        return add(self, name, on_add(self, name, selection), *args, **kwargs)

    def all_seen(self: Any, *names: str) -> Any:
        return on_all(self, names, all_of(self, *names))

    PackedSelection.add, PackedSelection.all = add_seen, all_seen
    try:
        yield
    finally:
        PackedSelection.add, PackedSelection.all = add, all_of
