"""Sums of results by group, added up as they come; the order of exact sums does not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from coffea.processor import accumulate

__all__ = ["Totals", "merged"]

WAITING = 8  # results that are added at once: it walks through all keys of the total each time


def merged(several: Iterable[Any]) -> Any:
    """Return the sum of results, which stay as they are."""
    return accumulate([{}, *several])


class Totals:
    """The sum of all results of each group.

    Parameters
    ----------
    group_of
        Names the group of an item, e.g. its dataset.
    """

    def __init__(self, group_of: Callable[[Any], str]) -> None:
        self.group_of = group_of
        self._totals: dict[str, Any] = {}
        self._waiting: dict[str, list[Any]] = {}
        self._n_waiting = 0

    def take(self, group: str, sums: Any) -> None:
        """Add one result, or the sum of several."""
        self._waiting.setdefault(group, []).append(sums)
        self._n_waiting += 1
        if self._n_waiting >= WAITING:
            self._add()

    def _add(self) -> None:
        for group, several in self._waiting.items():
            total = self._totals.setdefault(group, {})
            accumulate([several[0] if len(several) == 1 else merged(several)], total)
        self._waiting, self._n_waiting = {}, 0

    @property
    def by_group(self) -> dict[str, Any]:
        """The totals of all groups that have one."""
        self._add()
        return self._totals
