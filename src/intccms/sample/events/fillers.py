"""Plausible values for the many branches that no selection reads, cheap to draw and to store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from intccms.sample.events.kinematics import Array
from intccms.sample.settings import settings

__all__ = ["drawn", "fields", "levels", "rounded"]

N_LEVELS = 32  # values a filler can take: five bits an object compress well


def levels(distribution: str, *parameters: Any) -> Array:
    """Make the values of a distribution, each equally likely.

    ``normal`` (mean, width), ``exponential`` (mean), ``uniform`` (low, high), or the name of an
    integer type with the share of each of its values.
    """
    steps = (np.arange(N_LEVELS) + 0.5) / N_LEVELS
    if distribution == "normal":
        gauss = NormalDist(*parameters)
        return np.array([gauss.inv_cdf(float(step)) for step in steps], dtype=np.float32)
    if distribution == "exponential":
        return np.asarray(-parameters[0] * np.log(1 - steps), dtype=np.float32)
    if distribution == "uniform":
        low, high = parameters
        return np.asarray(low + (high - low) * steps, dtype=np.float32)
    edges = np.cumsum(list(parameters[0].values()))
    index = np.searchsorted(edges / edges[-1], steps, side="right")
    return np.array(list(parameters[0]), dtype=distribution)[index]


@cache
def fields(collection: str) -> dict[str, Array]:
    """Return the fillers of a collection, of ``event`` or of ``simulated`` events."""
    return {name: levels(*how) for name, how in settings()["fields"].get(collection, {}).items()}


def drawn(fillers: Mapping[str, Array], size: int, rng: np.random.Generator) -> dict[str, Array]:
    """Draw `size` values of each of several fillers."""
    out = {}
    for name, values in fillers.items():
        index = np.frombuffer(rng.bytes(size), dtype=np.uint8) % N_LEVELS
        out[name] = values[index]
    return out


def rounded(values: Array, bits: int = 10) -> Array:
    """Keep `bits` bits of the mantissa of 32-bit floats, as NanoAOD does to save space."""
    drop = 23 - bits
    words = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half = np.uint32(1 << (drop - 1))
    return ((words + half) & np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)).view(np.float32)
