"""What the detector makes of generated events: objects, missing momentum and the muon trigger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intccms.sample import jets, leptons
from intccms.sample.hard import Hard
from intccms.sample.kinematics import Array
from intccms.sample.slots import Slots

__all__ = ["Reconstructed", "may_trigger", "reconstruct"]

TRIGGER_GEV = 50.0


@dataclass(frozen=True, slots=True)
class Reconstructed:
    """Objects of every event, as the detector sees them."""

    hard: Hard
    muons: Slots
    electrons: Slots
    taus: Slots
    jets: Slots
    large_jets: Slots
    missing: Array  # shape (2, n_events): x and y of PuppiMET in GeV
    has_trigger: Array  # the unisolated muon triggers

    def __len__(self) -> int:
        """Count the events."""
        return len(self.has_trigger)

    def taken(self, events: Array) -> Reconstructed:
        """Keep the events that a mask or an index array names, in that order."""
        return Reconstructed(
            self.hard.taken(events),
            self.muons.taken(events),
            self.electrons.taken(events),
            self.taus.taken(events),
            self.jets.taken(events),
            self.large_jets.taken(events),
            self.missing[:, events],
            self.has_trigger[events],
        )

    def stacked(self, other: Reconstructed) -> Reconstructed:
        """Put other events behind these."""
        return Reconstructed(
            self.hard.stacked(other.hard),
            self.muons.stacked(other.muons),
            self.electrons.stacked(other.electrons),
            self.taus.stacked(other.taus),
            self.jets.stacked(other.jets),
            self.large_jets.stacked(other.large_jets),
            np.concatenate([self.missing, other.missing], axis=1),
            np.concatenate([self.has_trigger, other.has_trigger]),
        )

    @property
    def looks_selected(self) -> Array:
        """Events like those that the search selects: one good muon, two b jets, one top jet.

        Only used to decide which data events are kept when not all of them fit.
        """
        good = self.muons.valid & (self.muons["pt"] > 55) & self.muons["tight"]
        bottoms = self.jets.valid & (self.jets["deep_b"] > 0.5) & (self.jets["jet_id"] >= 4)
        tops = self.large_jets.valid & (self.large_jets["top_score"] > 0.5)
        tops &= self.large_jets["pt"] > 500
        missing = np.hypot(*self.missing) > 50
        some = (good & self.muons["isolated"]).any(axis=1) & tops.any(axis=1)
        return np.asarray(self.has_trigger & some & missing & (bottoms.sum(axis=1) > 1))


def may_trigger(hard: Hard) -> Array:
    """Mask of events with any hope of a muon above threshold: a cheap cut before `reconstruct`."""
    muons = (hard.leptons["pdg_id"] == 13) & (hard.leptons["pt"] > 0.9 * TRIGGER_GEV)
    bottoms = (hard.quarks["flavour"] == 5) & (hard.quarks["pt"] > 2 * TRIGGER_GEV)
    found = (hard.leptons.valid & muons).any(axis=1) | (hard.quarks.valid & bottoms).any(axis=1)
    return np.asarray(found)


def reconstruct(hard: Hard, rng: np.random.Generator) -> Reconstructed:
    """Turn generated events into reconstructed ones."""
    found_muons = leptons.muons(hard, rng)
    found_jets = jets.ordinary_jets(hard, rng)
    activity = (found_jets["pt"] * found_jets.valid).sum(axis=1)
    resolution = np.sqrt(12.0**2 + 0.4**2 * activity + (0.02 * activity) ** 2)
    missing = hard.invisible + resolution * rng.normal(0, 1, (2, len(hard)))
    return Reconstructed(
        hard,
        found_muons,
        leptons.electrons(hard, rng),
        leptons.taus(hard, rng),
        found_jets,
        jets.large_jets(hard, rng),
        missing,
        _muon_trigger(found_muons, rng),
    )


def _muon_trigger(muons: Slots, rng: np.random.Generator) -> Array:
    """Decide whether HLT_Mu50 or HLT_TkMu50 fired: a turn-on at 50 GeV, then 93 % efficient."""
    turn_on = 0.93 / (1 + np.exp(-(muons["pt"] - TRIGGER_GEV) / 0.8))
    fired = rng.random(muons.valid.shape) < turn_on
    return np.asarray((muons.valid & fired).any(axis=1))
