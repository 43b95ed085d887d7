"""The analysis of the benchmark: the example's, with jets that their energy can move past a cut.

All rows do this: its numbers stand here once, for the rivals too.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np

from example_opendata.configs.configuration import GOOD_OBJECT_MASKS, WORKSHOP_MTT, config
from example_opendata.configs.corrections import JEC_CAMPAIGN, JES_SOURCES

__all__ = [
    "BRANCHES",
    "CHANNEL",
    "EDGES",
    "MANY_SOURCES",
    "OBSERVABLE",
    "PROCESSES",
    "good_jets",
    "make_config",
    "source_keys",
]

CHANNEL, OBSERVABLE = "CMS_WORKSHOP", "workshop_mtt"
EDGES = np.linspace(200.0, 3000.0, 21)
MIN_JET_PT = 30.0  # GeV: the cut that makes each shift select other events
PROCESSES = tuple(
    entry["name"] for entry in config["datasets"]["datasets"] if not entry.get("is_data")
)

BRANCHES = (
    "HLT_TkMu50",
    "PuppiMET_pt",
    "PuppiMET_phi",
    "genWeight",
    "Pileup_nTrueInt",
    *(f"Muon_{name}" for name in ("pt", "eta", "phi", "mass", "tightId", "miniIsoId")),
    *(f"Jet_{name}" for name in ("pt", "eta", "phi", "mass", "jetId", "btagDeepB")),
    *(f"FatJet_{name}" for name in ("pt", "eta", "phi", "mass", "particleNet_TvsQCD")),
)

JES_FILE = "example_opendata/corrections/jet_jerc.json.gz"
MANY_SOURCES = ("benchmark/jes_100.json.gz", 100)  # file and number of sources


def good_jets(jet_id: ak.Array, btag_deepcsv: ak.Array, pt: ak.Array) -> ak.Array:
    """Jets as in the example, and above a momentum that is not a cut there."""
    return (jet_id >= 4) & (btag_deepcsv > 0.5) & (pt > MIN_JET_PT)


def source_keys(n_sources: int) -> tuple[str, dict[str, str]]:
    """Give the correction file and, by name of the nuisance, the keys of `n_sources` in it."""
    if n_sources <= len(JES_SOURCES):
        keys = {f"jes{s}": f"{JEC_CAMPAIGN}_{s}_AK4PFchs" for s in JES_SOURCES[:n_sources]}
        return JES_FILE, keys
    return MANY_SOURCES[0], {f"jes{i}": f"Bench_V1_MC_{i}_AK4PFchs" for i in range(n_sources)}


def _shifting(path: str, key: str, sign: int) -> Callable[[ak.Array, ak.Array], ak.Array]:
    """Make a function as users write them: jagged in, jagged out."""
    evaluator = correctionlib.CorrectionSet.from_file(path)[key]

    def shift(eta: ak.Array, pt: ak.Array) -> ak.Array:
        flat = evaluator.evaluate(ak.flatten(eta), ak.flatten(pt))
        return ak.unflatten(1 + sign * flat, ak.num(pt))

    return shift


def _jes(base_dir: Path, n_sources: int, *, closures: bool) -> dict[str, Any]:
    file, keys = source_keys(n_sources)
    correction: dict[str, Any] = {
        "name": "jes",
        "type": "object",
        "target": ("Jet", "pt"),
        "args": [("Jet", "eta"), ("Jet", "pt")],
        "op": "mult",
    }
    if not closures:
        sources = [{"name": k, "key": v, "is_delta": True} for k, v in keys.items()]
        return {**correction, "file": file, "uncertainty_sources": sources}
    path = str(base_dir / file)
    sources = [
        {
            "name": name,
            "up_function": _shifting(path, key, 1),
            "down_function": _shifting(path, key, -1),
            "is_delta": True,
        }
        for name, key in keys.items()
    ]
    return {**correction, "use_correctionlib": False, "uncertainty_sources": sources}


def make_config(
    base_dir: Path, *, n_sources: int = 0, weights: bool = False, closures: bool = False
) -> dict[str, Any]:
    """Give the configuration for a sample.

    Parameters
    ----------
    base_dir
        Folder of the sample.
    n_sources
        Sources of jet energy, each a shift up and one down.
    weights
        Whether there are weight variations; their nominal factors are always there.
    closures
        Whether the sources are functions of the user.
    """
    left_out = ("ghost_observables", "statistics", "plotting")
    made = deepcopy({key: value for key, value in config.items() if key not in left_out})
    masks = deepcopy(GOOD_OBJECT_MASKS)
    masks[1] = {
        "object": "Jet",
        "function": good_jets,
        "use": [("Jet", "jetId"), ("Jet", "btagDeepB"), ("Jet", "pt")],
    }
    made["good_object_masks"] = {"analysis": masks}
    made["channels"][0]["observables"] = [WORKSHOP_MTT]
    events = [one for one in made["corrections"] if one["type"] == "event"]
    if not weights:
        events = [{**one, "uncertainty_sources": []} for one in events if one["use_correctionlib"]]
        made["systematics"] = []
    made["corrections"] = events
    if n_sources:
        made["corrections"] = [_jes(base_dir, n_sources, closures=closures), *events]
    datasets = made["datasets"]["datasets"]
    made["datasets"]["datasets"] = [one for one in datasets if not one.get("is_data")]
    made["general"]["base_dir"] = str(base_dir)
    return made
