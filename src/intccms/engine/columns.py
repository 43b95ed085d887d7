"""Columns of numbers that answer as awkward arrays do, quickly: values end to end, and lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import awkward as ak
import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
Values = NDArray[Any]


def read_only(values: Values) -> Values:
    """Return the same values; whoever writes to them is told so by NumPy."""
    if not values.flags.writeable:
        return values
    shared = values.view()
    shared.flags.writeable = False
    return shared


class Pick:
    """Positions in some values; what is picked from the picked is put together once.

    Columns that were cut in the same way share it, which tells that they are alike.

    Parameters
    ----------
    positions : shape (n_picked,)
        Which values, in which order; one may come more than once.
    """

    def __init__(self, positions: Index) -> None:
        self.positions = read_only(np.asarray(positions))
        self._known: WeakKeyDictionary[Pick, Pick] = WeakKeyDictionary()

    def __len__(self) -> int:
        """Return how many are picked."""
        return len(self.positions)

    def then(self, later: Pick) -> Pick:
        """Return the positions of what `later` picks from what this picks."""
        if later not in self._known:
            self._known[later] = Pick(self.positions[later.positions])
        return self._known[later]


class Lists:
    """Where the values of each event begin and end, in an array that has them end to end.

    Parameters
    ----------
    offsets : shape (n_events + 1,)
        Event `i` has the values from ``offsets[i]`` up to ``offsets[i + 1]``; the first is 0.
    """

    def __init__(self, offsets: Index) -> None:
        self.offsets = read_only(offsets)
        self._taken: WeakKeyDictionary[Pick, tuple[Lists, Pick]] = WeakKeyDictionary()
        self._nth: dict[int, tuple[Pick, NDArray[np.bool_] | None]] = {}

    @classmethod
    def of_counts(cls, counts: NDArray[Any]) -> Lists:
        """Make the lists of events that have `counts` values."""
        return cls(_so_far(counts))

    @cached_property
    def counts(self) -> Index:
        """Values of each event."""
        return read_only(np.diff(self.offsets))

    @property
    def n(self) -> int:
        """Number of events."""
        return len(self.offsets) - 1

    @cached_property
    def events(self) -> Index:
        """Which event each value belongs to."""
        return self.each(np.arange(self.n))

    def like(self, other: Lists) -> bool:
        """Say whether the events have the same numbers of values."""
        return self is other or np.array_equal(self.offsets, other.offsets)

    def take(self, events: Pick) -> tuple[Lists, Pick]:
        """Return the lists of `events`, and where their values stood."""
        if events not in self._taken:
            lists = Lists.of_counts(self.counts[events.positions])
            shift = self.offsets[events.positions] - lists.offsets[:-1]
            values = np.repeat(shift, lists.counts)
            values += np.arange(len(values))
            self._taken[events] = lists, Pick(values)
        return self._taken[events]

    def keep(self, values: NDArray[np.bool_]) -> tuple[Lists, Pick]:
        """Return the lists of chosen values, and where these stood."""
        return Lists(_so_far(values)[self.offsets]), Pick(np.flatnonzero(values))

    def each(self, values: Values) -> Values:
        """Repeat one value per event for each value of that event."""
        return np.repeat(values, self.counts)

    def n_true(self, values: NDArray[np.bool_]) -> Index:
        """Count for each event the values that are true."""
        return np.diff(_so_far(values)[self.offsets])

    def nth(self, position: int, events: Pick | None = None) -> Pick | None:
        """Return where value `position` of each event stands; None if one has not so many.

        With `events` it is enough that these have; for the others there is any position.
        """
        if position not in self._nth:
            first, stop = self.offsets[:-1], self.offsets[1:]
            found = (first if position >= 0 else stop) + position
            absent = (found < first) | (found >= stop)
            found[absent] = 0
            self._nth[position] = Pick(found), absent if absent.any() else None
        where, lacking = self._nth[position]
        if lacking is not None and (events is None or lacking[events.positions].any()):
            return None
        return where


def _so_far(numbers: NDArray[Any]) -> Index:
    """Return the sum of the numbers before each position, the last being that of all."""
    sums = np.zeros(len(numbers) + 1, dtype=np.int64)
    np.cumsum(numbers, out=sums[1:])
    return sums


SCALARS = (bool, int, float, np.number, np.bool_)
ONE_FOR_ALL = (*SCALARS, str, type, np.dtype)  # what functions take beside arrays
FUNCTIONS: dict[str, Callable[..., Any]] = {}  # of ``ak``, answered here; see `functions`
OF_EVENTS = frozenset(  # of these the ones that look at each event alone, if `axis` is not 0
    "all any broadcast_arrays count fill_none firsts num sum values_astype where".split()  # noqa: SIM905
)


class Lean(ak.Array):  # type: ignore[misc]
    """What columns and collections share: slicing, and leaving the rest to awkward."""

    _is_column = False  # whether it is numbers
    _is_shared = False  # whether several functions see the same values
    _lists: Lists | None
    _behavior = _attrs = _cpp_type = _numbaview = _generator = _lookup = None

    def __len__(self) -> int:
        """Return the number of events."""
        raise NotImplementedError

    @property
    def _repeats(self) -> tuple[Any, Pick] | None:
        """What it repeats events of, and which; None if it does not."""
        raise NotImplementedError

    def _at(self, values: Pick, lists: Lists | None) -> Lean:
        """Return what stands at positions of the flat values, in other lists."""
        raise NotImplementedError

    def _repeated(self, events: Pick) -> Lean:
        """Return events that come more than once."""
        raise NotImplementedError

    def _wrapped(self, array: Any) -> Any:
        """Return what awkward answered as a column, if it is one."""
        raise NotImplementedError

    def shared(self) -> Any:
        """Return itself, from now on with values that nobody can write to."""
        if not self._is_shared:
            self._is_shared = True
            self._share()
        return self

    def _share(self) -> None:
        """Forget what was made of values that can be written to."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """Two, when there is one list per event."""
        return 1 if self._lists is None else 2

    def taken(self, events: Pick) -> Any:
        """Return the events at an index of which each entry is known to exist."""
        if self._repeats is not None:
            once, rows = self._repeats
            return once.taken(rows.then(events))
        if len(events) > len(self):
            return self._repeated(events)
        if self._lists is None:
            return self._at(events, None)
        lists, values = self._lists.take(events)
        return self._at(values, lists)

    def arranged(self, values: Index) -> Lean:
        """Return the values in another order, in which each stays with its event."""
        return self._at(Pick(values), self._lists)

    def __getitem__(self, where: Any) -> Any:
        """Slice by event or, with a jagged mask, by value; other ways as awkward does it."""
        found = self._sliced(where)
        return self._wrapped(plain(self)[plain(where)]) if found is None else found

    def _sliced(self, where: Any) -> Any:
        if isinstance(where, Lean) and where._is_column:
            if where.ndim == 2:
                return self._kept(where)
            where = where._values
        if isinstance(where, np.ndarray) and where.ndim == 1:
            events = _as_events(where, len(self))
            return None if events is None else self.taken(Pick(events))
        if isinstance(where, slice):
            return self.taken(Pick(np.arange(len(self))[where]))
        return self._nth(where) if isinstance(where, tuple) and len(where) == 2 else None

    def _nth(self, where: tuple[Any, Any]) -> Any:
        """Return value number ``where[1]`` of each event."""
        if self.ndim == 1 or where[0] != slice(None) or type(where[1]) is not int:
            return None
        once, rows = self._repeats or (self, None)
        assert once._lists is not None
        values = once._lists.nth(where[1], rows)
        if values is None:
            return None
        first = once._at(values, None)
        return first if rows is None else first.taken(rows)

    def _kept(self, mask: Any) -> Any:
        once = once_only((self, mask))
        if once is not None:
            (mine, its), rows = once
            found = mine._kept(its)
            return None if found is None else found.taken(rows)
        lists, own = mask._lists, self._lists
        if lists is None or own is None or mask._values.dtype != np.bool_ or not own.like(lists):
            return None
        lists, values = mask._keeping
        return self._at(values, lists)

    def __awkward_function__(self, function: Any, _likes: Any, args: Any, kwargs: Any) -> Any:
        """Answer the common functions of ``ak``; let awkward answer the others."""
        known = FUNCTIONS.get(function.__name__)
        if known is not None and kwargs.keys() <= {"axis", "allow_missing"}:
            once = once_only(args) if function.__name__ in OF_EVENTS else None
            if once is not None:
                answer = known(*once[0], **kwargs)
                if isinstance(answer, Lean):
                    return answer.taken(once[1])
            answer = known(*args, **kwargs)
            if answer is not None:
                return answer
        return self._wrapped(function(*plain(args), **plain(kwargs)))

    def _plain(self) -> ak.Array:
        return ak.Array(self._layout, attrs=self._attrs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the awkward array that it stands for."""
        return plain(self).__reduce_ex__(protocol)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Leave NumPy's other functions to awkward."""
        return self._wrapped(func(*plain(args), **plain(kwargs)))


def _as_events(where: Values, n: int) -> Index | None:
    if where.dtype == np.bool_:
        return np.flatnonzero(where) if len(where) == n else None
    if where.dtype.kind not in "iu" or (len(where) and (where.min() < 0 or where.max() >= n)):
        return None
    return where.astype(np.int64, copy=False)


def once_only(items: Sequence[Any]) -> tuple[list[Any], Pick] | None:
    """Return what each item has once of all that they repeat, if they repeat the same events.

    What is computed of each event alone need be computed on these only.
    """
    rows, found = None, []
    for item in items:
        if isinstance(item, Lean):
            repeats = item._repeats
            if repeats is None or rows not in (None, repeats[1]):
                return None
            item, rows = repeats  # noqa: PLW2901
        elif not isinstance(item, ONE_FOR_ALL):
            return None
        found.append(item)
    return None if rows is None else (found, rows)


def plain(value: Any) -> Any:
    """Return the awkward arrays that columns and collections stand for, in tuples and dicts too."""
    if isinstance(value, Lean):
        return value._plain()
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return value


class Column(Lean):
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

    def _share(self) -> None:
        for name in ("_values", "_layout"):
            self.__dict__.pop(name, None)

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
        return lean(array)

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
                if isinstance(answer, Lean):
                    return answer.taken(once[1])
            found = aligned(inputs)
            if found is not None:
                values, lists = found
                return Column(ufunc(*values), lists)
        return lean(getattr(ufunc, method)(*plain(inputs), **plain(kwargs)))


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


def lean(array: Any) -> Any:
    """Return numbers, flat or one list per event, as a `Column`; all else as it is."""
    if type(array) in (tuple, list):
        return type(array)(lean(item) for item in array)
    if not isinstance(array, ak.Array) or isinstance(array, Lean) or not is_ours(array):
        return array
    column = column_of(array._layout)
    return array if column is None else column


def is_ours(array: ak.Array) -> bool:
    """Say whether the array has no behaviours or names of axes that would be lost."""
    return array._behavior is None and "__named_axis__" not in (array._attrs or ())


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
