"""Plausible values for the many branches that no selection reads, cheap to draw and to store."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from intccms.sample.kinematics import Array

__all__ = ["drawn", "exponential", "normal", "one_of", "rounded", "uniform"]

N_LEVELS = 32  # values a filler can take: five bits an object compress well
_STEPS = (np.arange(N_LEVELS) + 0.5) / N_LEVELS


def normal(mean: float, width: float) -> Array:
    """Levels of a normal distribution."""
    gauss = NormalDist(mean, width)
    return np.array([gauss.inv_cdf(float(step)) for step in _STEPS], dtype=np.float32)


def exponential(mean: float) -> Array:
    """Levels of a falling exponential from zero."""
    return (-mean * np.log(1 - _STEPS)).astype(np.float32)


def uniform(low: float, high: float) -> Array:
    """Levels of a flat distribution."""
    return (low + (high - low) * _STEPS).astype(np.float32)


def one_of(dtype: Any, shares: Mapping[int, float]) -> Array:
    """Levels of a choice between integers (or booleans), given value to share."""
    edges = np.cumsum(list(shares.values()))
    index = np.searchsorted(edges / edges[-1], _STEPS, side="right")
    return np.array(list(shares), dtype=dtype)[index]


def drawn(levels: Mapping[str, Array], size: int, rng: np.random.Generator) -> dict[str, Array]:
    """Draw `size` values of each of several fillers."""
    out = {}
    for name, table in levels.items():
        index = np.frombuffer(rng.bytes(size), dtype=np.uint8) & (N_LEVELS - 1)
        out[name] = table[index]
    return out


def rounded(values: Array, bits: int = 10) -> Array:
    """Keep `bits` bits of the mantissa of 32-bit floats, as NanoAOD does to save space."""
    drop = 23 - bits
    words = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half = np.uint32(1 << (drop - 1))
    return ((words + half) & np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)).view(np.float32)
