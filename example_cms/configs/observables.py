"""Quantities whose histograms are filled."""

from __future__ import annotations

import awkward as ak
import numpy as np

from .kinematics import FourVector, has_any
from .reconstruction import NO_MASS

__all__ = ["ttbar_chi2", "ttbar_mass", "workshop_mtt"]


def workshop_mtt(muons: ak.Array, jets: ak.Array, fatjets: ak.Array, met: ak.Array) -> ak.Array:
    """Mass in GeV of leading muon, leading jet, leading large-radius jet and missing momentum.

    The missing momentum enters without longitudinal part, as in the CMS open-data workshop of
    2024. An event that lacks one of the objects gets ``NO_MASS``.
    """
    met_pt, met_phi = (ak.values_astype(column, np.float64) for column in (met.pt, met.phi))
    total = FourVector.from_polar(met_pt, 0 * met_pt, met_phi, 0 * met_pt)
    for objects in (muons, fatjets, jets):
        total = total + FourVector.first(objects)
    complete = has_any(muons) & has_any(fatjets) & has_any(jets)
    return ak.where(complete, total.mass, NO_MASS)


def ttbar_mass(ttbar_reco: ak.Array) -> ak.Array:
    """m(tt̄) in GeV of the hypothesis with the smallest χ²."""
    return ttbar_reco.mtt


def ttbar_chi2(ttbar_reco: ak.Array) -> ak.Array:
    """Smallest χ² of the reconstructed top quark pair."""
    return ttbar_reco.chi2
