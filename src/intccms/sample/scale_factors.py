"""Corrections of pile-up and of muon efficiencies in correctionlib's schema."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

from correctionlib import schemav2

from intccms.sample import pileup as profiles

__all__ = ["muons", "pileup", "variable"]

MUON_KEYS = (
    "NUM_GlobalMuons_DEN_genTracks",
    "NUM_HighPtID_DEN_TrackerMuons",
    "NUM_IsoMu24_or_IsoTkMu24_DEN_CutBasedIdTight_and_PFIsoTight",
    "NUM_LooseID_DEN_TrackerMuons",
    "NUM_LooseRelIso_DEN_LooseID",
    "NUM_LooseRelIso_DEN_TightIDandIPCut",
    "NUM_MediumID_DEN_TrackerMuons",
    "NUM_MediumPromptID_DEN_TrackerMuons",
    "NUM_Mu50_or_TkMu50_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose",
    "NUM_SoftID_DEN_TrackerMuons",
    "NUM_TightID_DEN_TrackerMuons",
    "NUM_TightRelIso_DEN_MediumID",
    "NUM_TightRelIso_DEN_TightIDandIPCut",
)
ETA_EDGES = [0.0, 0.9, 1.2, 2.1, 2.4]
PT_EDGES = [15.0, 30.0, 40.0, 50.0, 60.0, 120.0, 200.0, 10000.0]


def variable(name: str, kind: str, description: str) -> schemav2.Variable:
    """Describe an input of a correction; `kind` is real, int or string."""
    return schemav2.Variable.model_validate(
        {"name": name, "type": kind, "description": description}
    )


def pileup(key: str) -> schemav2.Correction:
    """Make weights of the number of interactions, with the inelastic cross section up and down."""
    contents = {
        name: {
            "nodetype": "binning",
            "input": "NumTrueInteractions",
            "edges": [float(edge) for edge in range(profiles.N_BINS + 1)],
            "content": profiles.weights(shift).tolist(),
            "flow": "clamp",
        }
        for name, shift in {"nominal": 0.0, "up": 1.0, "down": -1.0}.items()
    }
    return schemav2.Correction(
        name=key,
        version=0,
        inputs=[
            variable("NumTrueInteractions", "real", "Number of true interactions"),
            variable("weights", "string", "nominal, up, or down"),
        ],
        output=variable("weight", "real", "Event weight for pileup reweighting"),
        data=schemav2.Category.model_validate(_category("weights", contents)),
    )


def muons(asked: str) -> list[schemav2.Correction]:
    """Make efficiency ratios of muon identification, isolation and trigger, all below one."""
    return [_muon(key) for key in sorted({*MUON_KEYS, asked})]


def _muon(key: str) -> schemav2.Correction:
    """Make one efficiency ratio in bins of pseudorapidity (its size) and transverse momentum."""
    loss = 0.004 + 0.003 * (zlib.crc32(key.encode()) % 7)  # 0.4 to 2.2 %, as in real files
    bins = [
        {
            "nodetype": "binning",
            "input": "pt",
            "edges": PT_EDGES,
            "content": [_muon_bin(loss, i, j) for j in range(len(PT_EDGES) - 1)],
            "flow": "clamp",
        }
        for i in range(len(ETA_EDGES) - 1)
    ]
    data = {
        "nodetype": "transform",
        "input": "eta",
        "rule": {
            "nodetype": "formula",
            "expression": "abs(x)",
            "parser": "TFormula",
            "variables": ["eta"],
        },
        "content": {
            "nodetype": "binning",
            "input": "eta",
            "edges": ETA_EDGES,
            "content": bins,
            "flow": "clamp",
        },
    }
    return schemav2.Correction(
        name=key,
        version=2,
        inputs=[
            variable("eta", "real", "Probe eta"),
            variable("pt", "real", "Probe pt"),
            variable("scale_factors", "string", "nominal factor or one of the uncertainties"),
        ],
        output=variable("weight", "real", "Output scale factor (nominal) or uncertainty"),
        data=schemav2.Transform.model_validate(data),
    )


def _muon_bin(loss: float, eta_bin: int, pt_bin: int) -> dict[str, object]:
    """Give factor and uncertainties of one bin; up and down hold statistics and systematics."""
    nominal = 1 - loss * (1 + 0.35 * eta_bin) * (1 - 0.03 * pt_bin)
    stat, syst = 4e-4 * (1 + 0.6 * pt_bin), 0.004 + 0.0008 * pt_bin + 0.001 * eta_bin
    total = math.hypot(stat, syst)
    values = {
        "nominal": nominal,
        "stat": stat,
        "syst": syst,
        "systup": nominal + total,
        "systdown": nominal - total,
    }
    return _category("scale_factors", values)


def _category(name: str, contents: Mapping[str, object]) -> dict[str, object]:
    """Choose by the value of a string."""
    content = [{"key": key, "value": value} for key, value in contents.items()]
    return {"nodetype": "category", "input": name, "content": content}
