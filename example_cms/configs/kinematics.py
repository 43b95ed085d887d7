"""Four-vectors as columns, NumPy's or awkward's, in float64 throughout.

NanoAOD stores float32; a sum of boosted momenta in float32 moves events across bin edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import awkward as ak
import numpy as np
import numpy.typing as npt

__all__ = ["FourVector", "delta_r", "first", "flat", "has_any", "leading", "numbers"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FourVector:
    """Momenta and energies in GeV, one entry per object."""

    px: Floats
    py: Floats
    pz: Floats
    energy: Floats

    @classmethod
    def from_polar(cls, pt: Floats, eta: Floats, phi: Floats, mass: Floats) -> FourVector:
        """Four-vectors of objects measured in the coordinates of the detector."""
        px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        return cls(px, py, pz, np.sqrt(px * px + py * py + pz * pz + mass * mass))

    @classmethod
    def first(cls, objects: ak.Array) -> FourVector:
        """First object of each event, as awkward arrays; all 0 where an event has none."""
        columns = (objects.pt, objects.eta, objects.phi, objects.mass)
        return cls.from_polar(*(first(column) for column in columns))

    @classmethod
    def leading(cls, objects: ak.Array) -> FourVector:
        """First object of each event, as NumPy arrays; all 0 where an event has none."""
        columns = (objects.pt, objects.eta, objects.phi, objects.mass)
        return cls.from_polar(*(leading(column) for column in columns))

    @property
    def mass(self) -> Floats:
        """Invariant masses in GeV; 0 where rounding makes the square negative."""
        squared = self.energy * self.energy
        for component in (self.px, self.py, self.pz):
            squared = squared - component * component
        return np.sqrt(np.maximum(squared, 0.0))

    def __add__(self, other: FourVector) -> FourVector:
        """Sum object by object."""
        return FourVector(
            self.px + other.px,
            self.py + other.py,
            self.pz + other.pz,
            self.energy + other.energy,
        )

    def __getitem__(self, index: npt.NDArray[np.int64]) -> FourVector:
        """Objects at `index`, in that order."""
        return FourVector(self.px[index], self.py[index], self.pz[index], self.energy[index])


def numbers(column: ak.Array) -> Floats:
    """One value per event, as NumPy array."""
    return np.asarray(ak.to_numpy(column), dtype=np.float64)


def first(column: ak.Array) -> ak.Array:
    """First value of each event's list, 0 where the list is empty."""
    return ak.values_astype(ak.fill_none(ak.firsts(column, axis=1), 0), np.float64)


def has_any(objects: ak.Array) -> ak.Array:
    """Whether an event has at least one of these objects."""
    return ak.num(objects.pt, axis=1) > 0


def flat(column: ak.Array) -> Floats:
    """All values of a column with one list per event, end to end."""
    return numbers(ak.flatten(column, axis=1))


def leading(column: ak.Array) -> Floats:
    """First value of each event's list as NumPy array, 0 where the list is empty."""
    return numbers(first(column))


def delta_r(eta: Floats, phi: Floats, other_eta: Floats, other_phi: Floats) -> Floats:
    """Distance in the plane of pseudorapidity and azimuth."""
    delta_phi = (phi - other_phi + np.pi) % (2 * np.pi) - np.pi
    return np.sqrt((eta - other_eta) ** 2 + delta_phi**2)
