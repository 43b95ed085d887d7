"""Synthetic collision data: the expected mixture of processes, seen through a muon trigger."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from intccms.errors import InputError
from intccms.sample.generator import generate_unweighted
from intccms.sample.hard import Hard
from intccms.sample.kinds import Kind
from intccms.sample.kinematics import Array
from intccms.sample.lumi import OUTSIDE
from intccms.sample.reconstruction import Reconstructed, may_trigger, reconstruct

__all__ = ["Component", "Expectation", "collide"]

log = logging.getLogger(__name__)

BATCH = 40_000
OVERSAMPLING = 60  # events generated for each data event at most
N_BULK_BATCHES = 25  # until ordinary events fill a file

Efficiency = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Component:
    """One process of the mixture, and how often it happens in all data of a year."""

    kind: Kind
    n_expected: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a data file should hold.

    `efficiency` takes pseudorapidity and transverse momentum of muons and gives the probability
    to find them, relative to simulation: the scale factors that an analysis applies to simulation.
    """

    components: tuple[Component, ...]
    share: float  # of the year's data in this file
    efficiency: Efficiency


def collide(expected: Expectation, n_events: int, rng: np.random.Generator) -> Reconstructed:
    """Make the events of one data file: all boosted ones that are expected, then ordinary ones.

    Boosted events are those that can pass the selection. Their number follows from cross section
    and luminosity, so after the selection data agree with simulation. The rest of the file is
    filled with a small part of the ordinary events that fire a muon trigger: before the selection
    the file is a prescaled stream, as real ones are 10^4 times too large for a demonstration.
    If even the boosted events do not fit, those that look selected are kept first.

    Returns
    -------
    Reconstructed
        At most `n_events` events.

    Raises
    ------
    InputError
        If the configuration has no background from which data could be made.
    """
    if not expected.components:
        raise InputError("collision data are a mixture of backgrounds, and there is none")
    parts = _boosted(expected, n_events, rng)
    n_found = sum(len(part) for part in parts)
    if n_found > n_events:
        log.info("%d data events found, %d asked for: not all fit", n_found, n_events)
        everything = reduce(Reconstructed.stacked, parts)
        order = np.argsort(~everything.looks_selected + 0.5 * rng.random(n_found), kind="stable")
        return everything.taken(np.sort(order[:n_events]))
    for _ in range(N_BULK_BATCHES):
        if n_found >= n_events:
            break
        found = _bulk(expected, rng)
        parts += found
        n_found += sum(len(part) for part in found)
    everything = reduce(Reconstructed.stacked, parts)
    return everything.taken(rng.permutation(min(n_events, n_found)))


def _boosted(expected: Expectation, n_events: int, rng: np.random.Generator) -> list[Reconstructed]:
    """Generate the boosted events of every component."""
    counts = [
        part.n_expected * part.kind.boosted_fraction * expected.share / (1 - OUTSIDE)
        for part in expected.components
    ]
    affordable = min(1.0, OVERSAMPLING * n_events / max(sum(counts), 1))
    if affordable < 1:
        log.info("data files hold %.2g of the expected data, for want of room", affordable)
    out = []
    for part, count in zip(expected.components, counts, strict=True):
        remaining = count * affordable
        while remaining > 0:
            batch = min(remaining, BATCH)
            hard = generate_unweighted(part.kind, batch, rng, is_boosted=True)
            out.append(_recorded(hard, expected.efficiency, rng))
            remaining -= batch
    return out


def _bulk(expected: Expectation, rng: np.random.Generator) -> list[Reconstructed]:
    """Generate one batch of ordinary events, each component with its share of the rate."""
    rates = np.array(
        [part.n_expected * (1 - part.kind.boosted_fraction) for part in expected.components]
    )
    if rates.sum() <= 0:
        return []
    shares = BATCH * rates / rates.sum()
    bulk = [
        generate_unweighted(part.kind, share, rng, is_boosted=False)
        for part, share in zip(expected.components, shares, strict=True)
        if share >= 1
    ]
    return [_recorded(hard, expected.efficiency, rng) for hard in bulk]


def _recorded(hard: Hard, efficiency: Efficiency, rng: np.random.Generator) -> Reconstructed:
    """Keep what the muon trigger keeps of generated events."""
    events = reconstruct(hard.taken(may_trigger(hard)), rng)
    leading = (events.muons[name][:, 0] for name in ("eta", "pt"))
    found = rng.random(len(events)) < efficiency(*leading)
    return events.taken(events.has_trigger & found)
