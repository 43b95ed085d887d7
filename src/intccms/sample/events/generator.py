"""From a kind of process to generated events with weights; nothing of the detector."""

from __future__ import annotations

import numpy as np

from intccms.sample.events import bosons, tops
from intccms.sample.events.kinds import Kind
from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch

__all__ = ["generate", "generate_unweighted"]

BULK_LIMIT = 0.85  # of the threshold: nothing from below it may be reconstructed above the cuts


def generate(kind: Kind, n_events: int, rng: np.random.Generator) -> tuple[Batch, Array]:
    """Generate events of one kind.

    Returns
    -------
    tuple
        The events and their generator weights, shape (n_events,), whose mean is
        ``kind.gen_weight`` (up to statistics) although their spectrum is not the natural one.
    """
    sign = np.where(rng.random(n_events) < kind.negative_fraction, -1.0, 1.0)
    weight = kind.gen_weight * sign / (1 - 2 * kind.negative_fraction)
    if kind.model == "resonance":
        return tops.from_resonance(kind, n_events, rng), weight
    is_boosted = rng.permutation(n_events) < round(kind.sampled_fraction * n_events)
    above = rng.exponential(kind.sampled_gev, n_events)
    ratio = kind.sampled_gev / kind.spectrum_gev
    shape = ratio * np.exp(above * (1 - ratio) / kind.sampled_gev)
    natural, sampled = kind.boosted_fraction, is_boosted.mean()
    rest = (1 - natural) / max(1 - sampled, 1e-9)
    weight *= np.where(is_boosted, shape * natural / max(sampled, 1e-9), rest)
    spectrum = np.where(is_boosted, kind.threshold_gev + above, _bulk(kind, n_events, rng))
    return _of_spectrum(kind, spectrum, rng), weight


def generate_unweighted(
    kind: Kind, n_events: float, rng: np.random.Generator, *, is_boosted: bool
) -> Batch:
    """Generate about `n_events` events of the boosted part (or of the rest) as nature would.

    The number fluctuates as counts do.
    """
    wanted = int(rng.poisson(n_events))
    boosted = kind.threshold_gev + rng.exponential(kind.spectrum_gev, wanted)
    return _of_spectrum(kind, boosted if is_boosted else _bulk(kind, wanted, rng), rng)


def _of_spectrum(kind: Kind, spectrum: Array, rng: np.random.Generator) -> Batch:
    """Choose the model that turns transverse momenta into events."""
    is_top = kind.model in ("pair", "single_top")
    return (tops.from_spectrum if is_top else bosons.from_spectrum)(kind, spectrum, rng)


def _bulk(kind: Kind, n_events: int, rng: np.random.Generator) -> Array:
    """Draw transverse momenta of ordinary events, all below the threshold."""
    limit = BULK_LIMIT * kind.threshold_gev
    spectrum = rng.gamma(2.0, kind.bulk_gev, n_events)
    return np.where(spectrum < limit, spectrum, rng.uniform(0.2 * limit, limit, n_events))
