"""Numba functions and random numbers of the event's seed; a skim is written on the way."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numba
import numpy as np

from intccms.schema import WorkerEval
from intccms.schema.base import ObjVar, Sys
from tests.configurations import plain

MASK = 0xFFFFFFFFFFFFFFFF


@numba.njit(cache=False)
def scalar_sums(pts, threshold):  # noqa: ANN001, ANN201 - as users write them
    found = np.zeros(len(pts), dtype=np.float64)
    for i in range(len(pts)):
        for pt in pts[i]:
            if pt > threshold:
                found[i] += pt
    return found


@numba.njit(cache=False)
def has_pair(jets, mass_min):  # noqa: ANN001, ANN201
    found = np.zeros(len(jets), dtype=np.bool_)
    for i in range(len(jets)):
        event = jets[i]
        for j in range(len(event)):
            for k in range(j + 1, len(event)):
                one, two = event[j], event[k]
                angle = np.cosh(one.eta - two.eta) - np.cos(one.phi - two.phi)
                if np.sqrt(2.0 * one.pt * two.pt * angle) > mass_min:
                    found[i] = True
    return found


@numba.vectorize
def tag_weight(tag, pt):  # noqa: ANN001, ANN201
    return 1.0 + 0.2 * (tag - 0.5) if pt > 40 else 1.0


@numba.njit(cache=False)
def noise(seeds):  # noqa: ANN001, ANN201
    found = np.empty(len(seeds), dtype=np.float64)
    for i in range(len(seeds)):
        found[i] = 0.02 * ((seeds[i] >> np.uint64(40)) % np.uint64(100)) / 100.0
    return found


def weighted(tag, pt):  # noqa: ANN001, ANN201
    weights = tag_weight(np.asarray(ak.flatten(tag)), np.asarray(ak.flatten(pt)))
    return ak.unflatten(weights, ak.num(pt))


def smeared(seeds, word):  # noqa: ANN001, ANN201
    size = {"nominal": 1.0, "shiftup": 3.0, "shiftdown": 0.0}[word]
    return 1.0 + size * noise(np.asarray(seeds))


JETS, SEED = ObjVar("Jet"), ObjVar("event", "seed")
config = {
    "general": {
        "lumi": {"2016": 16.4},
        "weight_branch": "genWeight",
        "run_skimming": True,
        "chunk_size": 55,
        "batch_memory_mb": 0.2,
        "check_functors": True,
        "processes": ["signal_1", "top"],
        "channels": "pairs",
    },
    "preprocess": {
        "branches": {
            "Jet": ["pt", "eta", "phi", "mass", "btag"],
            "FatJet": ["pt", "eta", "phi", "mass"],
            "MET": ["pt", "phi"],
            "event": ["genWeight", "run", "luminosityBlock", "event", "rho"],
        },
        "mc_branches": {"event": ["genWeight"]},
        "ignore_missing": True,
        "skimming": {
            "function": lambda pts: scalar_sums(pts, 0.0) > 60,
            "use": [ObjVar("Jet", "pt")],
            "verify": "full",
            "output": {
                "format": "rntuple",
                "to_kwargs": {"compression": WorkerEval(lambda: os.environ.get("P_NONE"))},
            },
        },
    },
    "datasets": {
        "datasets": [
            {"name": "signal_1", "directories": "signal", "years": 2016},
            {"name": "top", "directories": "ttbar", "cross_sections": 830, "years": ["2016"]},
            {"name": "unused", "directories": "nowhere", "cross_sections": 1, "years": "2016"},
        ],
        "max_files": 1,
    },
    "good_object_masks": {
        "analysis": [
            {"object": "FatJet", "function": lambda fat: fat.pt > 200, "use": [("FatJet", None)]}
        ]
    },
    "channels": [
        {
            "name": "pairs",
            "fit_observable": "sum",
            "selection": {
                "function": has_pair,
                "use": [JETS],
                "static_kwargs": {"mass_min": 120.0},
            },
            "observables": [
                {
                    "name": "sum",
                    "binning": "0,600,24",
                    "function": scalar_sums,
                    "use": [ObjVar("Jet", "pt")],
                    "static_kwargs": {"threshold": 35.0},
                },
                {
                    "name": "met_phi",
                    "binning": "-3.2,3.2,16",
                    "function": lambda met: met.phi,
                    "use": [("MET", None)],
                },
                {
                    "name": "fat",
                    "binning": [0, 200, 300, 500, 1000],
                    "function": lambda pt: ak.fill_none(ak.max(pt, axis=1), 0),
                    "use": [("FatJet", "pt")],
                },
            ],
        },
        {"name": "other", "observables": [], "fit_observable": None},
    ],
    "corrections": {
        "2016": [
            {
                "name": "smearing",
                "type": "object",
                "use_correctionlib": False,
                "nominal_function": smeared,
                "args": [SEED, Sys()],
                "target": ObjVar("Jet", "pt"),
                "propagate_to": ObjVar("MET", "pt"),
                "resort": True,
                "uncertainty_sources": [
                    {
                        "name": "smearing",
                        "up_function": smeared,
                        "down_function": smeared,
                        "up_and_down_idx": ["shiftup", "shiftdown"],
                    }
                ],
            },
            {
                "name": "tagging",
                "type": "event",
                "use_correctionlib": False,
                "nominal_function": weighted,
                "args": [ObjVar("Jet", "btag"), ObjVar("Jet", "pt")],
                "reduce": "prod",
            },
        ]
    },
    "systematics": [
        {
            "name": "fat_scale",
            "type": "object",
            "op": "mult",
            "target": [("FatJet", "pt"), ("FatJet", "mass")],
            "use": [("FatJet", "eta")],
            "up_function": lambda eta: 1.05 + 0 * eta,
            "symmetrise": True,
        },
    ],
    "plotting": {"process_order": ["top"]},
}

DATASETS = {
    "signal_1_2016": ("signal_1", 16.4, "signal/0.root"),
    "top_2016": ("top", 16.4 * 830, "ttbar/0.root"),
}
EDGES = {
    ("pairs", "sum"): np.linspace(0, 600, 25),
    ("pairs", "met_phi"): np.linspace(-3.2, 3.2, 17),
    ("pairs", "fat"): np.array([0, 200, 300, 500, 1000.0]),
}


def labels(_: str) -> list[str]:
    return ["smearing_up", "smearing_down", "fat_scale_up", "fat_scale_down"]


def mixed(z: int) -> int:
    """The finaliser of SplitMix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def one_event(event: plain.Event, label: str, _: str) -> Iterator[plain.Fill]:
    """Do all of it for one event in one variation."""
    jets, met, seed = plain.rows(event, "Jet"), plain.record(event, "MET"), 0
    if sum(jet["pt"] for jet in jets) <= 60:
        return
    for part in ("run", "luminosityBlock", "event"):
        seed = mixed((seed + event[part] + 0x9E3779B97F4A7C15) & MASK)
    size = {"smearing_up": 3.0, "smearing_down": 0.0}.get(label, 1.0)
    factor = 1.0 + size * 0.02 * ((seed >> 40) % 100) / 100.0
    plain.scaled(jets, met, [factor] * len(jets))
    scale = {"fat_scale_up": 1.05, "fat_scale_down": 0.95}.get(label, 1.0)
    fat = [plain.f32(one["pt"] * scale) for one in plain.rows(event, "FatJet")]
    pairs = ((one, two) for i, one in enumerate(jets) for two in jets[i + 1 :])
    if not any(plain.pair_mass(one, two) > 120 for one, two in pairs):
        return
    weight = event["genWeight"]
    weight *= math.prod(1 + 0.2 * (j["btag"] - 0.5) if j["pt"] > 40 else 1.0 for j in jets)
    yield "pairs", "sum", sum(jet["pt"] for jet in jets if jet["pt"] > 35), weight
    yield "pairs", "met_phi", met["phi"], weight
    yield "pairs", "fat", max([0.0, *(pt for pt in fat if pt > 200)]), weight


def loop(_: Path) -> Any:
    return one_event
