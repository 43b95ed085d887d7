"""Batches of events: candidates in rectangles, one row an event, one column a candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from intccms.sample.events import kinematics
from intccms.sample.events.kinematics import Array

__all__ = ["Batch", "Candidate", "Jagged", "Slots"]

# four-vectors, in which events it exists, further columns
Candidate = tuple[Array, Array | bool, Mapping[str, Array | float]]


@dataclass(frozen=True, slots=True)
class Jagged:
    """A collection as NanoAOD stores it: how many objects each event has, and flat columns."""

    counts: Array
    columns: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Slots:
    """Columns of shape (n_events, n_candidates) and a mask of the candidates that exist."""

    valid: Array
    columns: dict[str, Array]

    @classmethod
    def of(cls, candidates: Sequence[Candidate]) -> Slots:
        """Put candidates side by side."""
        n_events = candidates[0][0].shape[1]
        columns = {
            name: np.stack([getattr(kinematics, name)(p4) for p4, _, _ in candidates], axis=1)
            for name in ("pt", "eta", "phi", "mass")
        }
        for name in candidates[0][2]:
            values = [np.broadcast_to(np.asarray(more[name]), n_events) for *_, more in candidates]
            columns[name] = np.stack(values, axis=1)
        exists = [np.broadcast_to(exists, n_events) for _, exists, _ in candidates]
        return cls(np.stack(exists, axis=1), columns)

    def __getitem__(self, name: str) -> Array:
        """Return one column, shape (n_events, n_candidates)."""
        return self.columns[name]

    def with_columns(self, valid: Array | None = None, **columns: Array) -> Slots:
        """Return slots with columns added or replaced, and another mask if given."""
        return Slots(self.valid if valid is None else valid, {**self.columns, **columns})

    def joined(self, other: Slots) -> Slots:
        """Put candidates of other slots beside these; columns that both have stay."""
        return Slots(
            np.concatenate([self.valid, other.valid], axis=1),
            {
                name: np.concatenate([column, other.columns[name]], axis=1)
                for name, column in self.columns.items()
                if name in other.columns
            },
        )

    def taken(self, events: Array) -> Slots:
        """Keep the events that a mask or an index array names."""
        return Slots(self.valid[events], {n: c[events] for n, c in self.columns.items()})

    @classmethod
    def stacked(cls, parts: Sequence[Slots]) -> Slots:
        """Put the events of slots, perhaps of different widths, behind each other."""
        width = max(part.valid.shape[1] for part in parts)

        def all_of(arrays: Iterable[Array]) -> Array:
            return np.concatenate([np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in arrays])

        columns = {name: all_of(part[name] for part in parts) for name in parts[0].columns}
        return cls(all_of(part.valid for part in parts), columns)

    def by_pt(self) -> Slots:
        """Order each event's candidates by falling transverse momentum, empty ones last."""
        order = np.argsort(np.where(self.valid, -self["pt"], np.inf), axis=1, kind="stable")
        columns = {n: np.take_along_axis(c, order, axis=1) for n, c in self.columns.items()}
        return Slots(np.take_along_axis(self.valid, order, axis=1), columns)

    def nearest(self, targets: Slots) -> tuple[Array, Array]:
        """Find the nearest target of each candidate: its distance (or inf), and its column."""
        best = np.full(self.valid.shape, np.inf)
        index = np.full(self.valid.shape, -1)
        for i in range(targets.valid.shape[1]):
            d_phi = np.abs(self["phi"] - targets["phi"][:, i, np.newaxis])
            d_phi = np.minimum(d_phi, 2 * np.pi - d_phi)
            square = (self["eta"] - targets["eta"][:, i, np.newaxis]) ** 2 + d_phi**2
            closer = targets.valid[:, i, np.newaxis] & (square < best)
            best, index = np.where(closer, square, best), np.where(closer, i, index)
        return np.sqrt(best), index

    def jagged(self) -> Jagged:
        """Drop the empty candidates."""
        columns = {name: column[self.valid] for name, column in self.columns.items()}
        return Jagged(self.valid.sum(axis=1), columns)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events: candidates by name, and values by name whose first axis is the event.

    Generated events have the slots ``quarks`` (columns flavour, merged), ``leptons`` (pdg_id,
    charge), ``large`` (content; candidates for large jets) and ``particles`` (lines of GenPart),
    and the values ``invisible`` (x and y), ``pair_mass`` and ``boson_pt``. Reconstruction adds
    ``muons``, ``electrons``, ``taus``, ``jets`` and ``large_jets``, ``missing`` (x and y) and
    ``has_trigger``. Everything is in GeV.
    """

    slots: dict[str, Slots]
    values: dict[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the events."""
        return len(self.values["pair_mass"])

    def __getitem__(self, name: str) -> Slots:
        """Return candidates."""
        return self.slots[name]

    def taken(self, events: Array) -> Batch:
        """Keep the events that a mask or an index array names, in that order."""
        return Batch(
            {name: slots.taken(events) for name, slots in self.slots.items()},
            {name: values[events] for name, values in self.values.items()},
        )

    @classmethod
    def stacked(cls, parts: Sequence[Batch]) -> Batch:
        """Put events behind each other."""
        first = parts[0]
        return cls(
            {name: Slots.stacked([part[name] for part in parts]) for name in first.slots},
            {n: np.concatenate([part.values[n] for part in parts]) for n in first.values},
        )
