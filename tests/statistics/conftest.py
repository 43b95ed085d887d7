from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hist
import numpy as np
import pytest

from intccms.histograms import Book
from intccms.schema import Config, load_config

Contents = Mapping[str, Mapping[str, Sequence[float]]]  # process -> variation -> bin contents
MakeBook = Callable[..., Book]
MakeConfig = Callable[..., Config]

EDGES = (0.0, 1.0, 2.0, 4.0)
LABEL = "$m$ [GeV]"

# Three bins; jes on everything, pileup on ttbar only.
SIGNAL_REGION: dict[str, dict[str, list[float]]] = {
    "signal": {"nominal": [1.0, 6.0, 3.0], "jes_up": [1.0, 7.0, 3.0], "jes_down": [1.0, 5.0, 3.0]},
    "ttbar": {
        "nominal": [80.0, 40.0, 10.0],
        "jes_up": [88.0, 42.0, 10.0],
        "jes_down": [72.0, 38.0, 10.0],
        "pileup_up": [84.0, 38.0, 10.0],
        "pileup_down": [76.0, 42.0, 10.0],
    },
    "wjets": {
        "nominal": [20.0, 8.0, 5.0],
        "jes_up": [23.0, 9.0, 5.0],
        "jes_down": [17.0, 7.0, 5.0],
    },
    "data": {"nominal": [103.0, 50.0, 17.0]},
}
CONTROL_REGION: dict[str, dict[str, list[float]]] = {
    "signal": {"nominal": [0.0, 0.0, 0.0]},
    "ttbar": {
        "nominal": [300.0, 200.0, 100.0],
        "jes_up": [310.0, 215.0, 100.0],
        "jes_down": [290.0, 185.0, 100.0],
        "pileup_up": [306.0, 200.0, 99.0],
        "pileup_down": [294.0, 200.0, 101.0],
    },
    "wjets": {
        "nominal": [60.0, 30.0, 15.0],
        "jes_up": [63.0, 32.0, 15.0],
        "jes_down": [57.0, 28.0, 15.0],
    },
    "data": {"nominal": [355.0, 238.0, 112.0]},
}


def histogram(contents: Contents, labels: Sequence[str], observable: str) -> hist.Hist[Any]:
    """Histogram in the shape of the book; each event weighs 0.1."""
    result = hist.Hist(
        hist.axis.Variable(EDGES, name=observable, label=LABEL),
        hist.axis.StrCategory(list(contents), name="process", overflow=False),
        hist.axis.StrCategory(list(labels), name="variation", overflow=False),
        storage=hist.storage.Weight(),
    )
    view: Any = result.view()
    for row, variations in enumerate(contents.values()):
        for column, label in enumerate(labels):
            values = np.asarray(variations.get(label, variations["nominal"]))
            view["value"][:, row, column] = values
            view["variance"][:, row, column] = np.abs(values) * 0.1
    return result


@pytest.fixture
def make_book() -> MakeBook:
    """Book from the contents of the channels ``sr`` and, if given, ``cr``."""

    def make(sr: Contents, cr: Contents | None = None, data: Sequence[str] = ("data",)) -> Book:
        regions = {"sr": sr} if cr is None else {"sr": sr, "cr": cr}
        varied: dict[str, dict[str, None]] = {process: {} for process in sr}
        for contents in regions.values():
            for process, variations in contents.items():
                varied[process].update(dict.fromkeys(v for v in variations if v != "nominal"))
        labels = ["nominal", *dict.fromkeys(v for names in varied.values() for v in names)]
        histograms = {
            (name, "mass"): histogram(contents, labels, "mass")
            for name, contents in regions.items()
        }
        return Book(histograms, {name: tuple(v) for name, v in varied.items()}, tuple(data))

    return make


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Configuration with the channels ``sr`` and ``cr``, whose output is in `tmp_path`."""

    def make(
        processes: Sequence[str] = tuple(SIGNAL_REGION),
        general: Mapping[str, Any] = MappingProxyType({}),
        **statistics: Any,
    ) -> Config:
        observable = {"name": "mass", "binning": list(EDGES), "function": abs, "use": [("m", "m")]}
        channels = [
            {"name": name, "fit_observable": "mass", "observables": [observable]}
            for name in ("sr", "cr")
        ]
        datasets = [
            {
                "name": name,
                "directories": (name,),
                "cross_sections": (1.0,),
                "is_data": name.startswith("data"),
            }
            for name in processes
        ]
        always = {"lumi": 1.0, "weight_branch": "genWeight", "output_dir": str(tmp_path / "out")}
        return load_config(
            {
                "general": {**always, "base_dir": str(tmp_path), **general},
                "preprocess": {"branches": {}},
                "datasets": {"datasets": datasets},
                "channels": channels,
                "statistics": statistics,
            }
        )

    return make


@pytest.fixture
def book(make_book: MakeBook) -> Book:
    return make_book(SIGNAL_REGION, CONTROL_REGION)


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    return make_config(masses_gev={"signal": 2000.0})
