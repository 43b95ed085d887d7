"""Corrections of the simulation and their uncertainties.

The files are those of the CMS physics object groups for 2016postVFP (correctionlib JSON). B-tag
scale factors are left out on purpose: the published shape factors belong to the DeepJet score,
while the jets here are chosen by DeepCSV above 0.5, which is no published working point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak

from intccms.schema.base import Sys

from . import NAME

__all__ = ["CORRECTIONS", "JES_SOURCES", "SYSTEMATICS", "absolute_eta", "constant"]

FILES = f"{NAME}/corrections"
JEC_CAMPAIGN = "Summer19UL16_V7_MC"

JES_SOURCES = (
    "AbsoluteMPFBias",
    "AbsoluteScale",
    "AbsoluteStat",
    "FlavorQCD",
    "Fragmentation",
    "PileUpDataMC",
    "PileUpPtBB",
    "PileUpPtEC1",
    "PileUpPtEC2",
    "PileUpPtHF",
    "PileUpPtRef",
    "RelativeBal",
    "RelativeFSR",
    "RelativeJEREC1",
    "RelativeJEREC2",
    "RelativeJERHF",
    "RelativePtBB",
    "RelativePtEC1",
    "RelativePtEC2",
    "RelativePtHF",
    "RelativeSample",
    "RelativeStatEC",
    "RelativeStatFSR",
    "RelativeStatHF",
    "SinglePionECAL",
    "SinglePionHCAL",
    "TimePtEta",
)


def absolute_eta(eta: ak.Array, pt: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Give a muon scale factor what it is measured in: bins of |η| and transverse momentum."""
    return abs(eta), pt


def constant(value: float) -> Callable[[], float]:
    """Make a function that gives every event the same factor."""

    def factor() -> float:
        return value

    return factor


def _muon_scale_factor(name: str, key: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "event",
        "file": f"{FILES}/muon_Z.json.gz",
        "key": key,
        "use_correctionlib": True,
        "args": [("Muon", "eta"), ("Muon", "pt"), Sys()],
        "transform_in": absolute_eta,
        "reduce": "prod",
        "op": "mult",
        "uncertainty_sources": [{"name": name, "up_and_down_idx": ["systup", "systdown"]}],
    }


def _cross_section(name: str, processes: list[str], *, up: float, down: float) -> dict[str, Any]:
    return {
        "name": name,
        "type": "event",
        "use_correctionlib": False,
        "args": [],
        "op": "mult",
        "uncertainty_sources": [
            {
                "name": name,
                "up_function": constant(up),
                "down_function": constant(down),
                "is_delta": True,
                "processes": processes,
            }
        ],
    }


CORRECTIONS: list[dict[str, Any]] = [
    # The jets of open data are calibrated already: no `key`, so no nominal change, and each
    # source shifts the transverse momentum by its own relative uncertainty.
    {
        "name": "jes",
        "type": "object",
        "target": ("Jet", "pt"),
        "file": f"{FILES}/jet_jerc.json.gz",
        "use_correctionlib": True,
        "args": [("Jet", "eta"), ("Jet", "pt")],
        "op": "mult",
        "uncertainty_sources": [
            {
                "name": f"jes{source}",
                "key": f"{JEC_CAMPAIGN}_{source}_AK4PFchs",
                "is_delta": True,
            }
            for source in JES_SOURCES
        ],
    },
    {
        "name": "pileup",
        "type": "event",
        "file": f"{FILES}/puWeights.json.gz",
        "key": "Collisions16_UltraLegacy_goldenJSON",
        "use_correctionlib": True,
        "args": [("Pileup", "nTrueInt"), Sys()],
        "op": "mult",
        "uncertainty_sources": [{"name": "pileup", "up_and_down_idx": ["up", "down"]}],
    },
    _muon_scale_factor("muon_id_sf", "NUM_TightID_DEN_TrackerMuons"),
    # No factor is published for mini-isolation. Its cone shrinks with momentum, so the loose
    # relative isolation of the same muons comes closest.
    _muon_scale_factor("muon_iso_sf", "NUM_LooseRelIso_DEN_TightIDandIPCut"),
    # Measured for Mu50 or TkMu50 and for high-momentum muons; the trigger here is TkMu50 alone.
    _muon_scale_factor(
        "muon_trigger_sf", "NUM_Mu50_or_TkMu50_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose"
    ),
    # Scale, parton distributions and strong coupling in quadrature: +40.2 -45.6 pb of 831.76,
    # +-2330 pb of 61526.7. The heavy flavour in W boson events is known less well than that.
    _cross_section("xsec_ttbar", ["ttbar_semilep", "ttbar_had", "ttbar_lep"], up=1.048, down=0.945),
    _cross_section("xsec_wjets", ["wjets"], up=1.038, down=0.962),
]

SYSTEMATICS: list[dict[str, Any]] = [
    # Luminosity of 2016, arXiv:2104.01927.
    {
        "name": "lumi",
        "type": "event",
        "op": "mult",
        "up_function": constant(1.012),
        "down_function": constant(0.988),
    },
]
