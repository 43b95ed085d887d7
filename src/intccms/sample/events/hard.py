"""What generators share: flavours, tau decays, merging of close partons, radiated jets."""

from __future__ import annotations

import numpy as np

from intccms.sample.events import kinematics as kin
from intccms.sample.events.kinematics import Array

__all__ = ["lepton_from_tau", "line", "merged", "recoil_jets"]

BOTTOM, CHARM, LIGHT, GLUON = 5, 4, 1, 21
TOP_JET, W_JET, B_JET, LIGHT_JET = 3, 2, 1, 0  # what a large jet holds


def line(pdg_id: Array | int, mother: int, status: int) -> dict[str, Array | float]:
    """Make the columns of one line of GenPart."""
    return {"pdgId": pdg_id, "genPartIdxMother": mother, "status": status}


def lepton_from_tau(
    lepton: Array, lepton_id: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Let tau leptons decay: what is seen, what it is (15 = hadrons), and what escapes."""
    n_events: int = lepton.shape[1]
    decay, is_tau = rng.random(n_events), lepton_id == 15
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
