"""A configuration for the tests of the engine, as a physicist would write it."""

from __future__ import annotations

from itertools import count
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from intccms.schema.base import ObjVar, Sys

N_JES = 27
OUT = TemporaryDirectory()
NUMBERS = count()


def good_muons(muons: ak.Array) -> ak.Array:
    return (muons.pt > 40) & muons.tightId


def good_jets(jets: ak.Array) -> ak.Array:
    return (jets.pt > 35) & (jets.btagDeepB > 0.3)


def skim(met: ak.Array, hlt: ak.Array) -> PackedSelection:
    selection = PackedSelection()
    selection.add("trigger", hlt.TkMu50)
    selection.add("met", met.pt > 20)
    selection.add("skim", selection.all("trigger", "met"))
    return selection


def baseline(muons: ak.Array, jets: ak.Array) -> PackedSelection:
    selection = PackedSelection()
    selection.add("one_muon", ak.num(muons) == 1)
    selection.add("two_jets", ak.num(jets) >= 2)
    selection.add("baseline", selection.all("one_muon", "two_jets"))
    return selection


def signal_region(
    muons: ak.Array, jets: ak.Array, fatjets: ak.Array, met: ak.Array
) -> PackedSelection:
    selection = PackedSelection()
    selection.add("hard_jet", jets.pt[:, 0] > 60)
    selection.add("fat", ak.sum(fatjets.pt > 150, axis=1) >= 1)
    selection.add("lepton_ht", muons.pt[:, 0] + met.pt > 90)
    selection.add("region", selection.all("hard_jet", "fat", "lepton_ht"))
    return selection


def mass(jets: ak.Array, muons: ak.Array) -> ak.Array:
    jet, muon = jets[:, 0], muons[:, 0]
    px = jet.pt * np.cos(jet.phi) + muon.pt * np.cos(muon.phi)
    py = jet.pt * np.sin(jet.phi) + muon.pt * np.sin(muon.phi)
    return np.sqrt(px**2 + py**2)


def ht(jets: ak.Array) -> ak.Array:
    return ak.sum(jets.pt, axis=1)


def make_config(**general: Any) -> dict[str, Any]:
    """Return the configuration; keyword arguments go to ``general``."""
    jes = [{"name": f"jes{i}", "key": f"jes{i}", "is_delta": True} for i in range(N_JES)]
    return {
        "general": {
            "lumi": 1000.0,
            "weight_branch": "genWeight",
            "output_dir": f"{OUT.name}/{next(NUMBERS)}",  # so that no run finds another's results
            **general,
        },
        "preprocess": {
            "skimming": {
                "function": skim,
                "use": [("PuppiMET", None), ("HLT", None)],
                "chunk_size": 1000,
            }
        },
        "datasets": {
            "datasets": [
                {"name": "ttbar", "directories": "mc/", "cross_sections": 5.0},
                {"name": "data", "directories": "data/", "cross_sections": 1.0, "is_data": True},
            ]
        },
        "good_object_masks": {
            "analysis": [
                {"object": "Muon", "function": good_muons, "use": [("Muon", None)]},
                {"object": "Jet", "function": good_jets, "use": [("Jet", None)]},
            ]
        },
        "baseline_selection": {"function": baseline, "use": [("Muon", None), ("Jet", None)]},
        "ghost_observables": [
            {"names": "ht", "collections": "sums", "function": ht, "use": [("Jet", None)]}
        ],
        "channels": [
            {
                "name": "SR",
                "fit_observable": "mass",
                "observables": [
                    {
                        "name": "mass",
                        "binning": "0,600,12",
                        "label": "m [GeV]",
                        "function": mass,
                        "use": [("Jet", None), ("Muon", None)],
                    },
                    {
                        "name": "ht",
                        "binning": [0, 100, 200, 400, 1000],
                        "function": lambda sums: sums.ht,
                        "use": [("sums", None)],
                    },
                ],
                "selection": {
                    "function": signal_region,
                    "use": [
                        ("Muon", None),
                        ("Jet", None),
                        ("FatJet", None),
                        ("PuppiMET", None),
                    ],
                },
            },
            {
                "name": "INCLUSIVE",
                "fit_observable": "mu_pt",
                "observables": [
                    {
                        "name": "mu_pt",
                        "binning": "0,400,8",
                        "function": lambda pt: pt[:, 0],
                        "use": [ObjVar("Muon", "pt")],
                    }
                ],
            },
        ],
        "corrections": [
            {
                "name": "jes",
                "type": "object",
                "file": "corrections.json",
                "args": [ObjVar("Jet", "eta"), ObjVar("Jet", "pt")],
                "target": ObjVar("Jet", "pt"),
                "op": "mult",
                "uncertainty_sources": jes,
            },
            {
                "name": "pileup",
                "type": "event",
                "file": "corrections.json",
                "key": "pileup",
                "args": [ObjVar("Pileup", "nTrueInt"), Sys()],
                "uncertainty_sources": [{"name": "pileup"}],
            },
            {
                "name": "muon_id",
                "type": "event",
                "file": "corrections.json",
                "key": "muon",
                "args": [ObjVar("Muon", "eta"), ObjVar("Muon", "pt"), Sys()],
                "transform_in": lambda eta, pt: (np.abs(eta)[:, 0], pt[:, 0]),
                "uncertainty_sources": [
                    {"name": "muon_id", "up_and_down_idx": ["systup", "systdown"]}
                ],
            },
        ],
        "systematics": [
            {
                "name": "jet_resolution",
                "type": "object",
                "target": ("Jet", "pt"),
                "use": [("Jet", "pt")],
                "op": "mult",
                "up_function": lambda pt: 1.0 + 2.0 / pt,
                "symmetrise": True,
            },
            {
                "name": "norm",
                "type": "event",
                "op": "mult",
                "up_function": lambda: 1.1,
                "down_function": lambda: 0.9,
            },
        ],
    }
