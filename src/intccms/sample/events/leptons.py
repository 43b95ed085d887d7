"""Reconstructed muons, electrons and hadronic taus, from generated leptons and from b quarks."""

from __future__ import annotations

import numpy as np

from intccms.sample.events.hard import BOTTOM
from intccms.sample.events.kinematics import wrapped
from intccms.sample.events.slots import Batch, Slots

__all__ = ["muons", "others"]

FROM_BOTTOM = 0.09  # probability that a b quark gives a muon worth having


def muons(events: Batch, rng: np.random.Generator) -> Slots:
    """Reconstruct muons; columns charge, is_prompt, tight, isolated."""
    prompt, quarks = events["leptons"], events["quarks"]
    near = quarks.with_columns(quarks.valid & (quarks["pt"] > 20))
    found = prompt.with_columns(
        prompt.valid & (prompt["pdg_id"] == 13),
        is_prompt=np.ones(prompt.valid.shape, dtype=bool),
        distance=prompt.nearest(near)[0],
    ).joined(_from_bottoms(quarks, rng))
    pt = found["pt"] * rng.normal(1, 0.013 + 2e-5 * np.minimum(found["pt"], 2000))
    accepted = (pt > 3) & (np.abs(found["eta"]) < 2.4) & (rng.random(pt.shape) < 0.98)
    cone = np.clip(10 / np.maximum(pt, 1), 0.05, 0.2)  # of the mini-isolation
    clean = found["is_prompt"] & (found["distance"] > cone)
    return found.with_columns(
        found.valid & accepted,
        pt=np.maximum(pt, 0.1),
        mass=np.full(pt.shape, 0.10566),
        isolated=rng.random(pt.shape) < np.where(clean, 0.96, 0.05),
        tight=rng.random(pt.shape) < np.where(found["is_prompt"], 0.965, 0.6),
    ).by_pt()


def others(events: Batch, pdg_id: int, rng: np.random.Generator) -> Slots:
    """Reconstruct electrons (`pdg_id` 11) or hadronic taus (15); column charge."""
    found = events["leptons"]
    resolution, lowest_gev, mass_gev = (0.02, 5, 0.000511) if pdg_id == 11 else (0.1, 18, 0.9)
    pt = found["pt"] * np.clip(rng.normal(1, resolution, found.valid.shape), 0.3, 2)
    accepted = (pt > lowest_gev) & (np.abs(found["eta"]) < 2.4)
    accepted &= (found["pdg_id"] == pdg_id) & (rng.random(pt.shape) < 0.9)
    mass = np.full(pt.shape, mass_gev)
    return found.with_columns(found.valid & accepted, pt=pt, mass=mass).by_pt()


def _from_bottoms(quarks: Slots, rng: np.random.Generator) -> Slots:
    """Let b quarks decay to muons inside their jets; at most the two hardest of an event."""
    bottoms = quarks.with_columns(quarks.valid & (quarks["flavour"] == BOTTOM)).by_pt()
    bottoms = Slots(bottoms.valid[:, :2], {n: c[:, :2] for n, c in bottoms.columns.items()})
    shape = bottoms.valid.shape
    return bottoms.with_columns(
        bottoms.valid & (rng.random(shape) < FROM_BOTTOM),
        pt=bottoms["pt"] * rng.beta(1.6, 5, shape),
        eta=bottoms["eta"] + rng.normal(0, 0.04, shape),
        phi=wrapped(bottoms["phi"] + rng.normal(0, 0.04, shape)),
        charge=np.where(rng.random(shape) < 0.5, 1, -1),
        is_prompt=np.zeros(shape, dtype=bool),
        distance=np.zeros(shape),
        pdg_id=np.full(shape, 13),
    )
