"""What the detector makes of generated events: objects, missing momentum and the muon trigger."""

from __future__ import annotations

import numpy as np

from nanosample.generation import B_JET, BOTTOM, CHARM, LIGHT, TOP_JET, W_JET
from nanosample.vectors import Array, Batch, Slots, wrapped

TRIGGER_GEV = 50.0
FROM_BOTTOM = 0.09  # probability that a b quark gives a muon worth having
CONTENTS = (TOP_JET, W_JET, B_JET)
TOP_TAG = (0.78, 0.22, 0.05)  # probability of a score above 0.5 for each content
W_TAG = (0.45, 0.75, 0.06)
LIGHT_TAG = 0.05  # and for all else
Rng = np.random.Generator


def may_trigger(events: Batch) -> Array:
    """Mask of events with any hope of a muon above threshold: a cheap cut before `reconstruct`."""
    leptons, quarks = events["leptons"], events["quarks"]
    muons = leptons.valid & (leptons["pdg_id"] == 13) & (leptons["pt"] > 0.9 * TRIGGER_GEV)
    bottoms = quarks.valid & (quarks["flavour"] == BOTTOM) & (quarks["pt"] > 2 * TRIGGER_GEV)
    return np.asarray(muons.any(axis=1) | bottoms.any(axis=1))


def reconstruct(events: Batch, rng: Rng) -> Batch:
    """Turn generated events into reconstructed ones, which keep what was generated."""
    muons, jets = _muons(events, rng), _ordinary_jets(events, rng)
    objects = {
        "muons": muons,
        "electrons": _other_leptons(events, 11, rng),
        "taus": _other_leptons(events, 15, rng),
        "jets": jets,
        "large_jets": _large_jets(events, rng),
    }
    activity = (jets["pt"] * jets.valid).sum(axis=1, keepdims=True)
    resolution = np.sqrt(12.0**2 + 0.4**2 * activity + (0.02 * activity) ** 2)
    missing = events.values["invisible"] + resolution * rng.normal(0, 1, (len(events), 2))
    # HLT_Mu50 or HLT_TkMu50: a turn-on at 50 GeV, then 93 % efficient
    turn_on = 0.93 / (1 + np.exp(-(muons["pt"] - TRIGGER_GEV) / 0.8))
    fired = (muons.valid & (rng.random(muons.valid.shape) < turn_on)).any(axis=1)
    values = {"missing": missing, "has_trigger": np.asarray(fired)}
    return Batch(events.slots | objects, events.values | values)


def looks_selected(events: Batch) -> Array:
    """Mask of events like those that the search selects: a good muon, two b jets, a top jet.

    Only used to decide which data events are kept when not all of them fit.
    """
    muons, jets, large = events["muons"], events["jets"], events["large_jets"]
    good = muons.valid & (muons["pt"] > 55) & muons["tight"] & muons["isolated"]
    bottoms = jets.valid & (jets["deep_b"] > 0.5) & (jets["jet_id"] >= 4)
    tops = large.valid & (large["top_score"] > 0.5) & (large["pt"] > 500)
    missing = np.hypot(*events.values["missing"].T) > 50
    both = good.any(axis=1) & tops.any(axis=1) & (bottoms.sum(axis=1) > 1)
    return np.asarray(events.values["has_trigger"] & missing & both)


def _muons(events: Batch, rng: Rng) -> Slots:
    """Reconstruct muons; columns charge, is_prompt, tight, isolated."""
    prompt, quarks = events["leptons"], events["quarks"]
    near = quarks.with_columns(quarks.valid & (quarks["pt"] > 20))
    muons = prompt.with_columns(
        prompt.valid & (prompt["pdg_id"] == 13),
        is_prompt=np.ones(prompt.valid.shape, dtype=bool),
        distance=prompt.nearest(near)[0],
    ).joined(_from_bottoms(quarks, rng))
    pt = muons["pt"] * rng.normal(1, 0.013 + 2e-5 * np.minimum(muons["pt"], 2000))
    accepted = (pt > 3) & (np.abs(muons["eta"]) < 2.4) & (rng.random(pt.shape) < 0.98)
    cone = np.clip(10 / np.maximum(pt, 1), 0.05, 0.2)  # of the mini-isolation
    clean = muons["is_prompt"] & (muons["distance"] > cone)
    return muons.with_columns(
        muons.valid & accepted,
        pt=np.maximum(pt, 0.1),
        mass=np.full(pt.shape, 0.10566),
        isolated=rng.random(pt.shape) < np.where(clean, 0.96, 0.05),
        tight=rng.random(pt.shape) < np.where(muons["is_prompt"], 0.965, 0.6),
    ).by_pt()


def _from_bottoms(quarks: Slots, rng: Rng) -> Slots:
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


def _other_leptons(events: Batch, pdg_id: int, rng: Rng) -> Slots:
    """Reconstruct electrons (`pdg_id` 11) or hadronic taus (15); column charge."""
    leptons = events["leptons"]
    resolution, lowest_gev, mass_gev = (0.02, 5, 0.000511) if pdg_id == 11 else (0.1, 18, 0.9)
    pt = leptons["pt"] * np.clip(rng.normal(1, resolution, leptons.valid.shape), 0.3, 2)
    accepted = (pt > lowest_gev) & (np.abs(leptons["eta"]) < 2.4)
    accepted &= (leptons["pdg_id"] == pdg_id) & (rng.random(pt.shape) < 0.9)
    mass = np.full(pt.shape, mass_gev)
    return leptons.with_columns(leptons.valid & accepted, pt=pt, mass=mass).by_pt()


def _ordinary_jets(events: Batch, rng: Rng) -> Slots:
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
    jets = quarks.joined(as_jets)
    jets = jets.with_columns(gen_pt=jets["pt"]).joined(_pileup_jets(n_events, rng))
    n_quarks = quarks.valid.shape[1]
    is_lepton = np.zeros(jets.valid.shape, dtype=bool)
    is_lepton[:, n_quarks : n_quarks + n_leptons] = True
    true_pt = np.maximum(jets["pt"], 1)
    resolution = np.sqrt(0.045**2 + 0.55 / true_pt + (3.5 / true_pt) ** 2)
    response = rng.normal(1, np.where(is_lepton, 0.03, resolution))
    pt = true_pt * np.clip(response, 0.15, 2.5)
    alone = pt * np.clip(0.14 * rng.lognormal(0, 0.3, pt.shape), 0.03, 0.35)
    chance = rng.random(pt.shape)
    return jets.with_columns(
        jets.valid & (pt > 15) & (np.abs(jets["eta"]) < 4.7),
        pt=pt,
        mass=np.maximum(jets["mass"] * jets["merged"] * pt / true_pt, alone),
        deep_b=_btag(jets, pt, rng),
        # 6 is tight with lepton veto, 2 tight only
        jet_id=np.select([is_lepton, chance < 0.985, chance < 0.995], [2, 6, 2], 0),
    ).by_pt()


def _pileup_jets(n_events: int, rng: Rng) -> Slots:
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


def _large_jets(events: Batch, rng: Rng) -> Slots:
    """Reconstruct AK8 jets; columns content, gen_pt, softdrop, top_score, w_score."""
    jets = events["large"]
    content, shape = jets["content"], jets.valid.shape
    pt = jets["pt"] * np.clip(rng.normal(1, 0.055, shape), 0.75, 1.25)
    resolved = np.clip(rng.normal(1.01, 0.08, shape), 0.6, 1.5)
    alone = np.maximum(8, pt * 0.13 * rng.lognormal(0, 0.4, shape))
    which = [content == value for value in CONTENTS]
    mass = np.select(which[:2], [172.5 * resolved, 81.0 * resolved], alone)
    return jets.with_columns(
        jets.valid & (pt > 175) & (np.abs(jets["eta"]) < 2.5),
        gen_pt=jets["pt"],
        flavour=np.where(content % 2, BOTTOM, LIGHT),
        pt=pt,
        mass=mass,
        softdrop=mass * np.clip(rng.normal(0.95, 0.04, shape), 0.5, 1.1),
        top_score=_score(np.select(which, TOP_TAG, LIGHT_TAG), rng),
        w_score=_score(np.select(which, W_TAG, LIGHT_TAG), rng),
    ).by_pt()


def _btag(jets: Slots, pt: Array, rng: Rng) -> Array:
    """Draw DeepCSV scores; the probability to pass 0.5 depends on flavour and momentum."""
    bottom = np.clip(0.84 - 1.6e-4 * pt, 0.5, 0.84) * np.where(jets["merged"], 0.8, 1.0)
    flavour = jets["flavour"]
    passes = np.select([flavour == BOTTOM, flavour == CHARM], [bottom, 0.2], 0.02)
    return np.where(np.abs(jets["eta"]) < 2.5, _score(passes, rng), -1.0)


def _score(passes: Array, rng: Rng) -> Array:
    """Draw a discriminant in [0, 1] that is above 0.5 with the given probability."""
    chance = rng.random(passes.shape)
    high = 1 - 0.5 * (chance / np.maximum(passes, 1e-9)) ** 2.2
    low = 0.5 * ((1 - chance) / np.maximum(1 - passes, 1e-9)) ** 3.0
    return np.where(chance < passes, high, low)
