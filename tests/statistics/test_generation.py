"""Which templates a generated configuration smooths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest

from intccms.histograms import Book
from intccms.schema import Config, load_config
from intccms.schema.statistics import Statistics
from intccms.statistics import build_config, build_workspace

EDGES = np.arange(21.0)
NOMINAL = np.linspace(60.0, 10.0, 20)
WIGGLE = np.random.default_rng(1).normal(size=20)
OBSERVABLE = {"name": "mass", "binning": list(EDGES), "function": abs, "use": [("m", "m")]}
PROCESSES = ("signal", "wjets", "ttbar", "data")


@pytest.fixture
def book() -> Book:
    """Few simulated events of W+jets, many of tt; both with the same effects of 2 %."""
    labels = ["nominal", "jes_up", "jes_down", "pileup_up", "pileup_down"]
    histogram = hist.Hist(
        hist.axis.Variable(EDGES, name="mass", label="$m$ [GeV]"),
        hist.axis.StrCategory(PROCESSES, name="process", overflow=False),
        hist.axis.StrCategory(labels, name="variation", overflow=False),
        storage=hist.storage.Weight(),
    )
    view: Any = histogram.view()
    for row, weight in enumerate((1.0, 1.0, 1e-6, 1.0)):
        for column, label in enumerate(labels):
            sign = {"up": 1, "down": -1}.get(label.rpartition("_")[2], 0)
            values = NOMINAL * (1 + 0.02 * sign * WIGGLE)
            view["value"][:, row, column] = values
            view["variance"][:, row, column] = values * weight
    varied = {name: tuple(labels[1:]) if name != "data" else () for name in PROCESSES}
    return Book({("sr", "mass"): histogram}, varied, ("data",))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Jet energies move objects, pileup is a weight; what is within the errors is smoothed."""
    functions = {"up_function": np.abs, "down_function": np.abs}
    return load_config(
        {
            "general": {"lumi": 1.0, "weight_branch": "w", "output_dir": str(tmp_path / "out")},
            "preprocess": {"branches": {}},
            "datasets": {
                "datasets": [
                    {
                        "name": name,
                        "directories": (name,),
                        "cross_sections": (1.0,),
                        "is_data": name == "data",
                    }
                    for name in PROCESSES
                ]
            },
            "channels": [{"name": "sr", "fit_observable": "mass", "observables": [OBSERVABLE]}],
            "statistics": {"smoothing": True},
            "systematics": [
                {
                    "name": "jes", "type": "object", "target": ("Jet", "pt"),
                    "use": [("Jet", "pt")], "op": "mult", **functions,
                },
                {
                    "name": "pileup", "type": "event", "use": [("Pileup", "nTrueInt")],
                    "op": "mult", **functions,
                },
            ],
        }
    )  # fmt: skip


def test_noise_of_moved_objects_is_smoothed_in_backgrounds(config: Config, book: Book) -> None:
    generated = {one["Name"]: one for one in build_config(config, book, "signal")["Systematics"]}
    assert generated["jes"]["Smoothing"] == {"Algorithm": "353QH, twice", "Samples": ["wjets"]}
    assert "Smoothing" not in generated["pileup"]  # the same events: nothing fluctuates


def test_nothing_is_smoothed_unless_it_is_asked_for(config: Config, book: Book) -> None:
    config = config.model_copy(update={"statistics": None})
    assert all(
        "Smoothing" not in one for one in build_config(config, book, "signal")["Systematics"]
    )
    assert all(one.action != "smoothed" for one in build_workspace(config, book, "signal").changes)


def test_a_workspace_that_was_smoothed_has_the_templates_that_were_not(
    config: Config, book: Book
) -> None:
    smoothed = build_workspace(config, book, "signal")
    config = config.model_copy(update={"statistics": Statistics(pruning=False)})
    as_filled = build_workspace(config, book, "signal")
    assert smoothed.spec != as_filled.spec
    assert smoothed.unreduced == as_filled.spec
    assert as_filled.unreduced is None


def test_a_signal_that_is_not_fitted_is_no_background(config: Config, book: Book) -> None:
    # by its name, and by having a mass
    for masses in ({}, {"wjets": 500.0}):
        chosen = Statistics(signals=("ttbar",), masses_gev=masses)
        generated = build_config(config.model_copy(update={"statistics": chosen}), book, "ttbar")
        samples = {one["Name"] for one in generated["Samples"]}
        assert samples == {"data", "ttbar"} | ({"wjets"} - masses.keys())
        assert generated["Systematics"][0]["Samples"] == [
            name for name in ("wjets", "ttbar") if name in samples
        ]


def test_the_workspace_has_less_of_the_noise(config: Config, book: Book) -> None:
    workspace = build_workspace(config, book, "signal")
    shapes = {
        (sample["name"], one["name"]): np.asarray(one["data"]["hi_data"])
        for sample in workspace.spec["channels"][0]["samples"]
        for one in sample["modifiers"]
        if one["type"] == "histosys"
    }
    noise = {key: np.std(values / NOMINAL) for key, values in shapes.items()}
    assert noise["wjets", "jes"] < 0.7 * noise["wjets", "pileup"]
    assert noise["ttbar", "jes"] == pytest.approx(noise["wjets", "pileup"])
    assert noise["signal", "jes"] == pytest.approx(noise["wjets", "pileup"])
    smoothed = [one for one in workspace.changes if one.action == "smoothed"]
    assert {(one.sample, one.systematic) for one in smoothed} == {("wjets", "jes")}
    assert all(one.amount > 0.01 for one in smoothed)
