"""What columns and collections share: where each event's values are, slicing, the way to awkward.

An operation on an awkward array costs about a millisecond however few events there are; on what
is kept here, flat values and where each event's begin, it costs what NumPy takes. Columns and
collections *are* `ak.Array`: whatever is not done here is done by awkward, on the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from chunkcolumns.library_internals import LazyArray

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


class ChunkArray(LazyArray):
    """What columns and collections share: slicing, and leaving the rest to awkward."""

    _is_column = False  # whether it is numbers
    _is_shared = False  # whether several functions see the same values
    _lists: Lists | None

    def __len__(self) -> int:
        """Return the number of events."""
        raise NotImplementedError

    @property
    def _repeats(self) -> tuple[Any, Pick] | None:
        """What it repeats events of, and which; None if it does not."""
        raise NotImplementedError

    def _at(self, values: Pick, lists: Lists | None) -> ChunkArray:
        """Return what stands at positions of the flat values, in other lists."""
        raise NotImplementedError

    def _repeated(self, events: Pick) -> ChunkArray:
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
    def lists(self) -> Lists | None:
        """How the values belong to events; None if there is one for each."""
        return self._lists

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

    def arranged(self, values: Index) -> ChunkArray:
        """Return the values in another order, in which each stays with its event."""
        return self._at(Pick(values), self._lists)

    def __getitem__(self, where: Any) -> Any:
        """Slice by event or, with a jagged mask, by value; other ways as awkward does it."""
        found = self._sliced(where)
        return self._wrapped(plain(self)[plain(where)]) if found is None else found

    def _sliced(self, where: Any) -> Any:
        if isinstance(where, ChunkArray) and where._is_column:
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
                if isinstance(answer, ChunkArray):
                    return answer.taken(once[1])
            answer = known(*args, **kwargs)
            if answer is not None:
                return answer
        return self._wrapped(function(*plain(args), **plain(kwargs)))

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
        if isinstance(item, ChunkArray):
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
    if isinstance(value, ChunkArray):
        return value._plain()
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return value
