"""Which of the values that stand end to end belong to which event."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lists"]

Index = NDArray[np.int64]
Values = NDArray[Any]


class Lists:
    """Where the values of each event begin and end, in an array that has them end to end.

    Parameters
    ----------
    offsets : shape (n_events + 1,)
        Event `i` has the values from ``offsets[i]`` up to ``offsets[i + 1]``; the first is 0.
    """

    def __init__(self, offsets: Index) -> None:
        self.offsets = offsets

    @classmethod
    def of_counts(cls, counts: NDArray[Any]) -> Lists:
        """Make the lists of events that have `counts` values."""
        return cls(_so_far(counts))

    @cached_property
    def counts(self) -> Index:
        """Values of each event."""
        return np.diff(self.offsets)

    @property
    def n(self) -> int:
        """Number of events."""
        return len(self.offsets) - 1

    def like(self, other: Lists) -> bool:
        """Say whether the events have the same numbers of values."""
        return self is other or np.array_equal(self.offsets, other.offsets)

    def take(self, events: Index) -> tuple[Lists, Index]:
        """Return the lists of `events`, and where their values stood."""
        lists = Lists.of_counts(self.counts[events])
        shift = self.offsets[events] - lists.offsets[:-1]
        return lists, np.arange(lists.offsets[-1]) + np.repeat(shift, lists.counts)

    def keep(self, values: NDArray[np.bool_]) -> tuple[Lists, Index]:
        """Return the lists of chosen values, and where these stood."""
        return Lists(_so_far(values)[self.offsets]), np.flatnonzero(values)

    def each(self, values: Values) -> Values:
        """Repeat one value per event for each value of that event."""
        return np.repeat(values, self.counts)

    def n_true(self, values: NDArray[np.bool_]) -> Index:
        """Count for each event the values that are true."""
        return np.diff(_so_far(values)[self.offsets])

    def nth(self, position: int) -> Index | None:
        """Return where value `position` of each event stands; None if one has not so many."""
        if self.n and (position if position >= 0 else -position - 1) >= self.counts.min():
            return None
        start = self.offsets[:-1] if position >= 0 else self.offsets[1:]
        return start + position


def _so_far(numbers: NDArray[Any]) -> Index:
    """Return the sum of the numbers before each position, the last being that of all."""
    sums = np.zeros(len(numbers) + 1, dtype=np.int64)
    np.cumsum(numbers, out=sums[1:])
    return sums
