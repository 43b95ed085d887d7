"""The search in one dict: `config`, as `load_config` and the notebooks take it.

Relative paths are relative to the working directory or, if given, to ``general.base_dir``.
"""

from __future__ import annotations

from typing import Any

from . import NAME
from .corrections import CORRECTIONS, SYSTEMATICS
from .cuts import (
    baseline,
    good_fatjets,
    good_jets,
    good_muons,
    workshop_selection,
)
from .datasets import DATASETS
from .observables import ttbar_chi2, ttbar_mass, workshop_mtt
from .plotting import PLOTTING
from .reconstruction import reconstruct_ttbar
from .skim import PREPROCESS

__all__ = ["config"]

# Eras G (7653.26) and H (8740.12 per pb) with the golden JSON of `datasets`.
LUMI_IPB = 16393.4

OBJECTS = [("Muon", None), ("Jet", None), ("FatJet", None), ("PuppiMET", None)]

# No cut reads a jet's momentum, so that no jet energy shift changes which events are selected:
# (Jet, jetId) only counts the good jets.
CUT_COLUMNS = [("Muon", "pt"), ("Jet", "jetId"), ("FatJet", "pt"), ("PuppiMET", "pt")]

GOOD_OBJECT_MASKS: list[dict[str, Any]] = [
    {
        "object": "Muon",
        "function": good_muons,
        "use": [("Muon", name) for name in ("pt", "eta", "tightId", "miniIsoId")],
    },
    {
        "object": "Jet",
        "function": good_jets,
        "use": [("Jet", "jetId"), ("Jet", "btagDeepB")],
    },
    {
        "object": "FatJet",
        "function": good_fatjets,
        "use": [("FatJet", "pt"), ("FatJet", "particleNet_TvsQCD")],
    },
]


WORKSHOP_MTT: dict[str, Any] = {
    "name": "workshop_mtt",
    "binning": "200,3000,20",
    "label": r"$m(t\bar{t})$ [GeV]",
    "function": workshop_mtt,
    "use": OBJECTS,
}
MTT_CHI2: dict[str, Any] = {
    "name": "mtt_chi2",
    "binning": "200,3000,20",
    "label": r"$m(t\bar{t})$, smallest $\chi^2$ [GeV]",
    "function": ttbar_mass,
    "use": [("ttbar_reco", None)],
}
CHI2: dict[str, Any] = {
    "name": "chi2",
    "binning": "0,200,20",
    "label": r"$\chi^2$",
    "function": ttbar_chi2,
    "use": [("ttbar_reco", None)],
}

config: dict[str, Any] = {
    "general": {
        "lumi": LUMI_IPB,
        "weight_branch": "genWeight",
        "output_dir": f"outputs/{NAME}",
    },
    "preprocess": PREPROCESS,
    "datasets": DATASETS,
    "good_object_masks": {"analysis": GOOD_OBJECT_MASKS},
    "baseline_selection": {
        "function": baseline,
        "use": [("Muon", "pt"), ("Jet", "jetId")],
    },
    "ghost_observables": [
        {
            "names": ("chi2", "mtt"),
            "collections": ("ttbar_reco", "ttbar_reco"),
            "function": reconstruct_ttbar,
            "use": OBJECTS,
        },
    ],
    "channels": [
        {
            "name": "CMS_WORKSHOP",
            "fit_observable": "workshop_mtt",
            "observables": [WORKSHOP_MTT, MTT_CHI2, CHI2],
            "selection": {"function": workshop_selection, "use": CUT_COLUMNS},
        },
    ],
    "corrections": CORRECTIONS,
    "systematics": SYSTEMATICS,
    # bins below the boosted regime hold hardly any simulated event: they are merged
    "statistics": {"masses_gev": {"signal": 2000.0}, "rebin": 10},
    "plotting": PLOTTING,
}
