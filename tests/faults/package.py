"""An analysis of two modules, as text: to be written, changed, and imported anew."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from intccms.schema import Config, load_config

__all__ = ["CONFIGURATION", "DIGESTS", "HELPERS", "digests_of", "loaded", "written"]

CONFIGURATION = "ana/configuration.py"
HELPERS = "ana/helpers.py"
TEXTS = {
    "ana/__init__.py": "",
    HELPERS: """
import awkward as ak
import numpy as np

MIN_HT = 60.0
WANTED = {"Jet", "MET", "Muon", "Electron"}


def summed(jets):
    return ak.sum(jets.pt, axis=1) * len(WANTED) / 4


def certified(run, lumi, golden, last):
    import json

    with open(golden) as file:
        ranges = json.load(file)["1"]
    good = np.zeros(len(run), dtype=bool)
    for low, high in ranges:
        good = good | ((lumi >= low) & (lumi <= high))
    return good & (lumi <= last)
""",
    CONFIGURATION: '''
"""Configuration of the analysis."""
from ana import helpers
from intccms.schema import ObjVar, Sys


def shifted(amount):
    return lambda pt: pt + amount


def good_jets(jets):
    return jets.pt > 30


def baseline(jets):
    """Events with jets."""
    return helpers.summed(jets) > helpers.MIN_HT


config = {
    "general": {
        "lumi": 1000.0,
        "weight_branch": "genWeight",
        "executor": "iterative",
        "chunk_size": 100,
        "run_statistics": False,
    },
    "preprocess": {"skimming": {"chunk_size": 100}},
    "datasets": {
        "datasets": [
            {"name": "ttbar", "directories": "ttbar/", "cross_sections": 5.0, "redirector": ""},
            {
                "name": "data",
                "directories": "data/",
                "is_data": True,
                "lumi_mask": {
                    "function": helpers.certified,
                    "use": [("run", None), ("luminosityBlock", None)],
                    "static_kwargs": {"golden": "golden.json", "last": 1000},
                },
            },
        ]
    },
    "good_object_masks": {
        "analysis": [{"object": "Jet", "function": good_jets, "use": [("Jet", None)]}]
    },
    "baseline_selection": {"function": baseline, "use": [("Jet", None)]},
    "channels": [
        {
            "name": "all",
            "fit_observable": "met",
            "observables": [
                {
                    "name": "met",
                    "binning": "0,300,10",
                    "label": "MET [GeV]",
                    "function": shifted(10.0),
                    "use": [ObjVar("MET", "pt")],
                }
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
    "plotting": {"process_colors": {"ttbar": "#907AD6"}},
}
''',
}
NAME = "ana.configuration:config"
DIGESTS = """
import json
from intccms.engine.keys import dataset_digests
from intccms.analysis.runner import make_processor
from intccms.datasets import DatasetManager
from intccms.schema import load_config
config = load_config("ana.configuration:config", {"general.base_dir": %r})
digests = dataset_digests(make_processor(config, DatasetManager(config).fileset()))
"""

Edit = tuple[str, str, str]  # file, what is there, what is to be there


def written(folder: Path, *edits: Edit) -> Path:
    """Write the package below `folder`, with changes."""
    texts = dict(TEXTS)
    for name, old, new in edits:
        if old not in texts[name]:
            raise ValueError(f"{old!r} is not in {name}")
        texts[name] = texts[name].replace(old, new)
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def loaded(folder: Path, overrides: dict[str, Any]) -> Config:
    """Import the configuration of `folder` as a fresh process would."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "ana"]:
        del sys.modules[module]
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        return load_config(NAME, overrides)
    finally:
        sys.path.remove(str(folder))


def digests_of(folder: Path, base: Path, **env: str) -> str:
    """Say the digests as a process of its own finds them, in JSON."""
    code = DIGESTS % str(base) + "print(json.dumps(digests))"
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]
