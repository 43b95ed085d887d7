"""Derived columns of all kinds, objects of an MVA, weights that need them, rates; no masks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from intccms.schema.base import ObjVar, Sys
from tests.configurations import plain


def shapes(jets, met):  # noqa: ANN001, ANN201 - as users write them
    ht = ak.sum(jets.pt, axis=1)
    return {"significance": met.pt / np.sqrt(ht + 1), "ht": ht}


def distances(jets, met):  # noqa: ANN001, ANN201
    """A column for each jet: its angle to the MET."""
    return abs((jets.phi - met.phi + np.pi) % (2 * np.pi) - np.pi)


def selected(shape, jets):  # noqa: ANN001, ANN201
    selection = PackedSelection()
    selection.add("busy", shape.ht > 80)
    selection.add("apart", ak.all(jets.to_met > 0.2, axis=1))
    selection.add("final", selection.require(busy=True, apart=True))
    return selection


def estimator():  # noqa: ANN201
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


JETS_AND_MET = [("Jet", None), ("MET", None)]
config = {
    "general": {
        "lumi": 100.0,
        "weight_branch": "genWeight",
        "run_mva_training": False,
        "executor": "futures",
    },
    "preprocess": {
        "skimming": {
            "function": lambda trigger: trigger,
            "use": [("HLT", "IsoMu24")],
            "chunk_size": 1000,
        }
    },
    "datasets": {
        "datasets": [
            {"name": "signal", "directories": "signal", "cross_sections": 0.5},
            {"name": "ttbar", "directories": "ttbar", "cross_sections": 10},
            {
                "name": "wjets",
                "directories": ["wjets/HT-100", "wjets/HT-200"],
                "cross_sections": 50.0,
                "weight_branch": "genWeight",
            },
        ]
    },
    "good_object_masks": {
        "mva": [
            {"object": "Jet", "function": lambda jets: jets.pt > 45, "use": [("Jet", None)]},
        ]
    },
    "baseline_selection": {"function": lambda jets: ak.num(jets) > 0, "use": [("Jet", None)]},
    "ghost_observables": [
        {
            "names": ["ht", "significance"],
            "collections": ["shape", "shape"],
            "function": shapes,
            "use": JETS_AND_MET,
        },
        {"names": "to_met", "collections": "Jet", "function": distances, "use": JETS_AND_MET},
        {
            "names": ("log_ht", "closest"),
            "collections": ("shape", "MET"),
            "function": lambda ht, to_met: [np.log(ht), ak.min(to_met, axis=1)],
            "use": [("shape", "ht"), ("Jet", "to_met")],
        },
        {
            "names": ("n_hard", "hard_ht"),
            "collections": "mva",
            "function": lambda jets: (ak.num(jets), ak.sum(jets.pt, axis=1)),
            "use": [("Jet", None)],
        },
    ],
    "channels": [
        {
            "name": "apart",
            "fit_observable": "hard_ht",
            "selection": {"function": selected, "use": [("shape", None), ("Jet", None)]},
            "observables": [
                {
                    "name": "log_ht",
                    "binning": "4,8,20",
                    "function": lambda x: x,
                    "use": [ObjVar("shape", "log_ht")],
                },
                {
                    "name": "closest",
                    "binning": "0,3.2,16",
                    "function": lambda met: met.closest,
                    "use": [("MET", None)],
                },
                {
                    "name": "hard_ht",
                    "binning": "0,600,30",
                    "function": lambda mva: mva.hard_ht,
                    "use": [("mva", None)],
                },
            ],
        }
    ],
    "corrections": [
        {
            "name": "jes",
            "type": "object",
            "file": "2017.json.gz",
            "args": [("Jet", "eta"), ("Jet", "pt")],
            "target": ("Jet", "pt"),
            "uncertainty_sources": [
                {"name": "jes", "key": "jes_flavour", "is_delta": True},
                {
                    "name": "jes_stat",
                    "key": "jes_stat",
                    "args": [("Jet", "eta"), ("Jet", "pt")],
                    "transform_out": lambda value, eta, pt: ak.where(abs(eta) < 1.5, value, 0.0),
                    "is_delta": True,
                },
            ],
        },
        {
            "name": "by_shape",
            "type": "event",
            "use_correctionlib": False,
            "nominal_function": lambda significance, word: (
                {"central": 1.0, "a": 1.1, "b": 0.8}[word] + 0.01 * significance
            ),
            "args": [("shape", "significance"), Sys()],
            "nominal_idx": "central",
            "uncertainty_sources": [
                {
                    "name": "by_shape",
                    "up_function": lambda significance, word: 1.1 + 0.01 * significance,
                    "down_function": lambda significance, word: 0.8 + 0.01 * significance,
                    "up_and_down_idx": ["a", "b"],
                    "processes": ["ttbar", "wjets"],
                }
            ],
        },
    ],
    "systematics": [
        {
            "name": "lumi",
            "type": "event",
            "op": "mult",
            "up_function": lambda: 1.025,
            "down_function": lambda: 0.975,
        },
        {
            "name": "rate",
            "type": "event",
            "op": "add",
            "use": [("MET", "pt")],
            "up_function": lambda met: 0.1 * met,
            "symmetrise": True,
        },
    ],
    "mva": [
        {
            "name": "separator",
            "features": [
                {
                    "name": "n_hard",
                    "label": "Hard jets",
                    "function": lambda mva: mva.n_hard,
                    "use": [("mva", None)],
                    "scale": lambda values: values / 10,
                },
                {
                    "name": "hard_ht",
                    "binning": "0,600,20",
                    "function": lambda mva: mva.hard_ht,
                    "use": [("mva", None)],
                },
            ],
            "classes": ["signal", {"background": ("ttbar", "wjets")}],
            "balance_strategy": "class_weight",
            "validation_split": 0.3,
            "estimator": estimator,
            "plot_classes": ["background", "signal", "ttbar"],
        }
    ],
}

DATASETS = {
    "signal": ("signal", 100 * 0.5, "signal/*.root"),
    "ttbar": ("ttbar", 100 * 10.0, "ttbar/*.root"),
    "wjets_HT-100": ("wjets", 100 * 50.0, "wjets/HT-100/*.root"),
    "wjets_HT-200": ("wjets", 100 * 50.0, "wjets/HT-200/*.root"),
}
EDGES = {
    ("apart", "log_ht"): np.linspace(4, 8, 21),
    ("apart", "closest"): np.linspace(0, 3.2, 17),
    ("apart", "hard_ht"): np.linspace(0, 600, 31),
}


def labels(dataset: str) -> list[str]:
    names = ["jes", "jes_stat", "lumi", "rate"]
    names += ["by_shape"] if dataset != "signal" else []
    return [f"{name}_{side}" for name in names for side in ("up", "down")]


@dataclass(frozen=True)
class Loop:
    """One event in one variation."""

    library: Any

    def jets(self, event: plain.Event, label: str) -> list[plain.Row]:
        source, _, side = label.rpartition("_")
        jets, sign = plain.rows(event, "Jet"), 1 if side == "up" else -1
        if source in ("jes", "jes_stat"):
            key, reach = {"jes": ("jes_flavour", 9.0), "jes_stat": ("jes_stat", 1.5)}[source]
            sizes = [self.library[key].evaluate(jet["eta"], jet["pt"]) for jet in jets]
            inside = [abs(jet["eta"]) < reach for jet in jets]
            factors = [1 + sign * a * b for a, b in zip(sizes, inside, strict=True)]
            plain.scaled(jets, None, factors)
        return jets

    def __call__(self, event: plain.Event, label: str, _: str) -> Iterator[plain.Fill]:
        jets, met = self.jets(event, label), plain.record(event, "MET")
        angles = [
            abs((jet["phi"] - met["phi"] + math.pi) % (2 * math.pi) - math.pi) for jet in jets
        ]
        ht = sum(jet["pt"] for jet in jets)
        if not event["HLT_IsoMu24"] or not jets or ht <= 80 or min(angles) <= 0.2:
            return
        central = {"by_shape_up": 1.1, "by_shape_down": 0.8}.get(label, 1.0)
        weight = event["genWeight"] * (central + 0.01 * met["pt"] / math.sqrt(ht + 1))
        weight *= {"lumi_up": 1.025, "lumi_down": 0.975}.get(label, 1.0)
        weight += {"rate_up": 0.1, "rate_down": -0.1}.get(label, 0.0) * met["pt"]
        yield "apart", "log_ht", math.log(ht), weight
        yield "apart", "closest", min(angles), weight
        yield "apart", "hard_ht", sum(jet["pt"] for jet in jets if jet["pt"] > 45), weight


def loop(folder: Path) -> plain.Loop:
    return Loop(plain.evaluators(folder / "2017.json.gz"))
