"""The analysis of `configuration` once more, as a plain loop: one variation after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import uproot

from tests.engine import configuration as cc

EDGES = {
    ("SR", "mass"): np.linspace(0, 600, 13),
    ("SR", "ht"): np.array([0, 100, 200, 400, 1000]),
    ("INCLUSIVE", "mu_pt"): np.linspace(0, 400, 9),
}
JES = [f"jes{i}" for i in range(cc.N_JES)]
LABELS = [
    "nominal",
    *(
        f"{source}_{side}"
        for source in ("pileup", "muon_id", "norm", "jet_resolution", *JES)
        for side in ("up", "down")
    ),
]


def load(paths: list[Path]) -> ak.Array:
    """Read the collections with uproot alone."""
    parts = []
    for path in paths:
        with uproot.open(path) as file:
            arrays = file["Events"].arrays()
        fields: dict[str, Any] = {}
        for name in ("Muon", "Jet", "FatJet"):
            columns = [f for f in arrays.fields if f.startswith(f"{name}_")]
            fields[name] = ak.zip({c.removeprefix(f"{name}_"): arrays[c] for c in columns})
        fields["PuppiMET"] = ak.zip({"pt": arrays.PuppiMET_pt, "phi": arrays.PuppiMET_phi})
        fields["HLT"] = ak.zip({"TkMu50": arrays.HLT_TkMu50})
        for name in ("genWeight", "Pileup_nTrueInt"):
            if name in arrays.fields:
                fields[name] = arrays[name]
        parts.append(ak.zip(fields, depth_limit=1))
    return ak.concatenate(parts)


def _jagged(correction: Any, jets: ak.Array) -> ak.Array:
    flat = ak.flatten(jets)
    values = correction.evaluate(
        np.asarray(flat.eta, dtype=np.float64), np.asarray(flat.pt, dtype=np.float64)
    )
    return ak.unflatten(values, ak.num(jets))


def _moved(jets: ak.Array, label: str, corrections: Any) -> ak.Array:
    source, _, side = label.rpartition("_")
    sign = 1.0 if side == "up" else -1.0
    if source.startswith("jes"):
        factor = 1.0 + sign * _jagged(corrections[source], jets)
    elif source == "jet_resolution":
        factor = 1.0 + sign * (2.0 / jets.pt)
    else:
        return jets
    return ak.with_field(jets, ak.values_astype(jets.pt * factor, np.float32), "pt")


def _weights(events: ak.Array, label: str, corrections: Any) -> np.ndarray:
    index = {"pileup_up": "up", "pileup_down": "down"}.get(label, "nominal")
    weight = np.asarray(events.genWeight, dtype=np.float64)
    weight = weight * corrections["pileup"].evaluate(
        np.asarray(events.Pileup_nTrueInt, dtype=np.float64), index
    )
    index = {"muon_id_up": "systup", "muon_id_down": "systdown"}.get(label, "nominal")
    muons = events.Muon[:, 0]
    weight = weight * corrections["muon"].evaluate(
        np.abs(np.asarray(muons.eta, dtype=np.float64)), np.asarray(muons.pt, "f8"), index
    )
    return weight * {"norm_up": 1.1, "norm_down": 0.9}.get(label, 1.0)


def histograms(
    events: ak.Array, label: str, corrections_json: Path
) -> dict[tuple[str, str], np.ndarray]:
    """Fill all histograms of one variation, not normalised, without flow bins."""
    corrections = correctionlib.CorrectionSet.from_file(str(corrections_json))
    events = events[events.HLT.TkMu50 & (events.PuppiMET.pt > 20)]
    events["Jet"] = _moved(events.Jet, label, corrections)
    events["Muon"] = events.Muon[cc.good_muons(events.Muon)]
    events["Jet"] = events.Jet[cc.good_jets(events.Jet)]
    events = events[(ak.num(events.Muon) == 1) & (ak.num(events.Jet) >= 2)]
    region = (
        (events.Jet.pt[:, 0] > 60)
        & (ak.sum(events.FatJet.pt > 150, axis=1) >= 1)
        & (events.Muon.pt[:, 0] + events.PuppiMET.pt > 90)
    )
    chosen = events[region]
    values = {
        ("SR", "mass"): (cc.mass(chosen.Jet, chosen.Muon), chosen),
        ("SR", "ht"): (ak.sum(chosen.Jet.pt, axis=1), chosen),
        ("INCLUSIVE", "mu_pt"): (events.Muon.pt[:, 0], events),
    }
    filled = {}
    for key, (value, kept) in values.items():
        weights = _weights(kept, label, corrections)
        bins = np.searchsorted(EDGES[key], np.asarray(value, dtype=np.float64), side="right")
        filled[key] = np.bincount(bins, weights=weights, minlength=len(EDGES[key]) + 1)[1:-1]
    return filled
