"""Four-vectors of many events and their decays: shape (4, n_events), (px, py, pz, E) in GeV."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "boosted",
    "delta_r",
    "eta",
    "from_polar",
    "from_rapidity",
    "mass",
    "phi",
    "pt",
    "two_body",
    "wrapped",
]

Array = NDArray[Any]


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
