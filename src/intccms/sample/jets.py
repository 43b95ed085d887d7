"""Reconstructed jets of both radii, with flavour taggers, and what the detector adds."""

from __future__ import annotations

import numpy as np

from intccms.sample.hard import B_JET, BOTTOM, CHARM, TOP_JET, W_JET, Hard
from intccms.sample.kinematics import Array
from intccms.sample.slots import Slots

__all__ = ["large_jets", "ordinary_jets"]

NOMINAL_MASS = {TOP_JET: 172.5, W_JET: 81.0}
TOP_TAG = {TOP_JET: 0.78, W_JET: 0.22, B_JET: 0.05}  # probability of a score above 0.5
W_TAG = {TOP_JET: 0.45, W_JET: 0.75, B_JET: 0.06}
LIGHT_TAG = 0.05


def ordinary_jets(hard: Hard, rng: np.random.Generator) -> Slots:
    """Reconstruct AK4 jets from quarks, leptons and pile-up, ordered by transverse momentum.

    Columns besides the kinematics: flavour, gen_pt (0 for pile-up), jet_id, deep_b.
    """
    quarks = hard.quarks.with_columns(is_lepton=np.zeros(hard.quarks.valid.shape, dtype=bool))
    leptons = hard.leptons
    shape = leptons.valid.shape
    as_jets = leptons.with_columns(
        leptons.valid & (leptons["pt"] > 12),
        flavour=np.ones(shape, dtype=int),
        merged=np.zeros(shape, dtype=bool),
        is_lepton=np.ones(shape, dtype=bool),
    )
    found = quarks.joined(as_jets)
    found = found.with_columns(gen_pt=found["pt"]).joined(_pileup(len(hard), rng))
    true_pt = np.maximum(found["pt"], 1)
    resolution = np.sqrt(0.045**2 + 0.55 / true_pt + (3.5 / true_pt) ** 2)
    pt = true_pt * np.clip(rng.normal(1, np.where(found["is_lepton"], 0.03, resolution)), 0.15, 2.5)
    scale = np.clip(0.14 * rng.lognormal(0, 0.3, pt.shape), 0.03, 0.35)
    valid = found.valid & (pt > 15) & (np.abs(found["eta"]) < 4.7)
    return found.with_columns(
        valid,
        pt=pt,
        mass=np.maximum(found["mass"] * pt / true_pt * np.where(found["merged"], 1, 0), scale * pt),
        deep_b=_btag(found, pt, rng),
        jet_id=_jet_id(found, rng),
    ).by_pt()


def large_jets(hard: Hard, rng: np.random.Generator) -> Slots:
    """Reconstruct AK8 jets; columns content, gen_pt, softdrop, top_score, w_score."""
    found = hard.large
    content = found["content"]
    shape = found.valid.shape
    pt = found["pt"] * np.clip(rng.normal(1, 0.055, shape), 0.75, 1.25)
    mass = np.maximum(8, pt * 0.13 * rng.lognormal(0, 0.4, shape))
    for what, nominal in NOMINAL_MASS.items():
        resolved = nominal * np.clip(rng.normal(1.01, 0.08, shape), 0.6, 1.5)
        mass = np.where(content == what, resolved, mass)
    return found.with_columns(
        found.valid & (pt > 175) & (np.abs(found["eta"]) < 2.5),
        gen_pt=found["pt"],
        pt=pt,
        mass=mass,
        softdrop=mass * np.clip(rng.normal(0.95, 0.04, shape), 0.5, 1.1),
        top_score=_score(_probability(content, TOP_TAG), rng),
        w_score=_score(_probability(content, W_TAG), rng),
    ).by_pt()


def _pileup(n_events: int, rng: np.random.Generator) -> Slots:
    """Make soft jets that have nothing to do with the event."""
    shape = (n_events, 3)
    number = rng.poisson(1.1, n_events)
    pt = 14 + rng.exponential(7, shape)
    return Slots(
        np.arange(3) < number[:, np.newaxis],
        {
            "pt": pt,
            "eta": rng.uniform(-4.7, 4.7, shape),
            "phi": rng.uniform(-np.pi, np.pi, shape),
            "mass": 0.1 * pt,
            "flavour": np.zeros(shape, dtype=int),
            "merged": np.zeros(shape, dtype=bool),
            "is_lepton": np.zeros(shape, dtype=bool),
            "gen_pt": np.zeros(shape),
        },
    )


def _btag(found: Slots, pt: Array, rng: np.random.Generator) -> Array:
    """Draw DeepCSV scores; the probability to pass 0.5 depends on flavour and momentum."""
    bottom = np.clip(0.84 - 1.6e-4 * pt, 0.5, 0.84) * np.where(found["merged"], 0.8, 1.0)
    flavour = found["flavour"]
    passes = np.select([flavour == BOTTOM, flavour == CHARM], [bottom, 0.2], 0.02)
    score = _score(passes, rng)
    return np.where(np.abs(found["eta"]) < 2.5, score, -1.0)


def _jet_id(found: Slots, rng: np.random.Generator) -> Array:
    """Draw NanoAOD's jetId: 6 tight with lepton veto, 2 tight only, 0 neither."""
    chance = rng.random(found.valid.shape)
    quality = np.select([chance < 0.985, chance < 0.995], [6, 2], 0)
    return np.where(found["is_lepton"], 2, quality)


def _probability(content: Array, table: dict[int, float]) -> Array:
    """Look up the probability to be tagged for each content."""
    out = np.full(content.shape, LIGHT_TAG)
    for what, value in table.items():
        out = np.where(content == what, value, out)
    return out


def _score(passes: Array, rng: np.random.Generator) -> Array:
    """Draw a discriminant in [0, 1] that is above 0.5 with the given probability."""
    chance = rng.random(passes.shape)
    high = 1 - 0.5 * (chance / np.maximum(passes, 1e-9)) ** 2.2
    low = 0.5 * ((1 - chance) / np.maximum(1 - passes, 1e-9)) ** 3.0
    return np.where(chance < passes, high, low)
