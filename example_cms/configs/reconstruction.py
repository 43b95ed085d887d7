"""Top quark pairs from one muon, missing momentum and jets, by the smallest χ².

A hypothesis says which jet comes with the muon and what the other top quark decayed to. Its
χ² compares both masses with what correct hypotheses give in simulation; the best one of an
event yields m(tt̄). The method and the numbers are those of arXiv:1810.05905.
"""

from __future__ import annotations

from dataclasses import dataclass

import awkward as ak
import numpy as np
import numpy.typing as npt

from .kinematics import Floats, FourVector, delta_r, flat, has_any, leading, numbers

__all__ = ["NO_CHI2", "NO_MASS", "neutrino_pz", "reconstruct_ttbar"]

Integers = npt.NDArray[np.int64]

W_MASS = 80.4  # GeV

# (mean, resolution) in GeV of the reconstructed mass of a top quark that decayed to ...
LEPTONIC = (175.0, 19.0)  # ... muon, neutrino and jet
MERGED = (173.0, 15.0)  # ... one large-radius jet
RESOLVED = (177.0, 16.0)  # ... several small jets

SEPARATION = 1.2  # least ΔR between the large-radius jet and the jet on the muon's side

# Values of an event without any hypothesis: outside the range of every histogram, and a χ² that
# no pair of masses up to the collision energy reaches.
NO_CHI2 = 1e9
NO_MASS = -1.0


@dataclass(frozen=True, slots=True)
class _Hypotheses:
    """Candidate assignments, any number per event."""

    event: Integers  # number of the event in the arrays
    lepton_jet: FourVector
    hadronic_top: FourVector
    expected: tuple[float, float]  # one of the pairs above, for the hadronic top


@dataclass(frozen=True, slots=True)
class _Jets:
    """Jets of all events end to end."""

    event: Integers  # number of the event a jet belongs to
    p4: FourVector
    eta: Floats
    phi: Floats


def neutrino_pz(
    muon: FourVector, met_px: Floats, met_py: Floats, *, w_mass: float = W_MASS
) -> tuple[Floats, Floats]:
    """Longitudinal momenta in GeV for which muon and neutrino have the W boson's mass.

    Parameters
    ----------
    muon
        One per event.
    met_px, met_py
        Missing transverse momentum in GeV, taken as the neutrino's.
    w_mass
        Mass of the W boson in GeV.

    Returns
    -------
    tuple of shape (n_events,) each
        Both solutions of the quadratic equation. Where they are complex (transverse mass
        above `w_mass`) both are the real part.
    """
    # E² - pz² of the muon; 1 where there is no muon, so that nothing is divided by 0.
    transverse = muon.px**2 + muon.py**2 + muon.mass**2
    transverse = np.where(transverse > 0, transverse, 1.0)
    half = (w_mass**2 - muon.mass**2) / 2 + muon.px * met_px + muon.py * met_py
    discriminant = half**2 - transverse * (met_px**2 + met_py**2)
    centre = half * muon.pz / transverse
    distance = muon.energy * np.sqrt(np.maximum(discriminant, 0.0)) / transverse
    return centre + distance, centre - distance


def reconstruct_ttbar(
    muons: ak.Array, jets: ak.Array, fatjets: ak.Array, met: ak.Array
) -> tuple[ak.Array, ak.Array]:
    """χ² and mass of the best top quark pair of each event.

    In an event with a large-radius jet the leading one is the hadronic top, and the leptonic
    one has any jet away from it. Otherwise the hadronic top is the sum of one, two or three of
    the jets that the leptonic top leaves.

    Parameters
    ----------
    muons, jets, fatjets, met
        One list per event (`met`: one record), sorted by transverse momentum. The first muon
        counts.

    Returns
    -------
    chi2, mtt : shape (n_events,) each
        ``NO_CHI2`` and ``NO_MASS`` (GeV) for an event without muon or without hypothesis.
    """
    muon = FourVector.leading(muons)
    met_pt, met_phi = numbers(met.pt), numbers(met.phi)
    met_px, met_py = met_pt * np.cos(met_phi), met_pt * np.sin(met_phi)
    has_muon, has_fatjet = (ak.to_numpy(has_any(objects)) for objects in (muons, fatjets))

    flat_jets = _flat_jets(jets)
    candidates = [
        _merged(flat_jets, fatjets, usable=has_muon & has_fatjet),
        *_resolved(flat_jets, usable=has_muon & ~has_fatjet),
    ]
    event, chi2, mass = [], [], []
    for pz in neutrino_pz(muon, met_px, met_py):
        energy = np.sqrt(met_px**2 + met_py**2 + pz**2)
        leptonic_w = muon + FourVector(met_px, met_py, pz, energy)
        for hypotheses in candidates:
            leptonic_top = leptonic_w[hypotheses.event] + hypotheses.lepton_jet
            event.append(hypotheses.event)
            chi2.append(_chi2(leptonic_top, hypotheses))
            mass.append((leptonic_top + hypotheses.hadronic_top).mass)
    return _best(
        np.concatenate(event), np.concatenate(chi2), np.concatenate(mass), n_events=len(met_pt)
    )


def _flat_jets(jets: ak.Array) -> _Jets:
    counts = ak.to_numpy(ak.num(jets.pt, axis=1))
    eta, phi = flat(jets.eta), flat(jets.phi)
    p4 = FourVector.from_polar(flat(jets.pt), eta, phi, flat(jets.mass))
    return _Jets(np.repeat(np.arange(len(counts)), counts), p4, eta, phi)


def _merged(jets: _Jets, fatjets: ak.Array, *, usable: npt.NDArray[np.bool_]) -> _Hypotheses:
    """One hypothesis for each jet away from the leading large-radius jet."""
    eta, phi = leading(fatjets.eta)[jets.event], leading(fatjets.phi)[jets.event]
    away = delta_r(jets.eta, jets.phi, eta, phi) > SEPARATION
    chosen = np.flatnonzero(usable[jets.event] & away)
    event = jets.event[chosen]
    return _Hypotheses(event, jets.p4[chosen], FourVector.leading(fatjets)[event], MERGED)


def _resolved(jets: _Jets, *, usable: npt.NDArray[np.bool_]) -> list[_Hypotheses]:
    """Every way to give one jet to the muon and one to three others to the hadronic top."""
    counts = np.bincount(jets.event, minlength=len(usable)) * usable
    positions = ak.unflatten(np.flatnonzero(usable[jets.event]), counts)
    hypotheses = []
    for n_jets in (2, 3, 4):
        combinations = ak.combinations(positions, n_jets, axis=1)
        members = [ak.to_numpy(ak.flatten(m, axis=1)) for m in ak.unzip(combinations)]
        for choice, lepton_jet in enumerate(members):
            first, *others = members[:choice] + members[choice + 1 :]
            hadronic_top = jets.p4[first]
            for other in others:
                hadronic_top = hadronic_top + jets.p4[other]
            hypotheses.append(
                _Hypotheses(jets.event[lepton_jet], jets.p4[lepton_jet], hadronic_top, RESOLVED)
            )
    return hypotheses


def _chi2(leptonic_top: FourVector, hypotheses: _Hypotheses) -> Floats:
    mean, resolution = hypotheses.expected
    leptonic = (leptonic_top.mass - LEPTONIC[0]) / LEPTONIC[1]
    hadronic = (hypotheses.hadronic_top.mass - mean) / resolution
    return leptonic**2 + hadronic**2


def _best(
    event: Integers, chi2: Floats, mass: Floats, *, n_events: int
) -> tuple[ak.Array, ak.Array]:
    """Values of the hypothesis with the smallest χ² of each event."""
    best_chi2, best_mass = np.full(n_events, NO_CHI2), np.full(n_events, NO_MASS)
    np.minimum.at(best_chi2, event, chi2)
    # backwards, so that of equal hypotheses the first one's mass is what stays
    winners = np.flatnonzero(chi2 == best_chi2[event])[::-1]
    best_mass[event[winners]] = mass[winners]
    return ak.Array(best_chi2), ak.Array(best_mass)
