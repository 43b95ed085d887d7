"""A small configuration in the new spelling; each test changes one thing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intccms.errors import ConfigError
from intccms.schema import ObjVar, Sys, WorkerEval, load_config

Table = dict[str, Any]


def select(*arrays: Any, **settings: Any) -> Any:
    return arrays, settings


def functor(*use: tuple[str, str | None], **more: Any) -> Table:
    return {"function": select, "use": list(use), **more}


def make_table() -> Table:
    """Two years, a signal, a background and data; weights and jets with uncertainties."""
    years = ("2017", "2018")
    return {
        "general": {
            "lumi": {"2017": 41480.0, "2018": 59830.0},
            "weight_branch": "genWeight",
        },
        "preprocess": {
            "branches": {"Muon": ["pt", "eta"], "event": ["genWeight", "run"]},
            "mc_branches": {"event": ["genWeight"]},
            "skimming": {
                **functor(("Muon", None)),
                "output": {
                    "format": "parquet",
                    "to_kwargs": {"storage_options": {"secret": WorkerEval(lambda: "hunter2")}},
                },
            },
        },
        "datasets": {
            "datasets": [
                dataset("signal", years, cross_sections=1.0),
                dataset("ttbar", years, cross_sections=(831.76, 831.76)),
                dataset(
                    "data",
                    years,
                    is_data=True,
                    lumi_mask=functor(("event", "run"), ("event", "luminosityBlock")),
                ),
            ],
        },
        "good_object_masks": {"analysis": [{"object": "Muon", **functor(("Muon", None))}]},
        "baseline_selection": functor(("Muon", None)),
        "ghost_observables": [
            {"names": ("mass", "chi2"), "collections": "top", **functor(("Jet", None))}
        ],
        "channels": [
            {
                "name": "SR",
                "fit_observable": "mtt",
                "observables": [
                    {"name": "mtt", "binning": "200,3000,20", **functor(("top", "mass"))},
                    {"name": "chi2", "binning": [0, 10, 100], **functor(("top", "chi2"))},
                ],
                "selection": functor(("Muon", None)),
            }
        ],
        "corrections": {year: corrections(year) for year in years},
        "statistics": {"masses_gev": {"signal": 2000.0}},
        "plotting": {"process_colors": {"ttbar": "#907AD6"}, "process_order": ["ttbar"]},
    }


def dataset(name: str, years: tuple[str, ...], **more: Any) -> Table:
    directories = tuple(f"datasets/{year}/{name}/" for year in years)
    return {
        "name": name,
        "directories": directories,
        "years": years,
        "file_pattern": "*.txt",
        **more,
    }


def corrections(year: str) -> list[Table]:
    return [
        {
            "name": "jec",
            "type": "object",
            "use_correctionlib": False,
            "nominal_function": select,
            "target": ObjVar("Jet", "pt"),
            "args": [ObjVar("Jet", "eta"), ("Jet", "pt")],
            "uncertainty_sources": [
                {"name": "jesScale", "up_function": select, "is_delta": True},
                {"name": f"jesStat_{year}", "up_function": select, "is_delta": True},
            ],
        },
        {
            "name": "btag",
            "type": "event",
            "file": f"corrections/{year}/btag.json.gz",
            "key": "deepJet_shape",
            "args": [Sys(), ("Jet", "eta"), "medium", 2],
            "reduce": "prod",
            "nominal_idx": "central",
            "uncertainty_sources": [
                {"name": "btag_hf", "up_and_down_idx": ["up_hf", "down_hf"]},
                {"name": "btag_jesScale", "varies_with": ["jesScale"]},
            ],
        },
    ]


@pytest.fixture
def table() -> Table:
    return make_table()


@pytest.fixture
def refused() -> Callable[..., str]:
    """Load a configuration that is wrong and return the one line that says why."""

    def message(table: Any, overrides: Any = ()) -> str:
        with pytest.raises(ConfigError) as caught:
            load_config(table, overrides)
        text = str(caught.value)
        assert "\n" not in text
        assert "pydantic" not in text
        return text

    return message
