"""Runs of a small analysis that write skims and read them back, for the tests of the chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from intccms.pipeline import RunResult, Stages
from intccms.schema import Config, load_config
from tests.engine.configuration import make_config

CHUNK = 1000
BRANCHES = {
    "event": ["run", "luminosityBlock", "event", "genWeight"],
    "Muon": ["pt", "eta", "phi", "mass", "charge", "tightId"],
    "Jet": ["pt", "eta", "phi", "mass", "btagDeepB", "area"],
    "FatJet": ["pt", "eta", "phi", "mass"],
    "PuppiMET": ["pt", "phi"],
    "HLT": ["TkMu50"],
    "Pileup": ["nTrueInt"],
}
MC_BRANCHES = {"event": ["genWeight"], "Pileup": ["nTrueInt"]}


def skim(met: ak.Array, hlt: ak.Array, event: ak.Array) -> PackedSelection:
    """Nothing of the entries from 1000 to 2000 passes: a chunk without a kept event."""
    selection = PackedSelection()
    selection.add("trigger", hlt.TkMu50)
    selection.add("skim", selection.all("trigger") & (met.pt > 40) & (event // 1000 != 1))
    return selection


def nothing(event: ak.Array) -> ak.Array:
    return event < 0


def certified(run: ak.Array, section: ak.Array) -> ak.Array:
    return section != 3


def smeared(pt: ak.Array) -> ak.Array:
    """Draw random numbers: the same ones on a skim as on the original."""
    return np.random.normal(1.0, 0.05, len(pt))


def settings(inputs: Path, out: Path) -> dict[str, Any]:
    """Return a configuration with the formats and functions of which a skim has to be careful."""
    config = make_config(base_dir=str(inputs), output_dir=str(out), executor="iterative")
    config["general"]["run_statistics"] = False
    config["general"]["metrics"] = {"enable": False}
    config["preprocess"] = {
        "branches": BRANCHES,
        "mc_branches": MC_BRANCHES,
        "skimming": {
            "function": skim,
            "use": [("PuppiMET", None), ("HLT", None), ("event", "event")],
            "chunk_size": CHUNK,
        },
    }
    config["datasets"]["datasets"][1]["lumi_mask"] = {
        "function": certified,
        "use": [("event", "run"), ("event", "luminosityBlock")],
    }
    config["corrections"][0]["uncertainty_sources"] = config["corrections"][0][
        "uncertainty_sources"
    ][:2]
    config["systematics"].append(
        {"name": "smear", "type": "event", "use": [("PuppiMET", "pt")], "up_function": smeared}
    )
    return config


def configured(inputs: Path, out: Path, *overrides: str, **skimming: Any) -> Config:
    """Make the configuration; keyword arguments go to ``preprocess.skimming``."""
    config = settings(inputs, out)
    config["preprocess"]["skimming"] |= skimming
    return load_config(config, list(overrides))


def run(config: Config, client: Any = None) -> RunResult:
    """Run without figures."""
    with Stages(config, client) as stages:
        stages.count_files()
        stages.process()
        return stages.finish()


def reading(made: RunResult | Path, *more: str) -> list[str]:
    """Say that skims are read, and where they are."""
    place = made if isinstance(made, Path) else made.output.skimmed_dir
    return [
        "general.use_skimmed_input=True",
        f"general.skimmed_dir={json.dumps(str(place))}",
        *more,
    ]


def manifest(made: RunResult, dataset: str = "ttbar") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (made.output.skimmed_dir / dataset / "manifest.json").read_text()
    )
    return content


def assert_same(one: RunResult, other: RunResult) -> None:
    """Check that no bit of two results differs."""
    assert one.book is not None
    assert other.book is not None
    assert one.book.histograms.keys() == other.book.histograms.keys()
    for key, histogram in one.book.histograms.items():
        mine, theirs = histogram.view(flow=True), other.book.histograms[key].view(flow=True)
        assert mine.tobytes() == theirs.tobytes(), key
    for part in ("datasets", "yields", "cutflow", "lumi_sections", "lost_chunks"):
        assert one.summary[part] == other.summary[part], part
    lumis = [result.output.processed_lumis_json.read_bytes() for result in (one, other)]
    assert lumis[0] == lumis[1]
