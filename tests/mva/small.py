"""A signal with more missing momentum and harder jets, a background, and a classifier of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from intccms.schema import Config, load_config
from tests.engine.conftest import make_events, write_file

N_EVENTS = 800  # in each of two files of a process
PROCESSES = {"signal": 1.0, "ttbar": 5.0, "wjets": 20.0}  # cross sections in pb
COLUMNS = ("Jet", "PuppiMET_pt", "PuppiMET_phi", "genWeight", "run", "luminosityBlock", "event")


def write_inputs(base: Path) -> Path:
    """Write two files of each process; one event in fifty has a weight of 0."""
    for seed, process in enumerate(PROCESSES):
        for i in range(2):
            events = make_events(N_EVENTS, seed=10 * seed + i)
            events = {name: events[name] for name in COLUMNS}
            events["event"] = events["event"] + np.uint64(N_EVENTS * i)
            events["genWeight"][::50] = 0.0
            if process == "signal":
                events["PuppiMET_pt"] = (events["PuppiMET_pt"] * 2 + 40).astype("f4")
                harder = ak.values_astype(events["Jet"]["pt"] * 1.5, np.float32)
                events["Jet"] = ak.with_field(events["Jet"], harder, "pt")
            write_file(base / process / f"{i}.root", events)
    return base


def ht(jets: ak.Array) -> ak.Array:
    return ak.sum(jets.pt, axis=1)


def network() -> Any:
    """Give what has matrix products of a length that depends on the chunk."""
    layers = MLPClassifier((13, 5), early_stopping=True, learning_rate_init=0.01)
    return make_pipeline(StandardScaler(), layers)


def classifier(**more: Any) -> dict[str, Any]:
    """Return the block of one classifier."""
    return {
        "name": "nn",
        "estimator": network,
        "classes": ["signal", {"background": ("ttbar", "wjets")}],
        "features": [
            {"name": "ht", "function": ht, "use": [("Jet", None)], "binning": "0,1000,20"},
            {
                "name": "met",
                "label": "$p_T^{miss}$ [GeV]",
                "function": lambda pt: pt,
                "use": [("PuppiMET", "pt")],
                "scale": np.log1p,
            },
        ],
        **more,
    }


def table(base: Path, out: Path, *, mva: Any = None, **general: Any) -> dict[str, Any]:
    """Return a configuration whose one channel cuts on the score and fills it."""
    return {
        "general": {
            "lumi": 1000.0,
            "weight_branch": "genWeight",
            "base_dir": str(base),
            "output_dir": str(out),
            "executor": "iterative",
            "run_statistics": False,
            "chunk_size": 300,
            "metrics": {"enable": False},
            **general,
        },
        "datasets": {
            "datasets": [
                {"name": name, "directories": f"{name}/", "cross_sections": xsec}
                for name, xsec in PROCESSES.items()
            ]
        },
        "baseline_selection": {
            "function": lambda jets: ak.num(jets) >= 2,
            "use": [("Jet", None)],
        },
        "channels": [
            {
                "name": "all",
                "selection": {"function": lambda score: score > 0.2, "use": [("mva", "nn")]},
                "observables": [
                    {
                        "name": "score",
                        "binning": "0,1,20",
                        "function": lambda score: score,
                        "use": [("mva", "nn")],
                    }
                ],
            }
        ],
        "systematics": [
            {
                "name": "jes",
                "type": "object",
                "target": ("Jet", "pt"),
                "use": [("Jet", "pt")],
                "op": "mult",
                "up_function": lambda pt: 1.1 + 0 * pt,
                "down_function": lambda pt: 0.9 + 0 * pt,
            }
        ],
        "mva": [classifier()] if mva is None else mva,
    }


def configured(base: Path, out: Path, *, mva: Any = None, **general: Any) -> Config:
    return load_config(table(base, out, mva=mva, **general))
