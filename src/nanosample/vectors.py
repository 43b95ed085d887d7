"""Four-vectors of many events and their decays, and batches of events made of them.

Four-vectors have shape (4, n_events): px, py, pz and E in GeV. In a batch, candidates stand in
rectangles, one row an event, one column a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
# four-vectors, in which events it exists, further columns
Candidate = tuple[Array, Array | bool, Mapping[str, Array | float]]


def from_polar(pt: Array, eta: Array, phi: Array, mass: Array | float) -> Array:
    """Make four-vectors from transverse momentum, pseudorapidity, azimuth and mass."""
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + np.square(mass))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, energy])


def from_rapidity(pt: Array, rapidity: Array, phi: Array, mass: Array | float) -> Array:
    """Make four-vectors from transverse momentum, rapidity, azimuth and mass."""
    transverse = np.sqrt(pt**2 + np.square(mass))
    pz, energy = transverse * np.sinh(rapidity), transverse * np.cosh(rapidity)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, energy])


def pt(p4: Array) -> Array:
    """Transverse momentum in GeV."""
    return np.asarray(np.hypot(p4[0], p4[1]))


def phi(p4: Array) -> Array:
    """Azimuth in (-pi, pi]."""
    return np.asarray(np.arctan2(p4[1], p4[0]))


def eta(p4: Array) -> Array:
    """Pseudorapidity; a vector along the beam gets a large finite value."""
    return np.asarray(np.arcsinh(p4[2] / np.maximum(pt(p4), 1e-6)))


def mass(p4: Array) -> Array:
    """Invariant mass in GeV, zero where rounding makes its square negative."""
    square = p4[3] ** 2 - p4[0] ** 2 - p4[1] ** 2 - p4[2] ** 2
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def delta_r(one: Array, other: Array) -> Array:
    """Distance in the plane of pseudorapidity and azimuth."""
    return np.asarray(np.hypot(eta(one) - eta(other), wrapped(phi(one) - phi(other))))


def wrapped(angle: Array) -> Array:
    """Bring differences of azimuths to [-pi, pi)."""
    return np.asarray(np.mod(angle + np.pi, 2 * np.pi) - np.pi)


def boosted(p4: Array, frame: Array) -> Array:
    """Take vectors given in the rest frame of `frame` to the frame in which `frame` is given."""
    frame_mass = np.maximum(mass(frame), 1e-6)
    dot = (p4[:3] * frame[:3]).sum(axis=0)
    energy = (frame[3] * p4[3] + dot) / frame_mass
    along = (dot / (frame[3] + frame_mass) + p4[3]) / frame_mass
    return np.concatenate([p4[:3] + along * frame[:3], energy[np.newaxis]])


def two_body(
    parent: Array, mass_one: Array | float, mass_two: Array | float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Let each parent decay isotropically into two particles of given masses.

    A parent too light for its daughters decays at rest (momentum zero in its rest frame).
    """
    parent_mass = np.maximum(mass(parent), 1e-6)
    above = (parent_mass**2 - np.square(np.add(mass_one, mass_two))) * (
        parent_mass**2 - np.square(np.subtract(mass_one, mass_two))
    )
    momentum = np.sqrt(np.maximum(above, 0.0)) / (2 * parent_mass)
    n_events = parent.shape[1]
    cos_theta = rng.uniform(-1, 1, n_events)
    sin_theta = np.sqrt(1 - cos_theta**2)
    azimuth = rng.uniform(-np.pi, np.pi, n_events)
    direction = np.stack([sin_theta * np.cos(azimuth), sin_theta * np.sin(azimuth), cos_theta])
    energy = np.sqrt(momentum**2 + np.square(mass_one))
    first = boosted(np.concatenate([momentum * direction, energy[np.newaxis]]), parent)
    return first, parent - first


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
            coordinate.__name__: np.stack([coordinate(p4) for p4, _, _ in candidates], axis=1)
            for coordinate in (pt, eta, phi, mass)
        }
        for name in candidates[0][2]:
            values = [np.broadcast_to(np.asarray(more[name]), n_events) for *_, more in candidates]
            columns[name] = np.stack(values, axis=1)
        exists = [np.broadcast_to(exists, n_events) for _, exists, _ in candidates]
        return cls(np.stack(exists, axis=1), columns)

    def __getitem__(self, name: str) -> Array:
        """Return one column, shape (n_events, n_candidates)."""
        return self.columns[name]

    def flat(self, name: str) -> Array:
        """Return one column of the candidates that exist, end to end."""
        return np.asarray(self.columns[name][self.valid])

    def with_columns(self, valid: Array | None = None, **columns: Array) -> Slots:
        """Return slots with columns added or replaced, and another mask if given."""
        return Slots(self.valid if valid is None else valid, {**self.columns, **columns})

    def joined(self, other: Slots) -> Slots:
        """Put candidates of other slots beside these; columns that both have stay."""
        columns = {
            name: np.concatenate([column, other[name]], axis=1)
            for name, column in self.columns.items()
            if name in other.columns
        }
        return Slots(np.concatenate([self.valid, other.valid], axis=1), columns)

    def taken(self, events: Array) -> Slots:
        """Keep the events that a mask or an index array names."""
        return Slots(self.valid[events], {n: c[events] for n, c in self.columns.items()})

    @classmethod
    def stacked(cls, parts: Sequence[Slots]) -> Slots:
        """Put the events of slots, perhaps of different widths, behind each other."""
        width = max(part.valid.shape[1] for part in parts)

        def stack(arrays: Sequence[Array]) -> Array:
            return np.concatenate([np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in arrays])

        columns = {name: stack([part[name] for part in parts]) for name in parts[0].columns}
        return cls(stack([part.valid for part in parts]), columns)

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

    def index_of(self, targets: Slots, radius: float) -> Array:
        """Give each candidate the column of its nearest target within `radius`, else -1."""
        distance, index = self.nearest(targets)
        return np.where(distance < radius, index, -1)


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
