"""Candidates of many events in a rectangle: a row an event, a column a candidate, some empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intccms.sample import kinematics
from intccms.sample.kinematics import Array

__all__ = ["Candidate", "Jagged", "Slots"]

# four-vectors, in which events it exists, further columns
Candidate = tuple[Array, Array | bool, Mapping[str, Array | float]]


@dataclass(frozen=True, slots=True)
class Jagged:
    """A collection as NanoAOD stores it: how many objects each event has, and flat columns."""

    counts: Array
    columns: dict[str, Array]

    @property
    def size(self) -> int:
        """Number of objects in all events together."""
        return int(self.counts.sum())

    def per_object(self, event_values: Array) -> Array:
        """Repeat one value per event for each of the event's objects."""
        return np.repeat(event_values, self.counts)


@dataclass(frozen=True, slots=True)
class Slots:
    """Columns of shape (n_events, n_candidates) and a mask of the candidates that exist."""

    valid: Array
    columns: dict[str, Array]

    @classmethod
    def of(cls, vectors: Sequence[Candidate]) -> Slots:
        """Make slots from (four-vectors, which exist, further columns), one per candidate."""
        n_events = vectors[0][0].shape[1]
        columns = {
            name: np.stack([getattr(kinematics, name)(p4) for p4, _, _ in vectors], axis=1)
            for name in ("pt", "eta", "phi", "mass")
        }
        for name in vectors[0][2]:
            values = [np.broadcast_to(np.asarray(more[name]), n_events) for _, _, more in vectors]
            columns[name] = np.stack(values, axis=1)
        valid = np.stack([np.broadcast_to(exists, n_events) for _, exists, _ in vectors], axis=1)
        return cls(valid, columns)

    def __getitem__(self, name: str) -> Array:
        """Return one column, shape (n_events, n_candidates)."""
        return self.columns[name]

    def with_columns(self, valid: Array | None = None, **columns: Array) -> Slots:
        """Return slots with columns added or replaced, and another mask if given."""
        return Slots(self.valid if valid is None else valid, {**self.columns, **columns})

    def joined(self, *others: Slots) -> Slots:
        """Put candidates of other slots behind these; columns that all of them have stay."""
        everything = (self, *others)
        names = [n for n in self.columns if all(n in other.columns for other in others)]
        return Slots(
            np.concatenate([s.valid for s in everything], axis=1),
            {n: np.concatenate([s.columns[n] for s in everything], axis=1) for n in names},
        )

    def taken(self, events: Array) -> Slots:
        """Keep the events that a mask or an index array names."""
        return Slots(self.valid[events], {n: c[events] for n, c in self.columns.items()})

    def by_pt(self) -> Slots:
        """Order each event's candidates by falling transverse momentum, empty ones last."""
        order = np.argsort(np.where(self.valid, -self["pt"], np.inf), axis=1, kind="stable")
        return Slots(
            np.take_along_axis(self.valid, order, axis=1),
            {n: np.take_along_axis(c, order, axis=1) for n, c in self.columns.items()},
        )

    def jagged(self) -> Jagged:
        """Drop the empty candidates."""
        return Jagged(
            self.valid.sum(axis=1),
            {name: column[self.valid] for name, column in self.columns.items()},
        )

    def stacked(self, other: Slots) -> Slots:
        """Put the events of other slots, perhaps of another width, behind these."""
        width = max(self.valid.shape[1], other.valid.shape[1])

        def both(one: Array, two: Array) -> Array:
            padded = [np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in (one, two)]
            return np.concatenate(padded)

        return Slots(
            both(self.valid, other.valid),
            {name: both(column, other.columns[name]) for name, column in self.columns.items()},
        )
