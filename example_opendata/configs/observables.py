"""Quantities whose histograms are filled."""

from __future__ import annotations

import awkward as ak
import numpy as np

from .kinematics import FourVector, has_any, numbers
from .reconstruction import NO_MASS

__all__ = ["ttbar_chi2", "ttbar_mass", "workshop_mtt"]


def workshop_mtt(muons: ak.Array, jets: ak.Array, fatjets: ak.Array, met: ak.Array) -> ak.Array:
    """Mass in GeV of leading muon, leading jet, leading large-radius jet and missing momentum.

    The missing momentum enters without longitudinal part, as in the CMS open-data workshop of
    2024. An event that lacks one of the objects gets ``NO_MASS``.
    """
    met_pt = numbers(met.pt)
    nothing = np.zeros_like(met_pt)
    total = FourVector.from_polar(met_pt, nothing, numbers(met.phi), nothing)
    for objects in (muons, fatjets, jets):
        total = total + FourVector.leading(objects)
    complete = has_any(muons) & has_any(fatjets) & has_any(jets)
    return ak.Array(np.where(complete, total.mass, NO_MASS))


def ttbar_mass(ttbar_reco: ak.Array) -> ak.Array:
    """m(tt̄) in GeV of the hypothesis with the smallest χ²."""
    return ttbar_reco.mtt


def ttbar_chi2(ttbar_reco: ak.Array) -> ak.Array:
    """Smallest χ² of the reconstructed top quark pair."""
    return ttbar_reco.chi2
