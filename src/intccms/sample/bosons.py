"""W and Z bosons with jets, boson pairs, and multijets without any boson."""

from __future__ import annotations

import numpy as np

from intccms.sample import kinematics as kin
from intccms.sample.hard import (
    B_JET,
    BOTTOM,
    GLUON,
    LIGHT,
    LIGHT_JET,
    W_JET,
    Hard,
    lepton_from_tau,
    merged,
    recoil_jets,
)
from intccms.sample.kinds import Kind
from intccms.sample.kinematics import Array
from intccms.sample.slots import Candidate, Slots

__all__ = ["from_spectrum"]


def from_spectrum(kind: Kind, boson_pt: Array, rng: np.random.Generator) -> Hard:
    """Generate a boson (a jet for multijets) of given transverse momentum and what recoils."""
    n_events = len(boson_pt)
    boson = kin.from_rapidity(
        boson_pt,
        rng.normal(0, 1.1, n_events),
        rng.uniform(-np.pi, np.pi, n_events),
        0.1 * boson_pt if kind.model == "multijet" else kind.boson_gev,
    )
    recoil = _recoil(boson, rng)
    jets = [_leading(kind, recoil, rng)]
    is_boosted = boson_pt > kind.threshold_gev
    has_bottoms = rng.random(n_events) < np.where(is_boosted, kind.heavy_flavour, 0.03)
    jets += merged(_splitting(boson_pt, has_bottoms, rng), 0.4)
    jets += [(*jet, np.zeros(n_events, dtype=bool)) for jet in recoil_jets(boson, 3, 30.0, rng)[1:]]
    is_w = rng.random(n_events) < kind.second_boson
    large: list[Candidate] = [(recoil, True, {"content": np.where(is_w, W_JET, LIGHT_JET)})]
    if kind.model == "multijet":
        always = np.ones(n_events, dtype=bool)
        jets.append((boson, always, np.full(n_events, GLUON), ~always))
        large.append((boson, True, {"content": LIGHT_JET}))
    large.append((jets[1][0], has_bottoms, {"content": B_JET}))
    leptons, invisible, particles = _decay(kind, boson, rng)
    return Hard(
        Slots.of([(p4, ok, {"flavour": f, "merged": m}) for p4, ok, f, m in jets]),
        leptons,
        Slots.of(large),
        particles,
        invisible,
        kin.mass(boson + recoil),
        boson_pt,
    )


def _recoil(boson: Array, rng: np.random.Generator) -> Array:
    """Make the jet that balances the boson."""
    jet_pt = kin.pt(boson) * np.clip(rng.normal(1, 0.06, boson.shape[1]), 0.6, 1.3)
    jet_eta = np.clip(kin.eta(boson) + rng.normal(0, 1.1, boson.shape[1]), -4.5, 4.5)
    azimuth = kin.phi(-boson) + rng.normal(0, 0.12, boson.shape[1])
    return kin.from_polar(jet_pt, jet_eta, azimuth, 0.12 * jet_pt)


def _leading(
    kind: Kind, recoil: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Give the recoil jet a flavour; a boosted one is more often a bottom."""
    n_events = recoil.shape[1]
    share = np.where(kin.pt(recoil) > kind.threshold_gev, 0.5 * kind.heavy_flavour, 0.02)
    quark = np.where(rng.random(n_events) < 0.5, LIGHT, GLUON)
    flavour = np.where(rng.random(n_events) < share, BOTTOM, quark)
    return recoil, kin.pt(recoil) > 12, flavour, np.zeros(n_events, dtype=bool)


def _splitting(
    boson_pt: Array, exists: Array, rng: np.random.Generator
) -> list[tuple[Array, Array, Array]]:
    """Split a gluon into two bottom quarks."""
    n_events = len(boson_pt)
    gluon_pt = 50 + rng.exponential(25 + 0.2 * boson_pt)
    share = rng.uniform(0.25, 0.75, n_events)
    center, azimuth = rng.normal(0, 1.2, n_events), rng.uniform(-np.pi, np.pi, n_events)
    apart, angle = rng.uniform(0.2, 1.6, n_events), rng.uniform(-np.pi, np.pi, n_events)
    pair = []
    for sign, part in ((1, share), (-1, 1 - share)):
        p4 = kin.from_polar(
            part * gluon_pt,
            center + sign * 0.5 * apart * np.cos(angle),
            azimuth + sign * 0.5 * apart * np.sin(angle),
            4.7,
        )
        pair.append((p4, exists, np.full(n_events, BOTTOM)))
    return pair


def _decay(kind: Kind, boson: Array, rng: np.random.Generator) -> tuple[Slots, Array, Slots]:
    """Let the boson decay to leptons: those seen, what escapes, and the lines of GenPart."""
    n_events = boson.shape[1]
    exists = kind.model != "multijet"
    is_z = kind.boson_gev > 85
    charge = np.where(rng.random(n_events) < 0.5, 1, -1)
    lepton_id = rng.choice([11, 13, 15], n_events)
    one, two = kin.two_body(boson, 0.0, 0.0, rng)
    seen, pdg_id, lost = lepton_from_tau(one, lepton_id, rng)
    leptons: list[Candidate] = [(seen, exists, {"pdg_id": pdg_id, "charge": charge})]
    invisible = lost + (0 if is_z else two)
    if is_z:
        seen, pdg_id, lost = lepton_from_tau(two, lepton_id, rng)
        leptons.append((seen, exists, {"pdg_id": pdg_id, "charge": -charge}))
        invisible = invisible + lost
    second_id = lepton_id * charge if is_z else (lepton_id + 1) * charge
    lines: list[Candidate] = [
        (boson, exists, _line(23 if is_z else 24 * charge, -1, 22)),
        (one, exists, _line(-lepton_id * charge, 0, 1)),
        (two, exists, _line(second_id, 0, 1)),
    ]
    return Slots.of(leptons), invisible[:2] * float(exists), Slots.of(lines)


def _line(pdg_id: Array | int, mother: int, status: int) -> dict[str, Array | float]:
    """Make the columns of one line of GenPart."""
    return {"pdgId": pdg_id, "genPartIdxMother": mother, "status": status}
