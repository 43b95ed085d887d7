"""Indices from one collection into another, as NanoAOD's ``…Idx`` branches hold them."""

from __future__ import annotations

import numpy as np

from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch, Slots

__all__ = ["generated", "muon_particles", "near"]


def near(objects: Slots, targets: Slots, radius: float) -> Array:
    """Give each object the column of its nearest target within `radius`, else -1."""
    distance, index = objects.nearest(targets)
    return np.where(distance < radius, index, -1)


def generated(jets: Slots, lowest_gev: float) -> tuple[Slots, Array]:
    """Make the generated jets of reconstructed ones, and each one's place among them."""
    exists = jets.valid & (jets["gen_pt"] > lowest_gev)
    order = np.argsort(np.where(exists, -jets["gen_pt"], np.inf), axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")
    return jets.with_columns(exists, pt=jets["gen_pt"]).by_pt(), np.where(exists, place, -1)


def muon_particles(events: Batch) -> Array:
    """Give each reconstructed muon the line of GenPart that it comes from, else -1."""
    particles = events["particles"]
    is_muon = particles.valid & (np.abs(particles["pdgId"]) == 13)
    found = near(events["muons"], particles.with_columns(is_muon), 0.1)
    line = np.cumsum(particles.valid, axis=1) - 1  # once empty candidates are gone
    return np.where(found < 0, -1, np.take_along_axis(line, np.maximum(found, 0), axis=1))
