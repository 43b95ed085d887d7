"""Synthetic collision data: the expected mixture of processes, seen through a muon trigger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from intccms.sample.events.generator import generate_unweighted
from intccms.sample.events.kinds import Kind
from intccms.sample.events.kinematics import Array
from intccms.sample.events.reconstruction import looks_selected, may_trigger, reconstruct
from intccms.sample.events.slots import Batch
from intccms.sample.lumi import OUTSIDE

__all__ = ["Expectation", "collide"]

log = logging.getLogger(__name__)

BATCH = 40_000
OVERSAMPLING = 60  # events generated for each data event at most
N_BULK_BATCHES = 25  # until ordinary events fill a file


@dataclass(frozen=True, slots=True)
class Expectation:
    """What all data of a year hold.

    `efficiency` takes pseudorapidity and transverse momentum of muons and gives the probability
    to find them, relative to simulation: the scale factors that an analysis applies to simulation.
    """

    components: tuple[tuple[Kind, float], ...]  # backgrounds and how often each happens
    efficiency: Callable[[Array, Array], Array]


def collide(expected: Expectation, share: float, n_events: int, rng: np.random.Generator) -> Batch:
    """Make the events of one data file: all boosted ones that are expected, then ordinary ones.

    Boosted events are those that can pass the selection. Their number follows from cross section
    and luminosity, so after the selection data agree with simulation. The rest of the file is
    filled with a small part of the ordinary events that fire a muon trigger: before the selection
    the file is a prescaled stream, as real ones are 10^4 times too large for a demonstration.
    If even the boosted events do not fit, those that look selected are kept first.

    Parameters
    ----------
    share
        Part of the year's data that the file should hold.

    Returns
    -------
    Batch
        At most `n_events` events.
    """
    kinds = [kind for kind, _ in expected.components]
    boosted = np.array([n * kind.boosted_fraction for kind, n in expected.components])
    # multijets would be all of it, and hardly one in 10^5 of them has a muon that fires
    fires = np.array([kind.model != "multijet" for kind in kinds])
    bulk = fires * [n * (1 - kind.boosted_fraction) for kind, n in expected.components]
    boosted *= share / (1 - OUTSIDE)
    affordable = min(1.0, OVERSAMPLING * n_events / max(boosted.sum(), 1))
    found = list(_recorded(kinds, boosted * affordable, expected, rng, is_boosted=True))
    for _ in range(N_BULK_BATCHES):
        if sum(map(len, found)) >= n_events or not bulk.any():
            break
        found += _recorded(kinds, BATCH * bulk / bulk.sum(), expected, rng, is_boosted=False)
    events = Batch.stacked(found)
    if len(events) < n_events:
        return events
    if affordable < 1:
        log.info("data files hold %.2g of the expected data, for want of room", affordable)
    rank = ~looks_selected(events) + 0.5 * rng.random(len(events))
    return events.taken(rng.permutation(np.argsort(rank)[:n_events]))


def _recorded(
    kinds: list[Kind],
    counts: Array,
    expected: Expectation,
    rng: np.random.Generator,
    *,
    is_boosted: bool,
) -> Iterator[Batch]:
    """Generate events as nature does and keep those that the muon trigger keeps."""
    for kind, count in zip(kinds, counts, strict=True):
        for start in np.arange(0, count, BATCH):
            n_events = min(count - start, BATCH)
            generated = generate_unweighted(kind, n_events, rng, is_boosted=is_boosted)
            events = reconstruct(generated.taken(may_trigger(generated)), rng)
            leading = (events["muons"][name][:, 0] for name in ("eta", "pt"))
            is_found = rng.random(len(events)) < expected.efficiency(*leading)
            yield events.taken(events.values["has_trigger"] & is_found)
