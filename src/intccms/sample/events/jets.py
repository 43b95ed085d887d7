"""Reconstructed jets of both radii with their taggers."""

from __future__ import annotations

import numpy as np

from intccms.sample.events.hard import B_JET, BOTTOM, CHARM, LIGHT, TOP_JET, W_JET
from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch, Slots

__all__ = ["large_jets", "ordinary_jets"]

CONTENTS = (TOP_JET, W_JET, B_JET)
TOP_TAG = (0.78, 0.22, 0.05)  # probability of a score above 0.5 for each content
W_TAG = (0.45, 0.75, 0.06)
LIGHT_TAG = 0.05  # and for all else


def ordinary_jets(events: Batch, rng: np.random.Generator) -> Slots:
    """Reconstruct AK4 jets from quarks, leptons and pile-up, ordered by transverse momentum.

    Columns besides the kinematics: flavour, gen_pt (0 for pile-up), jet_id, deep_b.
    """
    quarks, leptons = events["quarks"], events["leptons"]
    n_events, n_leptons = leptons.valid.shape
    as_jets = leptons.with_columns(
        leptons.valid & (leptons["pt"] > 12),
        flavour=np.ones((n_events, n_leptons), dtype=int),
        merged=np.zeros((n_events, n_leptons), dtype=bool),
    )
    found = quarks.joined(as_jets)
    found = found.with_columns(gen_pt=found["pt"]).joined(_pileup(n_events, rng))
    n_quarks = quarks.valid.shape[1]
    is_lepton = np.zeros(found.valid.shape, dtype=bool)
    is_lepton[:, n_quarks : n_quarks + n_leptons] = True
    true_pt = np.maximum(found["pt"], 1)
    resolution = np.sqrt(0.045**2 + 0.55 / true_pt + (3.5 / true_pt) ** 2)
    response = rng.normal(1, np.where(is_lepton, 0.03, resolution))
    pt = true_pt * np.clip(response, 0.15, 2.5)
    alone = pt * np.clip(0.14 * rng.lognormal(0, 0.3, pt.shape), 0.03, 0.35)
    chance = rng.random(pt.shape)
    return found.with_columns(
        found.valid & (pt > 15) & (np.abs(found["eta"]) < 4.7),
        pt=pt,
        mass=np.maximum(found["mass"] * found["merged"] * pt / true_pt, alone),
        deep_b=_btag(found, pt, rng),
        # 6 is tight with lepton veto, 2 tight only
        jet_id=np.select([is_lepton, chance < 0.985, chance < 0.995], [2, 6, 2], 0),
    ).by_pt()


def large_jets(events: Batch, rng: np.random.Generator) -> Slots:
    """Reconstruct AK8 jets; columns content, gen_pt, softdrop, top_score, w_score."""
    found = events["large"]
    content, shape = found["content"], found.valid.shape
    pt = found["pt"] * np.clip(rng.normal(1, 0.055, shape), 0.75, 1.25)
    resolved = np.clip(rng.normal(1.01, 0.08, shape), 0.6, 1.5)
    alone = np.maximum(8, pt * 0.13 * rng.lognormal(0, 0.4, shape))
    which = [content == value for value in CONTENTS]
    mass = np.select(which[:2], [172.5 * resolved, 81.0 * resolved], alone)
    return found.with_columns(
        found.valid & (pt > 175) & (np.abs(found["eta"]) < 2.5),
        gen_pt=found["pt"],
        flavour=np.where(content % 2, BOTTOM, LIGHT),
        pt=pt,
        mass=mass,
        softdrop=mass * np.clip(rng.normal(0.95, 0.04, shape), 0.5, 1.1),
        top_score=_score(np.select(which, TOP_TAG, LIGHT_TAG), rng),
        w_score=_score(np.select(which, W_TAG, LIGHT_TAG), rng),
    ).by_pt()


def _pileup(n_events: int, rng: np.random.Generator) -> Slots:
    """Make soft jets that have nothing to do with the event."""
    shape = (n_events, 3)
    pt = 14 + rng.exponential(7, shape)
    columns = {
        "pt": pt,
        "eta": rng.uniform(-4.7, 4.7, shape),
        "phi": rng.uniform(-np.pi, np.pi, shape),
        "mass": 0.1 * pt,
        "flavour": np.zeros(shape, dtype=int),
        "merged": np.zeros(shape, dtype=bool),
        "gen_pt": np.zeros(shape),
    }
    return Slots(np.arange(3) < rng.poisson(1.1, (n_events, 1)), columns)


def _btag(found: Slots, pt: Array, rng: np.random.Generator) -> Array:
    """Draw DeepCSV scores; the probability to pass 0.5 depends on flavour and momentum."""
    bottom = np.clip(0.84 - 1.6e-4 * pt, 0.5, 0.84) * np.where(found["merged"], 0.8, 1.0)
    flavour = found["flavour"]
    passes = np.select([flavour == BOTTOM, flavour == CHARM], [bottom, 0.2], 0.02)
    return np.where(np.abs(found["eta"]) < 2.5, _score(passes, rng), -1.0)


def _score(passes: Array, rng: np.random.Generator) -> Array:
    """Draw a discriminant in [0, 1] that is above 0.5 with the given probability."""
    chance = rng.random(passes.shape)
    high = 1 - 0.5 * (chance / np.maximum(passes, 1e-9)) ** 2.2
    low = 0.5 * ((1 - chance) / np.maximum(1 - passes, 1e-9)) ** 3.0
    return np.where(chance < passes, high, low)
