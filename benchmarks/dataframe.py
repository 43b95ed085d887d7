"""The RDataFrame row from this side: ROOT lives in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import correctionlib
import numpy as np

from benchmarks.handwritten import MUON_FILE, MUON_KEYS, PILEUP
from benchmarks.setup import EDGES, MIN_JET_PT, make_config, source_keys

__all__ = ["ROOT_PYTHON", "is_installed", "run"]

LONGEST = 4000  # characters of what ROOT says when it fails
TOP = Path(__file__).parents[1]
ROOT_PYTHON = TOP / ".servers" / "root" / "bin" / "python"  # `make servers` makes it


def is_installed() -> bool:
    """Say whether there is a ROOT."""
    return ROOT_PYTHON.exists()


def run(
    base_dir: Path, n_sources: int, files: dict[str, list[str]]
) -> tuple[int, dict[tuple[str, str], Any]]:
    """Run it in a process of its own; return the number of events and the histograms."""
    table = make_config(base_dir)
    lumi = table["general"]["lumi"]
    file, keys = source_keys(n_sources)
    asked = {
        "files": files,
        "edges": EDGES.tolist(),
        "min_jet_pt": MIN_JET_PT,
        "scale": {
            one["name"]: one["cross_sections"] * lumi for one in table["datasets"]["datasets"]
        },
        "correctionlib": str(Path(correctionlib.__file__).parent),
        "muon_file": str(base_dir / MUON_FILE),
        "muon_keys": list(MUON_KEYS.values()),
        "pileup_file": str(base_dir / PILEUP[0]),
        "pileup_key": PILEUP[1],
        "jes_file": str(base_dir / file),
        "sources": keys,
    }
    with tempfile.TemporaryDirectory() as folder:
        spec, out = Path(folder) / "asked.json", Path(folder) / "out.npz"
        spec.write_text(json.dumps({**asked, "histograms": str(out)}))
        script = str(Path(__file__).with_name("dataframe_root.py"))
        process = subprocess.run(
            [ROOT_PYTHON, script, spec], capture_output=True, text=True, check=False
        )
        if process.returncode:
            raise RuntimeError(process.stderr[-LONGEST:])
        arrays = dict(np.load(out))
    histograms = {}
    for key, value in arrays.items():
        process_name, _, variation = key.partition("\n")
        histograms[process_name, variation] = value
    return int(process.stdout.split()[-1]), histograms
