"""Top-quark pairs, resonances that decay to them, and single tops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intccms.sample.events import hard
from intccms.sample.events import kinematics as kin
from intccms.sample.events.kinds import Kind
from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Batch, Candidate, Slots

__all__ = ["from_resonance", "from_spectrum"]

TOP_GEV = 172.5
Rng = np.random.Generator


def from_resonance(kind: Kind, n_events: int, rng: Rng) -> Batch:
    """Generate a resonance of Breit-Wigner mass that decays to a top-quark pair."""
    mass_gev = kind.resonance_gev + 0.5 * kind.width_gev * rng.standard_cauchy(n_events)
    mass_gev = np.clip(mass_gev, 2 * TOP_GEV + 5, 2 * kind.resonance_gev)
    rapidity, azimuth = rng.normal(0, 0.45, n_events), rng.uniform(-np.pi, np.pi, n_events)
    resonance = kin.from_rapidity(rng.exponential(45, n_events), rapidity, azimuth, mass_gev)
    pair = kin.two_body(resonance, TOP_GEV, TOP_GEV, rng)
    return _decayed(kind, pair, resonance, rng)


def from_spectrum(kind: Kind, top_pt: Array, rng: Rng) -> Batch:
    """Generate pairs (or a top and a W boson) in which the top has a given transverse momentum."""
    n_events = len(top_pt)
    spread = np.where(top_pt > kind.threshold_gev, 0.75, 1.0)
    common, apart = spread * rng.normal(0, 0.75, n_events), spread * rng.normal(0, 0.5, n_events)
    azimuth = rng.uniform(-np.pi, np.pi, n_events)
    top = kin.from_rapidity(top_pt, common + apart, azimuth, TOP_GEV)
    other_gev = TOP_GEV if kind.model == "pair" else kind.boson_gev
    other = kin.from_rapidity(top_pt, common - apart, azimuth + np.pi, other_gev)
    kick_pt, kick_phi = rng.exponential(30, n_events), rng.uniform(-np.pi, np.pi, n_events)
    other[:2] += kick_pt * np.stack([np.cos(kick_phi), np.sin(kick_phi)])
    other[3] = np.sqrt((other[:3] ** 2).sum(axis=0) + other_gev**2)
    return _decayed(kind, (top, other), None, rng)


@dataclass(frozen=True, slots=True)
class _Leg:
    """One top quark (or W boson) with its decay."""

    parent: Array
    boson: Array
    bottom: Array
    has_bottom: bool
    daughters: tuple[Array, Array]
    is_hadronic: Array
    lepton_id: Array  # 11, 13 or 15
    charge: Array  # of the lepton, the sign of the parent


def _leg(parent: Array, is_hadronic: Array, charge: Array, has_bottom: bool, rng: Rng) -> _Leg:
    """Let tops decay to b W, and the W to two massless fermions."""
    n_events: int = parent.shape[1]
    bottom, boson = np.zeros_like(parent), parent
    if has_bottom:
        boson_gev = np.clip(80.4 + 1.05 * rng.standard_cauchy(n_events), 60, 105)
        bottom, boson = kin.two_body(parent, 4.7, boson_gev, rng)
    daughters = kin.two_body(boson, 0.0, 0.0, rng)
    lepton_id = rng.choice([11, 13, 15], n_events)
    return _Leg(parent, boson, bottom, has_bottom, daughters, is_hadronic, lepton_id, charge)


def _decayed(kind: Kind, pair: tuple[Array, Array], resonance: Array | None, rng: Rng) -> Batch:
    """Let both members decay and collect everything that comes out."""
    n_events: int = pair[0].shape[1]
    hadronic = _hadronic(kind, n_events, rng)
    charge = np.where(rng.random(n_events) < 0.5, 1, -1)
    is_pair = kind.model != "single_top"
    first = _leg(pair[0], hadronic[0], charge, True, rng)
    legs = (first, _leg(pair[1], hadronic[1], -charge, is_pair, rng))
    system = pair[0] + pair[1]
    radiation = hard.recoil_jets(system, 3, 35.0, rng)
    quarks: list[Candidate] = [(p4, ok, {"flavour": f, "merged": False}) for p4, ok, f in radiation]
    large: list[Candidate] = [(radiation[0][0], True, {"content": hard.LIGHT_JET})]
    leptons: list[Candidate] = []
    invisible = np.zeros((2, n_events))
    for leg in legs:
        quarks += _jets(leg, rng)
        large.append(_large_jet(leg))
        seen, pdg_id, lost = hard.lepton_from_tau(leg.daughters[0], leg.lepton_id, rng)
        leptons.append((seen, ~leg.is_hadronic, {"pdg_id": pdg_id, "charge": leg.charge}))
        invisible += np.where(leg.is_hadronic, 0, leg.daughters[1] + lost)[:2]
    particles = _particles(legs, resonance)
    candidates = {"quarks": quarks, "leptons": leptons, "large": large, "particles": particles}
    values = {"pair_mass": kin.mass(system), "boson_pt": kin.pt(pair[0])}
    slots = {name: Slots.of(found) for name, found in candidates.items()}
    return Batch(slots, values | {"invisible": invisible.T})


def _hadronic(kind: Kind, n_events: int, rng: Rng) -> tuple[Array, Array]:
    """Say which of the two W bosons decay to quarks."""
    if kind.n_leptonic is None:
        first, second = rng.random((2, n_events)) < 0.6741
        return first, second
    if kind.n_leptonic == 1:
        either = rng.random(n_events) < 0.5
        return either, ~either
    both = np.full(n_events, kind.n_leptonic == 0)
    return both, both


def _jets(leg: _Leg, rng: Rng) -> list[Candidate]:
    """Make the ordinary jets of one top, joining what is too close to be resolved."""
    n_events: int = leg.parent.shape[1]
    charm = np.where(rng.random(n_events) < 0.5, hard.CHARM, hard.LIGHT)
    partons = [
        (leg.bottom, np.full(n_events, leg.has_bottom), np.full(n_events, hard.BOTTOM)),
        (leg.daughters[0], leg.is_hadronic, charm),
        (leg.daughters[1], leg.is_hadronic, np.full(n_events, hard.LIGHT)),
    ]
    return [
        (p4, exists, {"flavour": flavour, "merged": is_merged})
        for p4, exists, flavour, is_merged in hard.merged(partons, 0.4)
    ]


def _large_jet(leg: _Leg) -> Candidate:
    """Make the large jet of one top: all of it, its W, or a single quark."""
    one, two = leg.daughters
    reach = np.maximum(kin.delta_r(one, leg.parent), kin.delta_r(two, leg.parent))
    if leg.has_bottom:
        reach = np.maximum(reach, kin.delta_r(leg.bottom, leg.parent))
    is_whole = leg.is_hadronic & (reach < 0.8)
    is_boson = leg.is_hadronic & ~is_whole & (kin.delta_r(one, two) < 0.9)
    harder = np.where(kin.pt(one) > kin.pt(two), one, two)
    which = [is_whole, is_boson, leg.is_hadronic]
    p4 = np.select(which, [leg.parent, leg.boson, harder], leg.bottom)
    whole = hard.TOP_JET if leg.has_bottom else hard.W_JET
    content = np.select(which, [whole, hard.W_JET, hard.LIGHT_JET], hard.B_JET)
    return p4, leg.is_hadronic | leg.has_bottom, {"content": content}


def _particles(legs: tuple[_Leg, _Leg], resonance: Array | None) -> list[Candidate]:
    """Write GenPart: resonance, tops, then of each top W, b and the W's daughters."""
    lines: list[Candidate] = []
    if resonance is not None:
        lines.append((resonance, True, hard.line(6000047, -1, 22)))
    first = len(lines)
    for leg in legs:
        pdg_id = (6 if leg.has_bottom else 24) * leg.charge
        lines.append((leg.parent, True, hard.line(pdg_id, first - 1, 22)))
    for i, leg in enumerate(legs):
        boson_at = len(lines)
        up = np.where(leg.is_hadronic, 2 * leg.charge, -leg.lepton_id * leg.charge)
        down = np.where(leg.is_hadronic, -leg.charge, (leg.lepton_id + 1) * leg.charge)
        lines += [
            (leg.boson, True, hard.line(24 * leg.charge, first + i, 22)),
            (leg.bottom, leg.has_bottom, hard.line(5 * leg.charge, first + i, 23)),
            (leg.daughters[0], True, hard.line(up, boson_at, 1)),
            (leg.daughters[1], True, hard.line(down, boson_at, 1)),
        ]
    return lines
