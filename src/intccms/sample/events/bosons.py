"""W and Z bosons with jets, boson pairs, and multijets without any boson."""

from __future__ import annotations

import numpy as np

from intccms.sample.events import hard
from intccms.sample.events import kinematics as kin
from intccms.sample.events.kinds import Kind
from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch, Candidate, Slots

__all__ = ["from_spectrum"]

Parton = tuple[Array, Array, Array]  # four-vector, exists, flavour


def from_spectrum(kind: Kind, boson_pt: Array, rng: np.random.Generator) -> Batch:
    """Generate a boson (a jet for multijets) of given transverse momentum and what recoils."""
    n_events = len(boson_pt)
    is_multijet = kind.model == "multijet"
    mass_gev = 0.1 * boson_pt if is_multijet else kind.boson_gev
    rapidity, azimuth = rng.normal(0, 1.1, n_events), rng.uniform(-np.pi, np.pi, n_events)
    boson = kin.from_rapidity(boson_pt, rapidity, azimuth, mass_gev)
    is_boosted = boson_pt > kind.threshold_gev
    recoil = _recoil(boson, np.where(is_boosted, 0.5 * kind.heavy_flavour, 0.02), rng)
    has_bottoms = rng.random(n_events) < np.where(is_boosted, kind.heavy_flavour, 0.03)
    never = np.zeros(n_events, dtype=bool)
    jets = [(*recoil, never), *hard.merged(_splitting(boson_pt, has_bottoms, rng), 0.4)]
    jets += [(*jet, never) for jet in hard.recoil_jets(boson, 3, 30.0, rng)[1:]]
    is_w = rng.random(n_events) < kind.second_boson
    large: list[Candidate] = [
        (recoil[0], True, {"content": np.where(is_w, hard.W_JET, hard.LIGHT_JET)}),
        (jets[1][0], has_bottoms, {"content": hard.B_JET}),
    ]
    if is_multijet:
        jets.append((boson, ~never, np.full(n_events, hard.GLUON), never))
        large.append((boson, True, {"content": hard.LIGHT_JET}))
    leptons, invisible, particles = _decay(kind, boson, rng)
    quarks: list[Candidate] = [(p4, ok, {"flavour": f, "merged": m}) for p4, ok, f, m in jets]
    candidates = {"quarks": quarks, "leptons": leptons, "large": large, "particles": particles}
    pair_mass = kin.mass(boson + recoil[0])
    values = {"invisible": invisible.T, "pair_mass": pair_mass, "boson_pt": boson_pt}
    return Batch({name: Slots.of(found) for name, found in candidates.items()}, values)


def _recoil(boson: Array, bottom_share: Array, rng: np.random.Generator) -> Parton:
    """Make the jet that balances the boson."""
    n_events: int = boson.shape[1]
    jet_pt = kin.pt(boson) * np.clip(rng.normal(1, 0.06, n_events), 0.6, 1.3)
    jet_eta = np.clip(kin.eta(boson) + rng.normal(0, 1.1, n_events), -4.5, 4.5)
    azimuth = kin.phi(-boson) + rng.normal(0, 0.12, n_events)
    quark = np.where(rng.random(n_events) < 0.5, hard.LIGHT, hard.GLUON)
    flavour = np.where(rng.random(n_events) < bottom_share, hard.BOTTOM, quark)
    return kin.from_polar(jet_pt, jet_eta, azimuth, 0.12 * jet_pt), jet_pt > 12, flavour


def _splitting(boson_pt: Array, exists: Array, rng: np.random.Generator) -> list[Parton]:
    """Split a gluon into two bottom quarks."""
    n_events = len(boson_pt)
    gluon_pt = 50 + rng.exponential(25 + 0.2 * boson_pt)
    share = rng.uniform(0.25, 0.75, n_events)
    center, azimuth = rng.normal(0, 1.2, n_events), rng.uniform(-np.pi, np.pi, n_events)
    apart, angle = rng.uniform(0.2, 1.6, n_events), rng.uniform(-np.pi, np.pi, n_events)
    pair = []
    for sign, part in ((0.5, share), (-0.5, 1 - share)):
        eta = center + sign * apart * np.cos(angle)
        p4 = kin.from_polar(part * gluon_pt, eta, azimuth + sign * apart * np.sin(angle), 4.7)
        pair.append((p4, exists, np.full(n_events, hard.BOTTOM)))
    return pair


def _decay(
    kind: Kind, boson: Array, rng: np.random.Generator
) -> tuple[list[Candidate], Array, list[Candidate]]:
    """Let the boson decay to leptons: those seen, what escapes, and the lines of GenPart."""
    n_events: int = boson.shape[1]
    exists, is_z = kind.model != "multijet", kind.boson_gev > 85
    charge = np.where(rng.random(n_events) < 0.5, 1, -1)
    lepton_id = rng.choice([11, 13, 15], n_events)
    pair = kin.two_body(boson, 0.0, 0.0, rng)
    leptons: list[Candidate] = []
    invisible = np.zeros_like(boson) if is_z else pair[1]
    for lepton, sign in zip(pair, (1, -1) if is_z else (1,), strict=False):
        seen, pdg_id, lost = hard.lepton_from_tau(lepton, lepton_id, rng)
        leptons.append((seen, exists, {"pdg_id": pdg_id, "charge": sign * charge}))
        invisible = invisible + lost
    second_id = lepton_id * charge if is_z else (lepton_id + 1) * charge
    lines: list[Candidate] = [
        (boson, exists, hard.line(23 if is_z else 24 * charge, -1, 22)),
        (pair[0], exists, hard.line(-lepton_id * charge, 0, 1)),
        (pair[1], exists, hard.line(second_id, 0, 1)),
    ]
    return leptons, invisible[:2] * float(exists), lines
