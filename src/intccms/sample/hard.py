"""The generated part of an event before any detector: quarks, leptons, large jets, neutrinos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intccms.sample import kinematics as kin
from intccms.sample.kinematics import Array
from intccms.sample.slots import Slots

__all__ = ["Hard", "Leg", "lepton_from_tau", "merged", "recoil_jets"]

BOTTOM, CHARM, LIGHT, GLUON = 5, 4, 1, 21
TOP_JET, W_JET, B_JET, LIGHT_JET = 3, 2, 1, 0  # what a large jet holds


@dataclass(frozen=True, slots=True)
class Hard:
    """What was generated in each event; pt, masses and energies in GeV."""

    quarks: Slots  # columns flavour, merged
    leptons: Slots  # visible ones; column pdg_id (without sign), charge
    large: Slots  # candidates for large-radius jets; column content
    particles: Slots  # lines of GenPart; columns pdgId, mother, status
    invisible: Array  # shape (2, n_events)
    pair_mass: Array  # of the two tops, the boson or the two leading jets
    boson_pt: Array

    def taken(self, events: Array) -> Hard:
        """Keep the events that a mask or an index array names."""
        return Hard(
            self.quarks.taken(events),
            self.leptons.taken(events),
            self.large.taken(events),
            self.particles.taken(events),
            self.invisible[:, events],
            self.pair_mass[events],
            self.boson_pt[events],
        )

    def stacked(self, other: Hard) -> Hard:
        """Put other events behind these."""
        return Hard(
            self.quarks.stacked(other.quarks),
            self.leptons.stacked(other.leptons),
            self.large.stacked(other.large),
            self.particles.stacked(other.particles),
            np.concatenate([self.invisible, other.invisible], axis=1),
            np.concatenate([self.pair_mass, other.pair_mass]),
            np.concatenate([self.boson_pt, other.boson_pt]),
        )

    def __len__(self) -> int:
        """Count the events."""
        return len(self.pair_mass)


@dataclass(frozen=True, slots=True)
class Leg:
    """One top quark (or W boson) with its decay."""

    parent: Array
    boson: Array
    bottom: Array
    has_bottom: bool
    daughters: tuple[Array, Array]
    is_hadronic: Array
    lepton_id: Array  # 11, 13 or 15
    charge: Array  # of the lepton, the sign of the parent

    @classmethod
    def decay(
        cls,
        parent: Array,
        is_hadronic: Array,
        charge: Array,
        *,
        is_top: bool,
        rng: np.random.Generator,
    ) -> Leg:
        """Let tops decay to b W, and the W to two massless fermions."""
        n_events = parent.shape[1]
        if is_top:
            boson_mass = np.clip(80.4 + 1.05 * rng.standard_cauchy(n_events), 60, 105)
            bottom, boson = kin.two_body(parent, 4.7, boson_mass, rng)
        else:
            bottom, boson = np.zeros_like(parent), parent
        return cls(
            parent,
            boson,
            bottom,
            is_top,
            kin.two_body(boson, 0.0, 0.0, rng),
            is_hadronic,
            rng.choice([11, 13, 15], n_events),
            charge,
        )


def lepton_from_tau(
    lepton: Array, lepton_id: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Let tau leptons decay: what is seen, what it is (15 = hadrons), and what escapes."""
    n_events = lepton.shape[1]
    decay = rng.random(n_events)
    is_tau = lepton_id == 15
    to_muon, to_electron = is_tau & (decay < 0.174), is_tau & (decay > 0.822)
    seen = np.where(to_muon | to_electron, rng.beta(1.2, 2.4, n_events), rng.beta(3, 2, n_events))
    seen = np.where(is_tau, np.clip(seen, 0.02, 1), 1.0)
    pdg_id = np.select([to_muon, to_electron], [13, 11], lepton_id)
    return lepton * seen, pdg_id, lepton * (1 - seen)


def merged(
    items: list[tuple[Array, Array, Array]], radius: float
) -> list[tuple[Array, Array, Array, Array]]:
    """Join partons closer than `radius`, as a jet algorithm would; a joined b stays a b.

    Takes and gives (four-vector, exists, flavour); the fourth answer says what was joined.
    """
    never = np.zeros(items[0][0].shape[1], dtype=bool)
    out = [(p4, exists, flavour, never) for p4, exists, flavour in items]
    for i in range(len(out)):
        for j in range(i + 1, len(out)):
            one, other = out[i], out[j]
            close = one[1] & other[1] & (kin.delta_r(one[0], other[0]) < radius)
            flavour = np.where(close & (other[2] == BOTTOM), BOTTOM, one[2])
            out[i] = (one[0] + np.where(close, other[0], 0), one[1], flavour, one[3] | close)
            out[j] = (other[0], other[1] & ~close, other[2], other[3])
    return out


def recoil_jets(
    system: Array, n_jets: int, slope_gev: float, rng: np.random.Generator
) -> list[tuple[Array, Array, Array]]:
    """Radiate jets: the first balances the transverse momentum of `system`, others are soft."""
    n_events: int = system.shape[1]
    jets = []
    for i in range(n_jets):
        jet_pt = 12 + rng.exponential(slope_gev, n_events)
        jet_phi = rng.uniform(-np.pi, np.pi, n_events)
        exists = rng.random(n_events) < 0.55
        if i == 0:
            jet_pt, jet_phi = kin.pt(system), kin.phi(-system)
            exists = jet_pt > 12
        jet = kin.from_polar(jet_pt, rng.normal(0, 1.6, n_events), jet_phi, 0.08 * jet_pt)
        flavour = np.where(rng.random(n_events) < 0.4, LIGHT, GLUON)
        jets.append((jet, exists, np.where(rng.random(n_events) < 0.06, CHARM, flavour)))
    return jets
