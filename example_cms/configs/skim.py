"""Which events and which columns a skim keeps."""

from __future__ import annotations

from typing import Any

from .cuts import MET_FILTERS, MUON_TRIGGERS, NOT_IN_2016, skim_selection

__all__ = ["PREPROCESS"]

MC_ONLY: dict[str, list[str]] = {
    "Jet": ["genJetIdx", "hadronFlavour"],
    # coffea makes no four-vectors without all of their columns
    "GenJet": ["pt", "eta", "phi", "mass"],
    "FatJet": ["genJetAK8Idx"],
    "GenJetAK8": ["pt", "eta", "phi", "mass"],
    "GenPart": ["pt", "eta", "phi", "mass", "pdgId", "statusFlags", "genPartIdxMother"],
    "Pileup": ["nTrueInt"],
    "MET": ["MetUnclustEnUpDeltaX", "MetUnclustEnUpDeltaY"],
    "L1PreFiringWeight": ["Nom", "Up", "Dn"],
    "event": ["genWeight", "LHEScaleWeight", "LHEPdfWeight", "PSWeight"],
}
BOTH: dict[str, list[str]] = {
    # NanoEvents makes no muon without its charge
    "Muon": ["pt", "eta", "phi", "mass", "charge", "tightId", "highPtId", "tkIsoId"],
    "Jet": [
        *("pt", "eta", "phi", "mass", "rawFactor", "area", "jetId", "puId", "btagDeepFlavB"),
        *("muonSubtrFactor", "chEmEF", "neEmEF"),
    ],
    "FatJet": ["pt", "eta", "phi", "mass", "rawFactor", "jetId", "particleNet_TvsQCD"],
    "MET": ["pt", "phi"],
    "HLT": list(MUON_TRIGGERS),
    "Flag": [*MET_FILTERS, NOT_IN_2016],
    "event": ["run", "luminosityBlock", "event", "fixedGridRhoFastjetAll"],
}

PREPROCESS: dict[str, Any] = {
    "branches": {name: BOTH.get(name, []) + MC_ONLY.get(name, []) for name in BOTH | MC_ONLY},
    "mc_branches": MC_ONLY,
    "ignore_missing": True,  # each year has its own triggers, pythia alone no LHE weights
    "skimming": {
        "function": skim_selection,
        "use": [
            ("HLT", None),
            ("Muon", "pt"),
            *(("Flag", name) for name in (NOT_IN_2016, *MET_FILTERS)),
        ],
        "chunk_size": 200_000,
        "tree_name": "Events",
        "output": {"format": "ttree"},
    },
}
