"""Top-quark pairs, resonances that decay to them, and single tops."""

from __future__ import annotations

import numpy as np

from intccms.sample import kinematics as kin
from intccms.sample.hard import (
    B_JET,
    BOTTOM,
    CHARM,
    LIGHT,
    LIGHT_JET,
    TOP_JET,
    W_JET,
    Hard,
    Leg,
    lepton_from_tau,
    merged,
    recoil_jets,
)
from intccms.sample.kinds import Kind
from intccms.sample.kinematics import Array
from intccms.sample.slots import Candidate, Slots

__all__ = ["from_resonance", "from_spectrum"]

TOP_GEV = 172.5


def from_resonance(kind: Kind, n_events: int, rng: np.random.Generator) -> Hard:
    """Generate a resonance of Breit-Wigner mass that decays to a top-quark pair."""
    half_width = 0.5 * kind.width_gev
    mass_gev = kind.resonance_gev + half_width * rng.standard_cauchy(n_events)
    mass_gev = np.clip(mass_gev, 2 * TOP_GEV + 5, 2 * kind.resonance_gev)
    resonance = kin.from_rapidity(
        rng.exponential(45, n_events),
        rng.normal(0, 0.45, n_events),
        rng.uniform(-np.pi, np.pi, n_events),
        mass_gev,
    )
    top, antitop = kin.two_body(resonance, TOP_GEV, TOP_GEV, rng)
    return _decayed(kind, (top, antitop), resonance, rng)


def from_spectrum(kind: Kind, top_pt: Array, rng: np.random.Generator) -> Hard:
    """Generate pairs whose first member has the given transverse momentum."""
    n_events = len(top_pt)
    spread = np.where(top_pt > kind.threshold_gev, 0.75, 1.0)
    common, apart = spread * rng.normal(0, 0.75, n_events), spread * rng.normal(0, 0.5, n_events)
    azimuth = rng.uniform(-np.pi, np.pi, n_events)
    top = kin.from_rapidity(top_pt, common + apart, azimuth, TOP_GEV)
    is_pair = kind.model == "pair"
    other = kin.from_rapidity(
        top_pt, common - apart, azimuth + np.pi, TOP_GEV if is_pair else kind.boson_gev
    )
    kick_pt, kick_phi = rng.exponential(30, n_events), rng.uniform(-np.pi, np.pi, n_events)
    other_mass = kin.mass(other)
    other[0] += kick_pt * np.cos(kick_phi)
    other[1] += kick_pt * np.sin(kick_phi)
    other[3] = np.sqrt((other[:3] ** 2).sum(axis=0) + other_mass**2)
    return _decayed(kind, (top, other), None, rng)


def _decayed(
    kind: Kind, pair: tuple[Array, Array], resonance: Array | None, rng: np.random.Generator
) -> Hard:
    """Let both members decay and collect everything that comes out."""
    n_events = pair[0].shape[1]
    hadronic = _hadronic(kind, n_events, rng)
    charge = np.where(rng.random(n_events) < 0.5, 1, -1)
    has_pair = kind.model != "single_top"
    legs = (
        Leg.decay(pair[0], hadronic[0], charge, is_top=True, rng=rng),
        Leg.decay(pair[1], hadronic[1], -charge, is_top=has_pair, rng=rng),
    )
    system = pair[0] + pair[1]
    radiation = recoil_jets(system, 3, 35.0, rng)
    quarks: list[Candidate] = [
        (jet, ok, {"flavour": f, "merged": False}) for jet, ok, f in radiation
    ]
    large: list[Candidate] = [(radiation[0][0], True, {"content": LIGHT_JET})]
    leptons: list[Candidate] = []
    invisible = np.zeros((2, n_events))
    for leg in legs:
        quarks += _jets(leg, rng)
        large.append(_large_jet(leg))
        seen, pdg_id, lost = lepton_from_tau(leg.daughters[0], leg.lepton_id, rng)
        leptons.append((seen, ~leg.is_hadronic, {"pdg_id": pdg_id, "charge": leg.charge}))
        invisible += np.where(leg.is_hadronic, 0, leg.daughters[1] + lost)[:2]
    return Hard(
        Slots.of(quarks),
        Slots.of(leptons),
        Slots.of(large),
        _particles(legs, resonance),
        invisible,
        kin.mass(system),
        kin.pt(pair[0]),
    )


def _hadronic(kind: Kind, n_events: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Say which of the two W bosons decay to quarks."""
    if kind.n_leptonic is None:
        first, second = rng.random((2, n_events)) < kind.hadronic
        return first, second
    either = rng.random(n_events) < 0.5
    first = either if kind.n_leptonic == 1 else np.full(n_events, kind.n_leptonic == 0)
    return first, ~first if kind.n_leptonic == 1 else first


def _jets(leg: Leg, rng: np.random.Generator) -> list[Candidate]:
    """Make the ordinary jets of one top, joining what is too close to be resolved."""
    n_events = leg.parent.shape[1]
    charm = np.where(rng.random(n_events) < 0.5, CHARM, LIGHT)
    partons = merged(
        [
            (leg.bottom, np.full(n_events, leg.has_bottom), np.full(n_events, BOTTOM)),
            (leg.daughters[0], leg.is_hadronic, charm),
            (leg.daughters[1], leg.is_hadronic, np.full(n_events, LIGHT)),
        ],
        0.4,
    )
    return [(p4, ok, {"flavour": flavour, "merged": m}) for p4, ok, flavour, m in partons]


def _large_jet(leg: Leg) -> Candidate:
    """Make the large jet of one top: all of it, its W, or a single quark."""
    one, two = leg.daughters
    near = np.maximum(kin.delta_r(one, leg.parent), kin.delta_r(two, leg.parent))
    if leg.has_bottom:
        near = np.maximum(near, kin.delta_r(leg.bottom, leg.parent))
    is_whole = leg.is_hadronic & (near < 0.8)
    is_boson = leg.is_hadronic & ~is_whole & (kin.delta_r(one, two) < 0.9)
    harder = np.where(kin.pt(one) > kin.pt(two), one, two)
    p4 = np.select(
        [is_whole, is_boson, leg.is_hadronic], [leg.parent, leg.boson, harder], leg.bottom
    )
    whole = TOP_JET if leg.has_bottom else W_JET
    alone = np.where(leg.is_hadronic, LIGHT_JET, B_JET)
    content = np.select([is_whole, is_boson], [whole, W_JET], alone)
    return p4, leg.is_hadronic | leg.has_bottom, {"content": content}


def _particles(legs: tuple[Leg, Leg], resonance: Array | None) -> Slots:
    """Write the lines of GenPart: resonance, tops, then of each top W, b and the W's daughters."""
    first = 0 if resonance is None else 1
    lines: list[Candidate] = (
        [] if resonance is None else [(resonance, True, _line(6000047, -1, 22))]
    )
    for leg in legs:
        pdg_id = (6 if leg.has_bottom else 24) * leg.charge
        lines.append((leg.parent, True, _line(pdg_id, first - 1, 22)))
    for i, leg in enumerate(legs):
        boson_at = first + 2 + 4 * i
        up = np.where(leg.is_hadronic, 2 * leg.charge, -leg.lepton_id * leg.charge)
        down = np.where(leg.is_hadronic, -leg.charge, (leg.lepton_id + 1) * leg.charge)
        lines += [
            (leg.boson, True, _line(24 * leg.charge, first + i, 22)),
            (leg.bottom, leg.has_bottom, _line(5 * leg.charge, first + i, 23)),
            (leg.daughters[0], True, _line(up, boson_at, 1)),
            (leg.daughters[1], True, _line(down, boson_at, 1)),
        ]
    return Slots.of(lines)


def _line(pdg_id: Array | int, mother: int, status: int) -> dict[str, Array | float]:
    """Make the columns of one line of GenPart."""
    return {"pdgId": pdg_id, "genPartIdxMother": mother, "status": status}
