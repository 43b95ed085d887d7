"""Indices from one collection into another, as NanoAOD's ``…Idx`` branches hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intccms.sample.hard import B_JET, TOP_JET
from intccms.sample.kinematics import Array
from intccms.sample.reconstruction import Reconstructed
from intccms.sample.slots import Slots

__all__ = ["Links", "linked"]


@dataclass(frozen=True, slots=True)
class Links:
    """Generated jets, and flat indices (one for each object of a collection, -1 for none)."""

    gen_jets: Slots
    gen_large_jets: Slots
    jet_gen: Array
    large_gen: Array
    muon_jet: Array
    jet_muon: Array
    muon_particle: Array


def linked(events: Reconstructed) -> Links:
    """Find which object belongs to which."""
    gen_jets, jet_gen = _generated(events.jets, 10.0)
    content = events.large_jets["content"]
    flavour = np.where(np.isin(content, (TOP_JET, B_JET)), 5, 1)
    gen_large, large_gen = _generated(events.large_jets.with_columns(flavour=flavour), 100.0)
    particles = events.hard.particles
    is_muon = particles.with_columns(particles.valid & (np.abs(particles["pdgId"]) == 13))
    muon_particle = _nearest(events.muons, is_muon, 0.1)
    before = np.cumsum(particles.valid, axis=1) - 1  # a line's place once empty ones are gone
    found = np.take_along_axis(before, np.maximum(muon_particle, 0), axis=1)
    muon_particle = np.where(muon_particle < 0, -1, found)
    return Links(
        gen_jets,
        gen_large,
        jet_gen[events.jets.valid],
        large_gen[events.large_jets.valid],
        _nearest(events.muons, events.jets, 0.4)[events.muons.valid],
        _nearest(events.jets, events.muons, 0.4)[events.jets.valid],
        muon_particle[events.muons.valid],
    )


def _generated(jets: Slots, lowest_gev: float) -> tuple[Slots, Array]:
    """Make the generated jets of reconstructed ones, and each one's place among them."""
    exists = jets.valid & (jets["gen_pt"] > lowest_gev)
    unsorted = jets.with_columns(exists, pt=jets["gen_pt"])
    order = np.argsort(np.where(exists, -jets["gen_pt"], np.inf), axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")
    return unsorted.by_pt(), np.where(exists, place, -1)


def _nearest(objects: Slots, targets: Slots, radius: float) -> Array:
    """Column of the nearest target within `radius` of each object, else -1."""
    best = np.full(objects.valid.shape, radius)
    index = np.full(objects.valid.shape, -1)
    for i in range(targets.valid.shape[1]):
        d_eta = objects["eta"] - targets["eta"][:, i, np.newaxis]
        d_phi = objects["phi"] - targets["phi"][:, i, np.newaxis]
        d_phi = np.mod(d_phi + np.pi, 2 * np.pi) - np.pi
        distance = np.where(targets.valid[:, i, np.newaxis], np.hypot(d_eta, d_phi), np.inf)
        closer = distance < best
        best, index = np.where(closer, distance, best), np.where(closer, i, index)
    return index
