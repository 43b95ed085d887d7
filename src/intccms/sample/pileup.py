"""Pile-up: the profile of the simulation, that of the data, and the weights between them."""

from __future__ import annotations

import numpy as np

from intccms.sample.events.kinematics import Array

__all__ = ["N_BINS", "drawn", "weights"]

N_BINS = 99  # of the number of true interactions, one wide, as in the real files
SIMULATED = (23.0, 8.0)  # mean and width of the profiles
CERTIFIED = (24.5, 7.2)
MEAN_SHIFT = 0.046  # uncertainty of the inelastic cross section


def drawn(n_events: int, rng: np.random.Generator, *, is_data: bool) -> Array:
    """Draw the mean number of interactions of each event's bunch crossing."""
    profile = _profile(*(CERTIFIED if is_data else SIMULATED))
    below = np.searchsorted(np.cumsum(profile), rng.random(n_events), side="right")
    return np.minimum(below, N_BINS - 1) + rng.random(n_events)


def weights(shift: float = 0.0) -> Array:
    """Give the weight of each bin that turns the simulated profile into that of the data.

    `shift` moves the data's mean by that many standard uncertainties.
    """
    mean, width = CERTIFIED
    target = _profile(mean * (1 + shift * MEAN_SHIFT), width)
    return np.minimum(target / _profile(*SIMULATED), 5.0)


def _profile(mean: float, width: float) -> Array:
    """Normalised contents of the bins."""
    centers = np.arange(N_BINS) + 0.5
    contents = np.exp(-0.5 * ((centers - mean) / width) ** 2) + 1e-9
    return np.asarray(contents / contents.sum())
