"""Which jets are to be trusted: pile-up identification, and maps of bad parts of the detector."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from intccms.schema.base import Sys

from ..cuts import PILEUP_GEV, no_pileup
from ..years import Year

__all__ = ["VETO", "pileup_identification", "veto_map"]

VETO = ("Flag", "jetVetoMap")  # a column that a correction makes for the selection
VETO_LIKE = ("Flag", "goodVertices")  # one of the file, of the same form
MAP_ETA, MAP_PHI = 5.19, 3.14159  # within the edges of the map
LOWEST_GEV = 15.0
MOST_ELECTROMAGNETIC = 0.9
MUON_DELTA_R = 0.2


def veto_map(year: Year) -> dict[str, Any]:
    """Flag of events without a jet where the detector is known to make or to lose jets.

    Jets of all kinds count: from 15 GeV, tightly identified, no pile-up, not electromagnetic and
    without a muon near; calibrated, but neither smeared nor varied.
    https://cms-jerc.web.cern.ch/Recommendations/#jet-veto-maps
    """
    return {
        "name": "jet_veto_map",
        "type": "object",
        "target": VETO,
        "applies_to": "both",
        "file": year.file("jetvetomaps.json.gz"),
        "key": f"{year.jec.partition('_')[0]}_V1",
        "args": ["jetvetomap", ("Jet", None), ("Muon", None), VETO_LIKE],
        "transform_in": on_the_map,
        "transform_out": outside_of_the_map,
    }


def on_the_map(jets: ak.Array, *_: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Give the map angles that it has: in NanoAOD's 32 bits, π is more than π."""
    eta = np.minimum(np.maximum(jets.eta, -MAP_ETA), MAP_ETA)
    return eta, np.minimum(np.maximum(jets.phi, -MAP_PHI), MAP_PHI)


def outside_of_the_map(spot: ak.Array, jets: ak.Array, muons: ak.Array, _: ak.Array) -> ak.Array:
    """Say for each event whether no jet that counts is in a spot of the map."""
    counts = (jets.pt > LOWEST_GEV) & (jets.jetId & 2 > 0) & no_pileup(jets.pt, jets.puId)
    counts = counts & (jets.chEmEF + jets.neEmEF < MOST_ELECTROMAGNETIC) & (spot != 0)
    delta_eta, delta_phi = (
        jet - muon
        for jet, muon in (
            ak.unzip(ak.cartesian([ak.Array(jets[name]), ak.Array(muons[name])], nested=True))
            for name in ("eta", "phi")
        )
    )
    delta_phi = (delta_phi + np.pi) % (2 * np.pi) - np.pi
    is_muon = ak.any(delta_eta**2 + delta_phi**2 < MUON_DELTA_R**2, axis=2)
    return ~ak.any(ak.Array(counts) & ~is_muon, axis=1)


def pileup_identification(year: Year) -> dict[str, Any]:
    """Efficiency of the loose identification, for the good jets that it is asked of."""
    return {
        "name": "pileup_jet_id",
        "type": "event",
        "file": year.file("jmar.json.gz"),
        "key": "PUJetID_eff",
        "args": [*(("Jet", name) for name in ("eta", "pt", "genJetIdx")), Sys(), "L"],
        "nominal_idx": "nom",
        "transform_in": real_and_soft,
        "reduce": "prod",
        "uncertainty_sources": [{"name": f"pileup_jet_id_{year.name}"}],
    }


def real_and_soft(eta: ak.Array, pt: ak.Array, generated: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Give jets below 50 GeV with a generated one: the factors are those of no others."""
    kept = (pt < PILEUP_GEV) & (generated >= 0)
    return eta[kept], pt[kept]
