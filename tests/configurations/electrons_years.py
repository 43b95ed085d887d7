"""The new spelling with two years: `ObjVar`, `Sys()` first, in the middle and last, electrons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from intccms.schema.base import ObjVar, Sys
from tests.configurations import plain


def transverse_mass(electrons, met):  # noqa: ANN001, ANN201 - as users write them
    electron = electrons[:, 0]
    return np.sqrt(2 * electron.pt * met.pt * (1 - np.cos(electron.phi - met.phi)))


def one_electron(electrons, jets, met, *, met_min, n_jets=1):  # noqa: ANN001, ANN201
    return (ak.num(electrons) == 1) & (ak.num(jets) >= n_jets) & (met > met_min)


def corrections(year: str) -> list[dict[str, Any]]:
    path = f"{year}.json.gz"
    jes = [
        {"name": name, "key": key, "is_delta": True}
        for name, key in (("jes_absolute", "jes_absolute"), (f"jes_stat_{year}", "jes_stat"))
    ]
    if year == "2017":
        jes.append({"name": "jes_flavour", "key": "jes_flavour", "is_delta": True})
    return [
        {
            "name": "jes",
            "type": "object",
            "file": path,
            "args": [ObjVar("Jet", "eta"), ObjVar("Jet", "pt")],
            "target": [ObjVar("Jet", "pt"), ObjVar("Jet", "mass")],
            "op": "mult",
            "propagate_to": "PuppiMET",
            "resort": True,
            "uncertainty_sources": jes,
        },
        {
            "name": "electron_id",
            "type": "event",
            "file": path,
            "key": "electron_id",
            "args": [year, Sys(), "Tight", ObjVar("Electron", "eta"), ObjVar("Electron", "pt")],
            "reduce": "prod",
            "nominal_idx": "sf",
            "uncertainty_sources": [
                {
                    "name": "electron_id",
                    "up_and_down_idx": ["sfup", "sfdown"],
                    "processes": ["ttbar"],
                }
            ],
        },
        {
            "name": "b_tag",
            "type": "event",
            "file": path,
            "key": "b_tag",
            "args": [
                Sys(),
                ObjVar("Jet", "hadronFlavour"),
                ObjVar("Jet", "eta"),
                ObjVar("Jet", "pt"),
                ObjVar("Jet", "btag"),
            ],
            "transform_in": lambda flavour, eta, pt, tag: (flavour, np.abs(eta), pt, tag),
            "transform_out": lambda sf, flavour, eta, pt, tag: ak.where(np.abs(eta) < 2.0, sf, 1.0),
            "reduce": "prod",
            "nominal_idx": "central",
            "uncertainty_sources": [
                {"name": "b_hf", "up_and_down_idx": ("up_hf", "down_hf")},
                {
                    "name": "b_jes",
                    "up_and_down_idx": ("up_jes", "down_jes"),
                    "varies_with": ["jes_absolute", f"jes_stat_{year}"],
                },
            ],
        },
        {
            "name": "pileup",
            "type": "event",
            "file": path,
            "key": "pileup",
            "args": [ObjVar("Pileup", "nTrueInt"), Sys()],
            "uncertainty_sources": [{"name": "pileup"}],
        },
    ]


SELECTED = [ObjVar("Electron"), ObjVar("Jet"), ObjVar("PuppiMET", "pt")]
config = {
    "general": {"lumi": {2016: 1000, "2017": 2500.0}, "weight_branch": "genWeight"},
    "preprocess": {"skimming": {"chunk_size": 64}},
    "datasets": {
        "datasets": [
            {
                "name": "ttbar",
                "directories": ("ttbar", "signal"),
                "cross_sections": (88.0, 90.5),
                "years": (2016, 2017),
            },
            {
                "name": "wjets",
                "directories": "wjets",
                "file_pattern": "*.txt",
                "cross_sections": 300,
                "years": "2017",
            },
            {"name": "data", "directories": ["data"], "years": [2016], "is_data": True},
        ],
    },
    "good_object_masks": {
        "analysis": [
            {
                "object": "Electron",
                "function": lambda electrons: (electrons.pt > 25) & (electrons.cutBased >= 2),
                "use": [ObjVar("Electron")],
            },
            {
                "object": "Jet",
                "function": lambda pt, eta: (pt > 28) & (abs(eta) < 2.4),
                "use": [ObjVar("Jet", "pt"), ObjVar("Jet", "eta")],
            },
        ]
    },
    "channels": [
        {
            "name": "one_electron",
            "fit_observable": "mt",
            "observables": [
                {
                    "name": "mt",
                    "binning": [0, 20, 40, 60, 80, 120, 200, 400],
                    "function": transverse_mass,
                    "use": [ObjVar("Electron"), ObjVar("PuppiMET")],
                },
                {
                    "name": "lead_tag",
                    "binning": "0,1,10",
                    "function": lambda tag: tag[:, 0],
                    "use": ObjVar("Jet", "btag"),
                },
                {
                    "name": "masses",
                    "binning": "0,60,12",
                    "function": lambda mass: ak.sum(mass, axis=1),
                    "use": (ObjVar("Jet", "mass"),),
                },
            ],
            "selection": {
                "function": one_electron,
                "use": SELECTED,
                "static_kwargs": {"met_min": 20},
            },
        },
        {
            "name": "many_jets",
            "observables": [
                {
                    "name": "met",
                    "binning": "0,300,15",
                    "function": lambda pt: pt,
                    "use": [ObjVar("PuppiMET", "pt")],
                }
            ],
            "fit_observable": "met",
            "selection": {
                "function": one_electron,
                "use": SELECTED,
                "static_kwargs": {"met_min": -1, "n_jets": 3},
            },
        },
    ],
    "corrections": {2016: corrections("2016"), "2017": tuple(corrections("2017"))},
    "statistics": {"signals": ["ttbar"], "blind": {"one_electron": [100, 400]}},
}

DATASETS = {
    "ttbar_2016": ("ttbar", 1000 * 88.0, "ttbar/*.root"),
    "ttbar_2017": ("ttbar", 2500 * 90.5, "signal/*.root"),
    "wjets_2017": ("wjets", 2500 * 300.0, "wjets/*/0.root"),
    "data_2016": ("data", None, "data/*.root"),
}
EDGES = {
    ("one_electron", "mt"): np.array([0, 20, 40, 60, 80, 120, 200, 400.0]),
    ("one_electron", "lead_tag"): np.linspace(0, 1, 11),
    ("one_electron", "masses"): np.linspace(0, 60, 13),
    ("many_jets", "met"): np.linspace(0, 300, 16),
}


def labels(dataset: str) -> list[str]:
    process, year = dataset.split("_")
    names = ["jes_absolute", f"jes_stat_{year}", "b_hf", "pileup"]
    names += ["jes_flavour"] if year == "2017" else []
    names += ["electron_id"] if process == "ttbar" else []
    return [f"{name}_{side}" for name in names for side in ("up", "down")]


@dataclass(frozen=True)
class Loop:
    """One event in one variation."""

    libraries: dict[str, Any]

    def shift(self, event: plain.Event, label: str, year: str) -> tuple[list[Any], Any]:
        """Return all jets and the MET."""
        source, _, side = label.rpartition("_")
        jets, met = plain.rows(event, "Jet"), plain.record(event, "PuppiMET")
        if source.startswith("jes"):
            size = self.libraries[year][source.removesuffix(f"_{year}")].evaluate
            sign = 1 if side == "up" else -1
            factors = [1 + sign * size(jet["eta"], jet["pt"]) for jet in jets]
            for jet, factor in zip(jets, factors, strict=True):
                jet["mass"] = plain.f32(jet["mass"] * factor)
            plain.scaled(jets, met, factors)
            jets.sort(key=lambda jet: -jet["pt"])
        return jets, met

    def weight(self, event: plain.Event, label: str, year: str, objects: Any) -> float:
        """Return the weight of a simulated event with its good electrons and jets."""
        source, _, side = label.rpartition("_")
        library, (electrons, jets) = self.libraries[year], objects
        weight = event["genWeight"]
        word = f"sf{side}" if source == "electron_id" else "sf"
        for one in electrons:
            weight *= library["electron_id"].evaluate(year, word, "Tight", one["eta"], one["pt"])
        word = f"{side}_hf" if source == "b_hf" else "central"
        word = f"{side}_jes" if source in ("jes_absolute", f"jes_stat_{year}") else word
        for jet in jets:
            if abs(jet["eta"]) < 2.0:
                numbers = (abs(jet["eta"]), jet["pt"], jet["btag"])
                weight *= library["b_tag"].evaluate(word, jet["hadronFlavour"], *numbers)
        word = side if source == "pileup" else "nominal"
        return weight * library["pileup"].evaluate(event["Pileup_nTrueInt"], word)

    def __call__(self, event: plain.Event, label: str, dataset: str) -> Iterator[plain.Fill]:
        year = dataset.split("_")[1]
        jets, met = self.shift(event, label, year)
        electrons = plain.rows(event, "Electron")
        electrons = [one for one in electrons if one["pt"] > 25 and one["cutBased"] >= 2]
        jets = [jet for jet in jets if jet["pt"] > 28 and abs(jet["eta"]) < 2.4]
        if len(electrons) != 1 or not jets:
            return
        is_data = dataset.startswith("data")
        weight = 1.0 if is_data else self.weight(event, label, year, (electrons, jets))
        if met["pt"] > 20:
            one = electrons[0]
            angle = 1 - math.cos(one["phi"] - met["phi"])
            yield "one_electron", "mt", math.sqrt(2 * one["pt"] * met["pt"] * angle), weight
            yield "one_electron", "lead_tag", jets[0]["btag"], weight
            yield "one_electron", "masses", sum(jet["mass"] for jet in jets), weight
        if len(jets) >= 3:
            yield "many_jets", "met", met["pt"], weight


def loop(folder: Path) -> plain.Loop:
    return Loop({year: plain.evaluators(folder / f"{year}.json.gz") for year in ("2016", "2017")})
