"""Which events and which columns a skim keeps."""

from __future__ import annotations

from typing import Any

from .cuts import skim_selection

__all__ = ["PREPROCESS"]

PREPROCESS: dict[str, Any] = {
    "branches": {
        # NanoEvents makes no muon without its charge
        "Muon": ["pt", "eta", "phi", "mass", "charge", "tightId", "miniIsoId"],
        "Jet": ["pt", "eta", "phi", "mass", "jetId", "btagDeepB"],
        "FatJet": ["pt", "eta", "phi", "mass", "particleNet_TvsQCD"],
        "PuppiMET": ["pt", "phi"],
        "HLT": ["TkMu50"],
        "Pileup": ["nTrueInt"],
        "event": ["run", "luminosityBlock", "event", "genWeight"],
    },
    "mc_branches": {"Pileup": ["nTrueInt"], "event": ["genWeight"]},
    "ignore_missing": False,
    "skimming": {
        "function": skim_selection,
        "use": [("HLT", "TkMu50"), ("PuppiMET", "pt")],
        "chunk_size": 100_000,
        "tree_name": "Events",
        "output": {"format": "parquet"},
    },
}
