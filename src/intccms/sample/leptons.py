"""Reconstructed muons, electrons and hadronic taus, from generated leptons and from b quarks."""

from __future__ import annotations

import numpy as np

from intccms.sample.hard import BOTTOM, Hard
from intccms.sample.kinematics import Array
from intccms.sample.slots import Slots

__all__ = ["electrons", "isolation_distance", "muons", "taus"]

MUON_GEV = 0.10566
ELECTRON_GEV = 0.000511
FROM_BOTTOM = 0.09  # probability that a b quark gives a muon worth having


def muons(hard: Hard, rng: np.random.Generator) -> Slots:
    """Reconstruct muons; columns charge, is_prompt, tight, isolated, origin."""
    prompt = hard.leptons
    chosen = prompt.valid & (prompt["pdg_id"] == 13)
    found = prompt.with_columns(
        chosen,
        is_prompt=np.ones(chosen.shape, dtype=bool),
        distance=isolation_distance(prompt, hard),
    ).joined(_from_bottoms(hard, rng))
    pt = found["pt"] * rng.normal(1, 0.013 + 2e-5 * np.minimum(found["pt"], 2000))
    accepted = (pt > 3) & (np.abs(found["eta"]) < 2.4) & (rng.random(pt.shape) < 0.98)
    cone = np.clip(10 / np.maximum(pt, 1), 0.05, 0.2)  # of the mini-isolation
    clean = found["is_prompt"] & (found["distance"] > cone)
    isolated = rng.random(pt.shape) < np.where(clean, 0.96, 0.10)
    tight = rng.random(pt.shape) < np.where(found["is_prompt"], 0.965, 0.6)
    return found.with_columns(
        found.valid & accepted,
        pt=np.maximum(pt, 0.1),
        mass=np.full(pt.shape, MUON_GEV),
        isolated=isolated,
        tight=tight,
    ).by_pt()


def electrons(hard: Hard, rng: np.random.Generator) -> Slots:
    """Reconstruct electrons; columns charge and quality (uniform, high is good)."""
    return _seen(hard, 11, rng, resolution=0.02, lowest_gev=5, mass_gev=ELECTRON_GEV)


def taus(hard: Hard, rng: np.random.Generator) -> Slots:
    """Reconstruct hadronic tau decays; columns charge and quality."""
    return _seen(hard, 15, rng, resolution=0.1, lowest_gev=18, mass_gev=0.9)


def isolation_distance(leptons: Slots, hard: Hard) -> Array:
    """Distance of each lepton to the nearest quark above 20 GeV, shape of the lepton slots."""
    nearest = np.full(leptons.valid.shape, np.inf)
    quarks = hard.quarks
    for i in range(quarks.valid.shape[1]):
        exists = quarks.valid[:, i] & (quarks["pt"][:, i] > 20)
        d_eta = leptons["eta"] - quarks["eta"][:, i, np.newaxis]
        d_phi = leptons["phi"] - quarks["phi"][:, i, np.newaxis]
        d_phi = np.mod(d_phi + np.pi, 2 * np.pi) - np.pi
        distance = np.where(exists[:, np.newaxis], np.hypot(d_eta, d_phi), np.inf)
        nearest = np.minimum(nearest, distance)
    return nearest


def _from_bottoms(hard: Hard, rng: np.random.Generator) -> Slots:
    """Let b quarks decay to muons inside their jets; at most the two hardest of an event."""
    quarks = hard.quarks.with_columns(
        hard.quarks.valid & (hard.quarks["flavour"] == BOTTOM)
    ).by_pt()
    quarks = Slots(quarks.valid[:, :2], {n: c[:, :2] for n, c in quarks.columns.items()})
    shape = quarks.valid.shape
    pt = quarks["pt"] * rng.beta(1.6, 5, shape)
    return quarks.with_columns(
        quarks.valid & (rng.random(shape) < FROM_BOTTOM),
        pt=pt,
        eta=quarks["eta"] + rng.normal(0, 0.04, shape),
        phi=_wrapped(quarks["phi"] + rng.normal(0, 0.04, shape)),
        charge=np.where(rng.random(shape) < 0.5, 1, -1),
        is_prompt=np.zeros(shape, dtype=bool),
        distance=np.zeros(shape),
        pdg_id=np.full(shape, 13),
    )


def _seen(
    hard: Hard,
    pdg_id: int,
    rng: np.random.Generator,
    *,
    resolution: float,
    lowest_gev: float,
    mass_gev: float,
) -> Slots:
    """Reconstruct generated leptons of one sort."""
    found = hard.leptons
    pt = found["pt"] * np.clip(rng.normal(1, resolution, found.valid.shape), 0.3, 2)
    accepted = (pt > lowest_gev) & (np.abs(found["eta"]) < 2.4)
    accepted &= (found["pdg_id"] == pdg_id) & (rng.random(pt.shape) < 0.9)
    quality = rng.random(pt.shape)
    mass = np.full(pt.shape, mass_gev)
    return found.with_columns(found.valid & accepted, pt=pt, mass=mass, quality=quality).by_pt()


def _wrapped(phi: Array) -> Array:
    """Bring azimuths back to (-pi, pi]."""
    return np.mod(phi + np.pi, 2 * np.pi) - np.pi
