"""From a kind of process to generated events with weights; nothing of the detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nanosample import vectors as vec
from nanosample.settings import Kind
from nanosample.vectors import Array, Batch, Candidate, Slots

Rng = np.random.Generator
Parton = tuple[Array, Array, Array]  # four-vector, exists, flavour

BOTTOM, CHARM, LIGHT, GLUON = 5, 4, 1, 21
TOP_JET, W_JET, B_JET, LIGHT_JET = 3, 2, 1, 0  # what a large jet holds
TOP_GEV = 172.5
BULK_LIMIT = 0.85  # of the threshold: nothing from below it may be reconstructed above the cuts


def generate(kind: Kind, n_events: int, rng: Rng) -> tuple[Batch, Array]:
    """Generate events of one kind.

    Returns
    -------
    tuple
        The events and their generator weights, shape (n_events,), whose mean is
        ``kind.gen_weight`` (up to statistics) although their spectrum is not the natural one.
    """
    sign = np.where(rng.random(n_events) < kind.negative_fraction, -1.0, 1.0)
    weight = kind.gen_weight * sign / (1 - 2 * kind.negative_fraction)
    if kind.model == "resonance":
        return _resonances(kind, n_events, rng), weight
    is_boosted = rng.permutation(n_events) < round(kind.sampled_fraction * n_events)
    above = rng.exponential(kind.sampled_gev, n_events)
    ratio = kind.sampled_gev / kind.spectrum_gev
    shape = ratio * np.exp(above * (1 - ratio) / kind.sampled_gev)
    natural, sampled = kind.boosted_fraction, is_boosted.mean()
    rest = (1 - natural) / max(1 - sampled, 1e-9)
    weight *= np.where(is_boosted, shape * natural / max(sampled, 1e-9), rest)
    spectrum = np.where(is_boosted, kind.threshold_gev + above, _bulk(kind, n_events, rng))
    return _of_spectrum(kind, spectrum, rng), weight


def generate_unweighted(kind: Kind, n_events: float, rng: Rng, *, is_boosted: bool) -> Batch:
    """Generate about `n_events` events of the boosted part (or of the rest) as nature would.

    The number fluctuates as counts do.
    """
    wanted = int(rng.poisson(n_events))
    boosted = kind.threshold_gev + rng.exponential(kind.spectrum_gev, wanted)
    return _of_spectrum(kind, boosted if is_boosted else _bulk(kind, wanted, rng), rng)


def _of_spectrum(kind: Kind, spectrum: Array, rng: Rng) -> Batch:
    """Choose the model that turns transverse momenta into events."""
    return (_tops if kind.model in ("pair", "single_top") else _bosons)(kind, spectrum, rng)


def _bulk(kind: Kind, n_events: int, rng: Rng) -> Array:
    """Draw transverse momenta of ordinary events, all below the threshold."""
    limit = BULK_LIMIT * kind.threshold_gev
    spectrum = rng.gamma(2.0, kind.bulk_gev, n_events)
    return np.where(spectrum < limit, spectrum, rng.uniform(0.2 * limit, limit, n_events))


def _resonances(kind: Kind, n_events: int, rng: Rng) -> Batch:
    """Generate a resonance of Breit-Wigner mass that decays to a top-quark pair."""
    mass_gev = kind.resonance_gev + 0.5 * kind.width_gev * rng.standard_cauchy(n_events)
    mass_gev = np.clip(mass_gev, 2 * TOP_GEV + 5, 2 * kind.resonance_gev)
    rapidity, azimuth = rng.normal(0, 0.45, n_events), rng.uniform(-np.pi, np.pi, n_events)
    resonance = vec.from_rapidity(rng.exponential(45, n_events), rapidity, azimuth, mass_gev)
    pair = vec.two_body(resonance, TOP_GEV, TOP_GEV, rng)
    return _decayed(kind, pair, resonance, rng)


def _tops(kind: Kind, top_pt: Array, rng: Rng) -> Batch:
    """Generate pairs (or a top and a W boson) in which the top has a given transverse momentum."""
    n_events = len(top_pt)
    spread = np.where(top_pt > kind.threshold_gev, 0.75, 1.0)
    common, apart = spread * rng.normal(0, 0.75, n_events), spread * rng.normal(0, 0.5, n_events)
    azimuth = rng.uniform(-np.pi, np.pi, n_events)
    top = vec.from_rapidity(top_pt, common + apart, azimuth, TOP_GEV)
    other_gev = TOP_GEV if kind.model == "pair" else kind.boson_gev
    other = vec.from_rapidity(top_pt, common - apart, azimuth + np.pi, other_gev)
    kick_pt, kick_phi = rng.exponential(30, n_events), rng.uniform(-np.pi, np.pi, n_events)
    other[:2] += kick_pt * np.stack([np.cos(kick_phi), np.sin(kick_phi)])
    other[3] = np.sqrt((other[:3] ** 2).sum(axis=0) + other_gev**2)
    return _decayed(kind, (top, other), None, rng)


def _batch(slots: Mapping[str, Sequence[Candidate]], **values: Array) -> Batch:
    return Batch({name: Slots.of(candidates) for name, candidates in slots.items()}, values)


def _quark(p4: Array, exists: Array | bool, flavour: Array | int) -> Candidate:
    return p4, exists, {"flavour": flavour, "merged": False}


def _joined(partons: Sequence[Parton]) -> list[Candidate]:
    """Join partons closer than 0.4, as a jet algorithm would; a joined b stays a b."""
    never = np.zeros(partons[0][0].shape[1], dtype=bool)
    out = [(*parton, never) for parton in partons]
    for i in range(len(out)):
        for j in range(i + 1, len(out)):
            one, other = out[i], out[j]
            close = one[1] & other[1] & (vec.delta_r(one[0], other[0]) < 0.4)
            flavour = np.where(close & (other[2] == BOTTOM), BOTTOM, one[2])
            out[i] = (one[0] + np.where(close, other[0], 0), one[1], flavour, one[3] | close)
            out[j] = (other[0], other[1] & ~close, other[2], other[3])
    return [(p4, exists, {"flavour": f, "merged": joined}) for p4, exists, f, joined in out]


def _radiation(system: Array, slope_gev: float, rng: Rng) -> list[Parton]:
    """Radiate three jets: the first balances the momentum of `system`, others are soft."""
    n_events: int = system.shape[1]
    jets = []
    for i in range(3):
        jet_pt = 12 + rng.exponential(slope_gev, n_events)
        jet_phi = rng.uniform(-np.pi, np.pi, n_events)
        exists = rng.random(n_events) < 0.55
        if i == 0:
            jet_pt, jet_phi = vec.pt(system), vec.phi(-system)
            exists = jet_pt > 12
        jet = vec.from_polar(jet_pt, rng.normal(0, 1.6, n_events), jet_phi, 0.08 * jet_pt)
        flavour = np.where(rng.random(n_events) < 0.4, LIGHT, GLUON)
        jets.append((jet, exists, np.where(rng.random(n_events) < 0.06, CHARM, flavour)))
    return jets


def _seen_lepton(lepton: Array, lepton_id: Array, rng: Rng) -> tuple[Array, Array, Array]:
    """Let tau leptons decay: what is seen, what it is (15 = hadrons), and what escapes."""
    n_events: int = lepton.shape[1]
    decay, is_tau = rng.random(n_events), lepton_id == 15
    to_muon, to_electron = is_tau & (decay < 0.174), is_tau & (decay > 0.822)
    seen = np.where(to_muon | to_electron, rng.beta(1.2, 2.4, n_events), rng.beta(3, 2, n_events))
    seen = np.where(is_tau, np.clip(seen, 0.02, 1), 1.0)
    pdg_id = np.select([to_muon, to_electron], [13, 11], lepton_id)
    return lepton * seen, pdg_id, lepton * (1 - seen)


def _line(p4: Array, exists: Array | bool, pdg_id: Array | int, *place: int) -> Candidate:
    """Make one line of GenPart; `place` is the line of its mother and its status."""
    return p4, exists, {"pdgId": pdg_id, "genPartIdxMother": place[0], "status": place[1]}


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
        bottom, boson = vec.two_body(parent, 4.7, boson_gev, rng)
    daughters = vec.two_body(boson, 0.0, 0.0, rng)
    lepton_id = rng.choice([11, 13, 15], n_events)
    return _Leg(parent, boson, bottom, has_bottom, daughters, is_hadronic, lepton_id, charge)


def _decayed(kind: Kind, pair: tuple[Array, Array], resonance: Array | None, rng: Rng) -> Batch:
    """Let both members decay and collect everything that comes out."""
    n_events: int = pair[0].shape[1]
    hadronic = _hadronic(kind, n_events, rng)
    charge = np.where(rng.random(n_events) < 0.5, 1, -1)
    first = _leg(pair[0], hadronic[0], charge, True, rng)
    legs = (first, _leg(pair[1], hadronic[1], -charge, kind.model != "single_top", rng))
    system = pair[0] + pair[1]
    radiation = _radiation(system, 35.0, rng)
    quarks = [_quark(*jet) for jet in radiation]
    large: list[Candidate] = [(radiation[0][0], True, {"content": LIGHT_JET})]
    leptons: list[Candidate] = []
    invisible = np.zeros((2, n_events))
    for leg in legs:
        quarks += _jets(leg, rng)
        large.append(_large_jet(leg))
        seen, pdg_id, lost = _seen_lepton(leg.daughters[0], leg.lepton_id, rng)
        leptons.append((seen, ~leg.is_hadronic, {"pdg_id": pdg_id, "charge": leg.charge}))
        invisible += np.where(leg.is_hadronic, 0, leg.daughters[1] + lost)[:2]
    slots = {"quarks": quarks, "leptons": leptons, "large": large}
    return _batch(
        slots | {"particles": _particles(legs, resonance)},
        pair_mass=vec.mass(system),
        boson_pt=vec.pt(pair[0]),
        invisible=invisible.T,
    )


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
    charm = np.where(rng.random(n_events) < 0.5, CHARM, LIGHT)
    one, two = leg.daughters
    bottom = (leg.bottom, np.full(n_events, leg.has_bottom), np.full(n_events, BOTTOM))
    light = np.full(n_events, LIGHT)
    return _joined([bottom, (one, leg.is_hadronic, charm), (two, leg.is_hadronic, light)])


def _large_jet(leg: _Leg) -> Candidate:
    """Make the large jet of one top: all of it, its W, or a single quark."""
    one, two = leg.daughters
    reach = np.maximum(vec.delta_r(one, leg.parent), vec.delta_r(two, leg.parent))
    if leg.has_bottom:
        reach = np.maximum(reach, vec.delta_r(leg.bottom, leg.parent))
    is_whole = leg.is_hadronic & (reach < 0.8)
    is_boson = leg.is_hadronic & ~is_whole & (vec.delta_r(one, two) < 0.9)
    harder = np.where(vec.pt(one) > vec.pt(two), one, two)
    which = [is_whole, is_boson, leg.is_hadronic]
    p4 = np.select(which, [leg.parent, leg.boson, harder], leg.bottom)
    whole = TOP_JET if leg.has_bottom else W_JET
    content = np.select(which, [whole, W_JET, LIGHT_JET], B_JET)
    return p4, leg.is_hadronic | leg.has_bottom, {"content": content}


def _particles(legs: tuple[_Leg, _Leg], resonance: Array | None) -> list[Candidate]:
    """Write GenPart: resonance, tops, then of each top W, b and the W's daughters."""
    lines = [] if resonance is None else [_line(resonance, True, 6000047, -1, 22)]
    first = len(lines)
    for leg in legs:
        pdg_id = (6 if leg.has_bottom else 24) * leg.charge
        lines.append(_line(leg.parent, True, pdg_id, first - 1, 22))
    for i, leg in enumerate(legs):
        boson_at = len(lines)
        up = np.where(leg.is_hadronic, 2 * leg.charge, -leg.lepton_id * leg.charge)
        down = np.where(leg.is_hadronic, -leg.charge, (leg.lepton_id + 1) * leg.charge)
        lines += [
            _line(leg.boson, True, 24 * leg.charge, first + i, 22),
            _line(leg.bottom, leg.has_bottom, 5 * leg.charge, first + i, 23),
            _line(leg.daughters[0], True, up, boson_at, 1),
            _line(leg.daughters[1], True, down, boson_at, 1),
        ]
    return lines


def _bosons(kind: Kind, boson_pt: Array, rng: Rng) -> Batch:
    """Generate a boson (a jet for multijets) of given transverse momentum and what recoils."""
    n_events = len(boson_pt)
    is_multijet = kind.model == "multijet"
    mass_gev = 0.1 * boson_pt if is_multijet else kind.boson_gev
    rapidity, azimuth = rng.normal(0, 1.1, n_events), rng.uniform(-np.pi, np.pi, n_events)
    boson = vec.from_rapidity(boson_pt, rapidity, azimuth, mass_gev)
    is_boosted = boson_pt > kind.threshold_gev
    recoil = _recoil(boson, np.where(is_boosted, 0.5 * kind.heavy_flavour, 0.02), rng)
    has_bottoms = rng.random(n_events) < np.where(is_boosted, kind.heavy_flavour, 0.03)
    quarks = [_quark(*recoil), *_joined(_splitting(boson_pt, has_bottoms, rng))]
    quarks += [_quark(*jet) for jet in _radiation(boson, 30.0, rng)[1:]]
    is_w = rng.random(n_events) < kind.second_boson
    large: list[Candidate] = [
        (recoil[0], True, {"content": np.where(is_w, W_JET, LIGHT_JET)}),
        (quarks[1][0], has_bottoms, {"content": B_JET}),
    ]
    if is_multijet:
        quarks.append(_quark(boson, True, GLUON))
        large.append((boson, True, {"content": LIGHT_JET}))
    leptons, invisible, particles = _boson_decay(kind, boson, rng)
    return _batch(
        {"quarks": quarks, "leptons": leptons, "large": large, "particles": particles},
        invisible=invisible.T,
        pair_mass=vec.mass(boson + recoil[0]),
        boson_pt=boson_pt,
    )


def _recoil(boson: Array, bottom_share: Array, rng: Rng) -> Parton:
    """Make the jet that balances the boson."""
    n_events: int = boson.shape[1]
    jet_pt = vec.pt(boson) * np.clip(rng.normal(1, 0.06, n_events), 0.6, 1.3)
    jet_eta = np.clip(vec.eta(boson) + rng.normal(0, 1.1, n_events), -4.5, 4.5)
    azimuth = vec.phi(-boson) + rng.normal(0, 0.12, n_events)
    quark = np.where(rng.random(n_events) < 0.5, LIGHT, GLUON)
    flavour = np.where(rng.random(n_events) < bottom_share, BOTTOM, quark)
    return vec.from_polar(jet_pt, jet_eta, azimuth, 0.12 * jet_pt), jet_pt > 12, flavour


def _splitting(boson_pt: Array, exists: Array, rng: Rng) -> list[Parton]:
    """Split a gluon into two bottom quarks."""
    n_events = len(boson_pt)
    gluon_pt = 50 + rng.exponential(25 + 0.2 * boson_pt)
    share = rng.uniform(0.25, 0.75, n_events)
    center, azimuth = rng.normal(0, 1.2, n_events), rng.uniform(-np.pi, np.pi, n_events)
    apart, angle = rng.uniform(0.2, 1.6, n_events), rng.uniform(-np.pi, np.pi, n_events)
    pair = []
    for sign, part in ((0.5, share), (-0.5, 1 - share)):
        eta = center + sign * apart * np.cos(angle)
        p4 = vec.from_polar(part * gluon_pt, eta, azimuth + sign * apart * np.sin(angle), 4.7)
        pair.append((p4, exists, np.full(n_events, BOTTOM)))
    return pair


def _boson_decay(
    kind: Kind, boson: Array, rng: Rng
) -> tuple[list[Candidate], Array, list[Candidate]]:
    """Let the boson decay to leptons: those seen, what escapes, and the lines of GenPart."""
    n_events: int = boson.shape[1]
    exists, is_z = kind.model != "multijet", kind.boson_gev > 85
    charge = np.where(rng.random(n_events) < 0.5, 1, -1)
    lepton_id = rng.choice([11, 13, 15], n_events)
    pair = vec.two_body(boson, 0.0, 0.0, rng)
    leptons: list[Candidate] = []
    invisible = np.zeros_like(boson) if is_z else pair[1]
    for lepton, sign in zip(pair, (1, -1) if is_z else (1,), strict=False):
        seen, pdg_id, lost = _seen_lepton(lepton, lepton_id, rng)
        leptons.append((seen, exists, {"pdg_id": pdg_id, "charge": sign * charge}))
        invisible = invisible + lost
    second_id = lepton_id * charge if is_z else (lepton_id + 1) * charge
    lines = [
        _line(boson, exists, 23 if is_z else 24 * charge, -1, 22),
        _line(pair[0], exists, -lepton_id * charge, 0, 1),
        _line(pair[1], exists, second_id, 0, 1),
    ]
    return leptons, invisible[:2] * float(exists), lines
