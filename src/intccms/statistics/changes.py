"""What was done to a template, why and how much; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Literal, get_args

__all__ = ["Action", "Change", "as_table"]

Action = Literal[
    "overlap", "left out", "dropped", "folded", "clipped", "filled", "reduced", "thin", "merged",
    "smoothed", "symmetrised", "pruned", "kept",
]  # fmt: skip
REPAIRS = ("overlap", "dropped", "folded", "clipped", "filled", "reduced", "thin", "merged")


@dataclass(frozen=True)
class Change:
    """One thing that was done to a template, or that a reader should know about it.

    Parameters
    ----------
    action
        ``overlap``: events that are in another region too, as is allowed; ``left out``: not in the
        workspace; ``dropped``, ``folded``: outside of the edges, and lost
        or in the first and last bin; ``clipped``: negative bins became 0; ``filled``:
        what simulation does not exclude where there was nothing; ``reduced``: more than can be;
        ``thin``: bins with little simulation; ``merged``: bins that were; ``kept``: nothing was
        done, though one could.
    region, sample
        Where.
    systematic, direction
        Of the template; both empty for the nominal one.
    reason
        Why, in words.
    amount, unit
        How much: the sum of the bins that were changed, or the largest relative change of a bin,
        for the norm alone that of the norm; of thin and merged bins the smallest effective number
        of background events.
    """

    action: Action
    region: str
    sample: str
    systematic: str
    direction: str
    reason: str
    amount: float
    unit: Literal["events", "relative"]

    @property
    def is_repair(self) -> bool:
        """Whether the fit should tell of it: a nominal template, or one that was empty."""
        return self.action in REPAIRS and not (self.action == "clipped" and self.systematic)

    def __str__(self) -> str:
        """One line."""
        where = (self.region, self.sample, f"{self.systematic} {self.direction}".strip())
        return f"{', '.join(part for part in where if part)}: {self.reason}"


def as_table(changes: Mapping[Change, Iterable[str]]) -> str:
    """Write changes as a table for humans, those of one action together.

    Parameters
    ----------
    changes
        Each with the signals in whose workspaces it was made.
    """
    order = get_args(Action)
    found = sorted(changes, key=lambda one: (order.index(one.action), astuple(one)))
    head = [field.name for field in fields(Change) if field.name != "unit"]
    rows = [[*map(str, astuple(one)[:6]), _amount(one)] for one in found]
    every = {signal for signals in changes.values() for signal in signals}
    for row, one in zip(rows, found, strict=True):
        missing = every - set(changes[one])
        row.append("all" if not missing else " ".join(changes[one]))
    table = [[*head, "signals"], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    return "\n".join(lines) + "\n"


def _amount(one: Change) -> str:
    return f"{one.amount:.3g} events" if one.unit == "events" else f"{100 * one.amount:.3g} %"
