"""A small analysis that shows which chunks it is given: for runs that are disturbed.

``MARKS`` names a file that gets a line for each chunk that is begun, ``PAUSE_S`` makes chunks slow
enough to be hit. Both are read from the environment, so that they reach every worker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from intccms.schema import ObjVar, Sys

__all__ = ["config", "make_config"]

N_EVENTS = 300  # per file
CHUNK_SIZE = 60


def good_jets(jets: ak.Array) -> ak.Array:
    return (jets.pt > 30) & (abs(jets.eta) < 2.4)


def marked(met: ak.Array, event: ak.Array) -> PackedSelection:
    """Keep events with some missing momentum; leave a mark of the chunk that was begun."""
    numbers = np.asarray(event)
    if len(numbers):
        leave_mark(f"{numbers[0]}")
        time.sleep(float(os.environ.get("PAUSE_S", "0")))
    selection = PackedSelection()
    selection.add("met", met.pt > 20)
    return selection


def leave_mark(text: str) -> None:
    if path := os.environ.get("MARKS"):
        with Path(path).open("a") as file:
            file.write(f"{text}\n")


def ht(jets: ak.Array) -> ak.Array:
    return ak.sum(jets.pt, axis=1)


def make_config(
    redirector: Sequence[str] = (), *, max_retries: int = 5, **general: Any
) -> dict[str, Any]:
    """Return the configuration; keyword arguments go to ``general``."""
    return {
        "general": {
            "lumi": 1000.0,
            "weight_branch": "genWeight",
            "executor": "iterative",
            "run_statistics": False,
            "metrics": {"enable": False},
            **general,
        },
        "preprocess": {
            "skimming": {
                "function": marked,
                "use": [("MET", None), ("event", None)],
                "chunk_size": CHUNK_SIZE,
                "max_retries": max_retries,
            }
        },
        "datasets": {
            "datasets": [
                {
                    "name": "ttbar",
                    "directories": "ttbar/",
                    "cross_sections": 5.0,
                    "file_pattern": "files.txt",
                    "redirector": list(redirector),
                }
            ]
        },
        "good_object_masks": {
            "analysis": [{"object": "Jet", "function": good_jets, "use": [("Jet", None)]}]
        },
        "channels": [
            {
                "name": "all",
                "fit_observable": "met",
                "observables": [
                    {
                        "name": "met",
                        "binning": "0,300,10",
                        "function": lambda pt: pt,
                        "use": [ObjVar("MET", "pt")],
                    },
                    {
                        "name": "ht",
                        "binning": "0,1000,10",
                        "function": ht,
                        "use": [("Jet", None)],
                    },
                ],
            }
        ],
        "corrections": [
            {
                "name": "pileup",
                "type": "event",
                "file": "corrections.json",
                "key": "pileup",
                "args": [ObjVar("Pileup", "nTrueInt"), Sys()],
                "uncertainty_sources": [{"name": "pileup"}],
            }
        ],
        "systematics": [
            {
                "name": "jes",
                "type": "object",
                "target": ("Jet", "pt"),
                "use": [("Jet", "pt")],
                "op": "mult",
                "up_function": lambda pt: 1.0 + 1.0 / pt,
                "symmetrise": True,
            }
        ],
    }


config = make_config()
