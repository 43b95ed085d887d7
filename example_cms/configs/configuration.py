"""The search in one dict: `config`, as `load_config` and the notebooks take it.

Relative paths are relative to the working directory or, if given, to ``general.base_dir``.
"""

from __future__ import annotations

from typing import Any

from . import NAME
from .corrections import CORRECTIONS
from .corrections.quality import VETO
from .cuts import baseline, channel_selection, good_fatjets, good_jets, good_muons
from .datasets import DATASETS, LUMI_IPB
from .observables import ttbar_chi2, ttbar_mass, workshop_mtt
from .plotting import PLOTTING
from .reconstruction import reconstruct_ttbar
from .signals import MASSES_GEV, of_width
from .skim import PREPROCESS

__all__ = ["config"]

OBJECTS = [("Muon", None), ("Jet", None), ("FatJet", None), ("MET", None)]

GOOD_OBJECT_MASKS: list[dict[str, Any]] = [
    {
        "object": "Muon",
        "function": good_muons,
        "use": [("Muon", name) for name in ("pt", "eta", "tightId", "highPtId", "tkIsoId")],
    },
    {
        "object": "Jet",
        "function": good_jets,
        "use": [
            *(("Jet", name) for name in ("pt", "eta", "phi", "jetId", "puId")),
            ("Muon", None),
        ],
    },
    {
        "object": "FatJet",
        "function": good_fatjets,
        "use": [("FatJet", name) for name in ("pt", "eta", "particleNet_TvsQCD")],
    },
]

# 140 GeV up to 3 TeV, then as wide as the signals, which are simulated up to 9 TeV.
MTT_EDGES_GEV = (*range(200, 3000, 140), 3000, 3500, 4000, 5000, 6000, 8000, 10000)

OBSERVABLES: list[dict[str, Any]] = [
    {
        "name": "workshop_mtt",
        "binning": MTT_EDGES_GEV,
        "label": r"$m(t\bar{t})$ [GeV]",
        "function": workshop_mtt,
        "use": OBJECTS,
    },
    {
        "name": "mtt_chi2",
        "binning": MTT_EDGES_GEV,
        "label": r"$m(t\bar{t})$, smallest $\chi^2$ [GeV]",
        "function": ttbar_mass,
        "use": [("ttbar_reco", None)],
    },
    {
        "name": "chi2",
        "binning": "0,200,20",
        "label": r"$\chi^2$",
        "function": ttbar_chi2,
        "use": [("ttbar_reco", None)],
    },
]


def _channel(name: str, *, has_b_tag: bool) -> dict[str, Any]:
    columns = [("Muon", "pt"), ("Jet", "btagDeepFlavB"), ("FatJet", "pt"), ("MET", "pt")]
    return {
        "name": name,
        "fit_observable": "workshop_mtt",
        "observables": OBSERVABLES,
        "selection": {
            "function": channel_selection,
            "use": columns,
            "static_kwargs": {"has_b_tag": has_b_tag},
        },
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
        "use": [("Muon", "pt"), ("Jet", "pt"), VETO],
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
        _channel("one_b_tag", has_b_tag=True),
        _channel("no_b_tag", has_b_tag=False),
    ],
    "corrections": CORRECTIONS,
    # One mass scan: the other widths are `of_width(1)` and `of_width(30)`.
    "statistics": {"signals": of_width(10), "masses_gev": MASSES_GEV},
    "plotting": PLOTTING,
}
