"""Taus; lambdas, closures, partial functions and objects that can be called; data corrected too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from intccms.schema.base import ObjVar, Sys
from tests.configurations import plain


@dataclass
class AtLeast:
    """A mask with a threshold of its own."""

    level: int

    def __call__(self, quality: Any) -> Any:
        return quality >= self.level


def scaled_by(size: float) -> Callable[..., Any]:
    return lambda pt, eta: 1 + size * (1 + abs(eta)) / (1 + 0.01 * pt)


def offset(rho, which):  # noqa: ANN001, ANN201 - as users write them
    return {"nominal": 0.5, "high": 2.0, "low": -1.0}[which] + 0 * rho


def difference(one, two, *, power=1):  # noqa: ANN001, ANN201
    return abs(one - two) ** power


TAU_PT, JET_PT, RHO = ("Tau", "pt"), ("Jet", "pt"), ("event", "rho")
config = {
    "general": {"lumi": 41.5, "weight_branch": "genWeight", "chunk_size": 90},
    "datasets": {
        "datasets": (
            {"name": "zprime_1000", "directories": "signal/"},
            {"name": "ttbar", "directories": "ttbar/", "cross_sections": [830.0]},
            {"name": "data", "directories": "data/", "is_data": True},
        ),
    },
    "good_object_masks": {
        "analysis": [
            {"object": "Tau", "function": AtLeast(2), "use": [("Tau", "idDeepTau")]},
            {"object": "Tau", "function": lambda pt: pt > 25, "use": TAU_PT},
            {
                "object": "Jet",
                "function": lambda jets, taus: ak.all(jets.metric_table(taus) > 0.4, axis=2),
                "use": [("Jet", None), ("Tau", None)],
            },
        ]
    },
    "channels": [
        {
            "name": "tau_jet",
            "selection": {
                "function": lambda taus, jets: (ak.num(taus) > 0) & (ak.num(jets) > 0),
                "use": [TAU_PT, JET_PT],
            },
            "observables": [
                {
                    "name": "balance",
                    "binning": np.linspace(0, 2500, 26),
                    "function": partial(
                        lambda jets, taus, power: difference(
                            ak.max(jets, axis=1), ak.max(taus, axis=1), power=power
                        ),
                        power=2,
                    ),
                    "use": [JET_PT, TAU_PT],
                },
                {
                    "name": "visible_mass",
                    "binning": "0,40,20",
                    "function": lambda mass: mass[:, 0],
                    "use": [("Tau", "mass")],
                },
            ],
            "fit_observable": "visible_mass",
        },
        {
            "name": "everything",
            "selection": None,
            "observables": [
                {
                    "name": "jets",
                    "binning": "0,500,20",
                    "function": lambda pt: ak.sum(pt, axis=1),
                    "use": [JET_PT],
                },
                {"name": "rho", "binning": "0,50,10", "function": lambda x: x, "use": [RHO]},
            ],
            "fit_observable": None,
        },
    ],
    "corrections": [
        {
            "name": "tau_energy",
            "type": "object",
            "file": "2016.json.gz",
            "key": "tau_energy",
            "args": [TAU_PT, ("Tau", "decayMode"), Sys()],
            "transform_in": lambda pt, mode: [pt, ak.where(mode == 10, 10, mode)],
            "target": [TAU_PT, ("Tau", "mass")],
            "applies_to": "both",
            "nominal_idx": "nom",
            "uncertainty_sources": [{"name": "tau_energy", "is_delta": False}],
        },
        {
            "name": "rho_offset",
            "type": "object",
            "use_correctionlib": False,
            "nominal_function": offset,
            "args": [RHO, Sys()],
            "op": "add",
            "target": RHO,
            "uncertainty_sources": [
                {
                    "name": "rho",
                    "up_function": offset,
                    "down_function": offset,
                    "up_and_down_idx": ["high", "low"],
                }
            ],
        },
        {
            "name": "area",
            "type": "object",
            "use_correctionlib": False,
            "nominal_function": lambda rho, area: 0.5 * rho * area,
            "args": [RHO, ("Jet", "area")],
            "op": "subtract",
            "target": JET_PT,
        },
        {
            "name": "jet_scale",
            "type": "object",
            "use_correctionlib": False,
            "nominal_function": lambda pt: 1 + 0.1 * (pt > 40),
            "args": [JET_PT],
            "target": JET_PT,
            "uncertainty_sources": [
                {
                    "name": "jet_on_top",
                    "args": [JET_PT, ("Jet", "eta")],
                    "up_function": scaled_by(0.1),
                    "down_function": scaled_by(-0.1),
                    "is_delta": True,
                },
                {
                    "name": "jet_instead",
                    "up_function": lambda pt: 1 + 0.2 * (pt > 40),
                    "down_function": lambda pt: 1 + 0.05 * (pt > 45),
                },
            ],
        },
        {
            "name": "tau_efficiency",
            "type": "event",
            "use_correctionlib": False,
            "nominal_function": lambda pt: 0.9 + 0.001 * pt,
            "args": [TAU_PT],
            "reduce": "prod",
            "uncertainty_sources": [
                {
                    "name": "tau_efficiency",
                    "up_function": lambda pt: 1.05 + 0 * pt,
                    "down_function": lambda pt: 0.97 + 0 * pt,
                    "is_delta": True,
                }
            ],
        },
        {
            "name": "extra",
            "type": "event",
            "op": "add",
            "use_correctionlib": False,
            "nominal_function": lambda pt: 0.01 * pt,
            "args": [ObjVar("Jet", "pt")],
            "reduce": "sum",
            "uncertainty_sources": [
                {"name": "extra", "up_function": lambda pt: 0.03 * pt, "symmetrise": True}
            ],
        },
        {
            "name": "data_quality",
            "type": "event",
            "use_correctionlib": False,
            "nominal_function": lambda run: 1.0 + 0.5 * (run == 2),
            "args": [("event", "run")],
            "applies_to": "data",
        },
    ],
    "systematics": [
        {
            "name": "scale",
            "type": "event",
            "op": "mult",
            "use": [("LHEScaleWeight", None)],
            "up_function": lambda weights: weights[:, 2],
            "down_function": lambda weights: weights[:, 0],
        }
    ],
}

NAMES = "tau_energy rho jet_on_top jet_instead tau_efficiency extra scale".split()  # noqa: SIM905
DATASETS = {
    "zprime_1000": ("zprime_1000", 41.5, "signal/*.root"),
    "ttbar": ("ttbar", 41.5 * 830.0, "ttbar/*.root"),
    "data": ("data", None, "data/*.root"),
}
EDGES = {
    ("tau_jet", "balance"): np.linspace(0, 2500, 26),
    ("tau_jet", "visible_mass"): np.linspace(0, 40, 21),
    ("everything", "jets"): np.linspace(0, 500, 21),
    ("everything", "rho"): np.linspace(0, 50, 11),
}


def labels(_: str) -> list[str]:
    return [f"{name}_{side}" for name in NAMES for side in ("up", "down")]


@dataclass(frozen=True)
class Loop:
    """One event in one variation."""

    library: Any

    def taus(self, event: plain.Event, label: str) -> list[plain.Row]:
        word = {"tau_energy_up": "up", "tau_energy_down": "down"}.get(label, "nom")
        taus = plain.rows(event, "Tau")
        for tau in taus:
            factor = self.library["tau_energy"].evaluate(tau["pt"], tau["decayMode"], word)
            tau["pt"], tau["mass"] = plain.f32(tau["pt"] * factor), plain.f32(tau["mass"] * factor)
        return [tau for tau in taus if tau["idDeepTau"] >= 2 and tau["pt"] > 25]

    def jets(self, event: plain.Event, label: str, *, is_data: bool) -> tuple[Any, float]:
        jets, rho = plain.rows(event, "Jet"), event["rho"]
        if is_data:
            return jets, rho
        rho = plain.f32(rho + {"rho_up": 2.0, "rho_down": -1.0}.get(label, 0.5))
        low, up = {"jet_instead_up": (40, 0.2), "jet_instead_down": (45, 0.05)}.get(
            label, (40, 0.1)
        )
        top = {"jet_on_top_up": 0.1, "jet_on_top_down": -0.1}.get(label)
        for jet in jets:
            pt = plain.f32(jet["pt"] - 0.5 * rho * jet["area"])
            pt = plain.f32(pt * (1 + up * (pt > low)))
            jet["pt"] = pt if top is None else plain.f32(pt * scaled_by(top)(pt, jet["eta"]))
        return jets, rho

    def weight(self, event: plain.Event, label: str, taus: Any, jets: Any) -> float:
        weight = event["genWeight"]
        more = {"tau_efficiency_up": 1.05, "tau_efficiency_down": 0.97}.get(label, 1.0)
        for tau in taus:
            weight *= (0.9 + 0.001 * tau["pt"]) * more
        size = {"extra_up": 0.03, "extra_down": -0.01}.get(label, 0.01)
        weight += sum(size * jet["pt"] for jet in jets)
        which = {"scale_up": 2, "scale_down": 0}.get(label)
        return weight if which is None else weight * event["LHEScaleWeight"][which]

    def __call__(self, event: plain.Event, label: str, dataset: str) -> Iterator[plain.Fill]:
        is_data = dataset == "data"
        taus, (jets, rho) = self.taus(event, label), self.jets(event, label, is_data=is_data)
        jets = [jet for jet in jets if all(plain.distance(jet, tau) > 0.4 for tau in taus)]
        weight = 1.0 + 0.5 * (event["run"] == 2)
        weight = weight if is_data else self.weight(event, label, taus, jets)
        yield "everything", "jets", sum(jet["pt"] for jet in jets), weight
        yield "everything", "rho", rho, weight
        if taus and jets:
            highest = (max(one["pt"] for one in objects) for objects in (jets, taus))
            yield "tau_jet", "balance", difference(*highest, power=2), weight
            yield "tau_jet", "visible_mass", taus[0]["mass"], weight


def loop(folder: Path) -> plain.Loop:
    return Loop(plain.evaluators(folder / "2016.json.gz"))
