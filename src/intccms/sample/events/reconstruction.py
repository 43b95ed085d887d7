"""What the detector makes of generated events: objects, missing momentum and the muon trigger."""

from __future__ import annotations

import numpy as np

from intccms.sample.events import jets, leptons
from intccms.sample.events.hard import BOTTOM
from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch, Slots

__all__ = ["looks_selected", "may_trigger", "reconstruct"]

TRIGGER_GEV = 50.0


def may_trigger(events: Batch) -> Array:
    """Mask of events with any hope of a muon above threshold: a cheap cut before `reconstruct`."""
    found, quarks = events["leptons"], events["quarks"]
    muons = found.valid & (found["pdg_id"] == 13) & (found["pt"] > 0.9 * TRIGGER_GEV)
    bottoms = quarks.valid & (quarks["flavour"] == BOTTOM) & (quarks["pt"] > 2 * TRIGGER_GEV)
    return np.asarray(muons.any(axis=1) | bottoms.any(axis=1))


def reconstruct(events: Batch, rng: np.random.Generator) -> Batch:
    """Turn generated events into reconstructed ones, which keep what was generated."""
    muons, ordinary = leptons.muons(events, rng), jets.ordinary_jets(events, rng)
    found = {
        "muons": muons,
        "electrons": leptons.others(events, 11, rng),
        "taus": leptons.others(events, 15, rng),
        "jets": ordinary,
        "large_jets": jets.large_jets(events, rng),
    }
    activity = (ordinary["pt"] * ordinary.valid).sum(axis=1, keepdims=True)
    resolution = np.sqrt(12.0**2 + 0.4**2 * activity + (0.02 * activity) ** 2)
    missing = events.values["invisible"] + resolution * rng.normal(0, 1, (len(events), 2))
    values = {"missing": missing, "has_trigger": _muon_trigger(muons, rng)}
    return Batch(events.slots | found, events.values | values)


def looks_selected(events: Batch) -> Array:
    """Mask of events like those that the search selects: a good muon, two b jets, a top jet.

    Only used to decide which data events are kept when not all of them fit.
    """
    muons, ordinary, large = events["muons"], events["jets"], events["large_jets"]
    good = muons.valid & (muons["pt"] > 55) & muons["tight"] & muons["isolated"]
    bottoms = ordinary.valid & (ordinary["deep_b"] > 0.5) & (ordinary["jet_id"] >= 4)
    tops = large.valid & (large["top_score"] > 0.5) & (large["pt"] > 500)
    missing = np.hypot(*events.values["missing"].T) > 50
    both = good.any(axis=1) & tops.any(axis=1) & (bottoms.sum(axis=1) > 1)
    return np.asarray(events.values["has_trigger"] & missing & both)


def _muon_trigger(muons: Slots, rng: np.random.Generator) -> Array:
    """Decide whether HLT_Mu50 or HLT_TkMu50 fired: a turn-on at 50 GeV, then 93 % efficient."""
    turn_on = 0.93 / (1 + np.exp(-(muons["pt"] - TRIGGER_GEV) / 0.8))
    fired = muons.valid & (rng.random(muons.valid.shape) < turn_on)
    return np.asarray(fired.any(axis=1))
