"""The older spelling: tuples, `use`, `transform`, `systematics`, one luminosity, no years."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection
from coffea.lumi_tools import LumiMask

from tests.configurations import plain


def good_muons(muons):  # noqa: ANN001, ANN201 - as users write them
    return (muons.pt > 30) & muons.tightId & (np.abs(muons.eta) < 2.4)


def good_jets(jets, pt_min=30):  # noqa: ANN001, ANN201
    return (jets.pt > pt_min) & (np.abs(jets.eta) < 2.4)


def skim(met, hlt):  # noqa: ANN001, ANN201
    selection = PackedSelection()
    selection.add("trigger", hlt.IsoMu24)
    selection.add("met", met.pt > 25)
    selection.add("skim", selection.all("trigger", "met"))
    return selection


def baseline(muons, jets):  # noqa: ANN001, ANN201
    selection = PackedSelection()
    selection.add("one_muon", ak.num(muons) == 1)
    selection.add("two_jets", ak.num(jets) >= 2)
    selection.add("all", selection.all("one_muon", "two_jets"))
    return selection


def busy(mva):  # noqa: ANN001, ANN201
    selection = PackedSelection(dtype="uint64")
    selection.add("st", mva.st > 150)
    selection.add("jets", mva.n_jet < 7)
    selection.add("busy", selection.all("st", "jets"))
    return selection


def dijet_mass(jets):  # noqa: ANN001, ANN201
    one, two = jets[:, 0], jets[:, 1]
    angle = np.cosh(one.eta - two.eta) - np.cos(one.phi - two.phi)
    return np.sqrt(2 * one.pt * two.pt * angle)


def certified(run, lumi, lumifile):  # noqa: ANN001, ANN201
    return LumiMask(lumifile)(run, lumi)


PLAIN = {"file_pattern": "*.root", "tree_name": "Events", "redirector": ""}
config = {
    "general": {
        "lumi": 16400,
        "weight_branch": "genWeight",
        "analysis": "nondiff",
        "save_skimmed_output": False,
        "run_metadata_generation": True,
        "run_statistics": True,
        "cache_dir": None,
    },
    "preprocess": {
        "branches": {"Muon": ["pt", "eta"], "event": ["genWeight", "run"]},
        "ignore_missing": False,
        "mc_branches": {"event": ["genWeight"]},
        "skimming": {
            "function": skim,
            "use": [("PuppiMET", None), ("HLT", None)],
            "chunk_size": 70,
            "tree_name": "Events",
        },
    },
    "datasets": {
        "datasets": [
            {
                "name": "signal",
                "directories": "signal/",
                "cross_sections": 1.0,
                "weight_branch": "genWeight",
                **PLAIN,
            },
            {
                "name": "wjets",
                "directories": ("wjets/HT-100/", "wjets/HT-200/"),
                "cross_sections": (1264.0, 512.5),
                "weight_branch": "genWeight",
                **PLAIN,
            },
            {
                "name": "data",
                "directories": ("data/",),
                "cross_sections": 1.0,
                "weight_branch": None,
                "is_data": True,
                "lumi_mask": {
                    "function": certified,
                    "use": [("event", "run"), ("event", "luminosityBlock")],
                    "static_kwargs": {"lumifile": "golden.json"},
                },
                **PLAIN,
            },
        ],
        "max_files": None,
    },
    "good_object_masks": {
        "analysis": [
            {"object": "Muon", "function": good_muons, "use": [("Muon", None)]},
            {"object": "Jet", "function": good_jets, "use": [("Jet", None)]},
        ],
        "mva": [
            {
                "object": "Jet",
                "function": good_jets,
                "use": [("Jet", None)],
                "static_kwargs": {"pt_min": 25},
            }
        ],
    },
    "baseline_selection": {"function": baseline, "use": [("Muon", None), ("Jet", None)]},
    "ghost_observables": [
        {
            "names": ("n_jet", "st"),
            "collections": "mva",
            "function": lambda muons, jets: (
                ak.num(jets),
                ak.sum(jets.pt, axis=1) + ak.sum(muons.pt, axis=1),
            ),
            "use": [("Muon", None), ("Jet", None)],
        }
    ],
    "channels": [
        {
            "name": "busy",
            "fit_observable": "mass",
            "observables": [
                {
                    "name": "mass",
                    "binning": "0,600,12",
                    "label": r"$m_{jj}$ [GeV]",
                    "function": dijet_mass,
                    "use": [("Jet", None)],
                },
                {
                    "name": "n_jet",
                    "binning": "-0.5,9.5,10",
                    "function": lambda n: n,
                    "use": [("mva", "n_jet")],
                },
                {
                    "name": "muon_pt",
                    "binning": "0,200,20",
                    "function": lambda pt: pt[:, 0],
                    "use": [("Muon", "pt")],
                },
            ],
            "selection": {"function": busy, "use": [("mva", None)]},
            "use_in_diff": True,
        }
    ],
    "corrections": [
        {
            "name": "pu_weight",
            "file": "./2016.json.gz",
            "type": "event",
            "use": [("Pileup", "nTrueInt")],
            "op": "mult",
            "key": "pileup",
            "use_correctionlib": True,
        },
        {
            "name": "muon_id_sf",
            "file": "./2016.json.gz",
            "use": [("Muon", "eta"), ("Muon", "pt")],
            "transform": lambda eta, pt: (np.abs(eta)[:, 0], pt[:, 0]),
            "type": "event",
            "key": "muon_id",
            "use_correctionlib": True,
            "op": "mult",
            "up_and_down_idx": ["systup", "systdown"],
        },
        {
            "name": "jet_energy",
            "file": "./2016.json.gz",
            "use": [("Jet", "eta"), ("Jet", "pt")],
            "type": "object",
            "target": ("Jet", "pt"),
            "key": "jet_energy",
            "op": "mult",
        },
    ],
    "systematics": [
        {
            "name": "jet_pt_resolution",
            "up_function": lambda pt: 1 + 2.0 / pt,
            "target": ("Jet", "pt"),
            "use": [("Jet", "pt")],
            "symmetrise": True,
            "op": "mult",
            "type": "object",
        },
        {
            "name": "muon_scale",
            "up_function": lambda: 1.5,
            "down_function": lambda: -2.5,
            "target": ("Muon", "pt"),
            "op": "add",
            "type": "object",
        },
        {
            "name": "met_weight",
            "up_function": lambda x: 1 + 0.3 * x,
            "transform": lambda met: met / 100,
            "use": [("PuppiMET", "pt")],
            "symmetrise": True,
            "op": "mult",
            "type": "event",
        },
        {
            "name": "wjets_rate",
            "up_function": lambda: 1.2,
            "op": "mult",
            "type": "event",
        },
    ],
    "statistics": {"cabinetry_config": "cabinetry/config.yaml"},
    "plotting": {
        "process_colors": {"signal": "#DABFFF", "wjets": "#907AD6"},
        "process_labels": {"signal": r"$Z^{\prime}$"},
        "process_order": ["wjets", "signal"],
    },
}

TWO_SIDED = (
    "pu_weight muon_id_sf jet_energy jet_pt_resolution muon_scale met_weight".split()  # noqa: SIM905
)
LABELS = [*(f"{name}_{side}" for name in TWO_SIDED for side in ("up", "down")), "wjets_rate_up"]
DATASETS = {
    "signal": ("signal", 16400.0, "signal/*.root"),
    "wjets_HT-100": ("wjets", 16400 * 1264.0, "wjets/HT-100/*.root"),
    "wjets_HT-200": ("wjets", 16400 * 512.5, "wjets/HT-200/*.root"),
    "data": ("data", None, "data/*.root"),
}
EDGES = {
    ("busy", "mass"): np.linspace(0, 600, 13),
    ("busy", "n_jet"): np.arange(-0.5, 10.5, 1.0),
    ("busy", "muon_pt"): np.linspace(0, 200, 21),
}


def labels(_: str) -> list[str]:
    return LABELS


@dataclass(frozen=True)
class Loop:
    """One event in one variation."""

    library: Any

    def objects(self, event: plain.Event, label: str, *, is_data: bool) -> tuple[Any, Any]:
        """Return all muons and jets, corrected and shifted."""
        source, _, side = label.rpartition("_")
        muons, jets = plain.rows(event, "Muon"), plain.rows(event, "Jet")
        if not is_data:
            word = side if source == "jet_energy" else "nominal"
            energy = self.library["jet_energy"].evaluate
            plain.scaled(jets, None, [energy(jet["eta"], jet["pt"], word) for jet in jets])
        if source == "jet_pt_resolution":
            sign = 1 if side == "up" else -1
            plain.scaled(jets, None, [1 + sign * 2.0 / jet["pt"] for jet in jets])
        if source == "muon_scale":
            for muon in muons:
                muon["pt"] = plain.f32(muon["pt"] + {"up": 1.5, "down": -2.5}[side])
        return muons, jets

    def weight(self, event: plain.Event, label: str, muon: plain.Row) -> float:
        """Return the weight of a simulated event."""
        source, _, side = label.rpartition("_")
        word = side if source == "pu_weight" else "nominal"
        weight = event["genWeight"]
        weight *= self.library["pileup"].evaluate(event["Pileup_nTrueInt"], word)
        word = f"syst{side}" if source == "muon_id_sf" else "nominal"
        weight *= self.library["muon_id"].evaluate(abs(muon["eta"]), muon["pt"], word)
        if source == "met_weight":
            weight *= 1 + (0.3 if side == "up" else -0.3) * event["PuppiMET_pt"] / 100
        return weight * (1.2 if source == "wjets_rate" else 1.0)

    def __call__(self, event: plain.Event, label: str, dataset: str) -> Iterator[plain.Fill]:
        is_data = dataset == "data"
        sections = {1: (1, 2, 4, 5, 6, 7, 8, 9), 2: (3,)}[event["run"]]
        if not event["HLT_IsoMu24"] or event["PuppiMET_pt"] <= 25:
            return
        if is_data and event["luminosityBlock"] not in sections:
            return
        every, jets = self.objects(event, label, is_data=is_data)
        muons = [m for m in every if m["pt"] > 30 and m["tightId"] and abs(m["eta"]) < 2.4]
        loose = [jet for jet in jets if jet["pt"] > 25 and abs(jet["eta"]) < 2.4]
        jets = [jet for jet in loose if jet["pt"] > 30]
        # no mva mask is on the muons: the ghosts of `mva` see all of them
        total = sum(one["pt"] for one in (*loose, *every))
        is_good = len(muons) == 1 and len(jets) >= 2
        if not is_good or total <= 150 or len(loose) >= 7:
            return
        weight = 1.0 if is_data else self.weight(event, label, muons[0])
        yield "busy", "mass", plain.pair_mass(jets[0], jets[1]), weight
        yield "busy", "n_jet", len(loose), weight
        yield "busy", "muon_pt", muons[0]["pt"], weight


def loop(folder: Path) -> plain.Loop:
    return Loop(plain.evaluators(folder / "2016.json.gz"))
