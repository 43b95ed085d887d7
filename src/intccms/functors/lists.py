"""Which of the values that stand end to end belong to which event."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lists", "Pick", "read_only"]

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
