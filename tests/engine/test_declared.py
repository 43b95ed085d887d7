"""Which branches an analysis reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intccms.analysis import runner
from intccms.datasets import DatasetFiles, DatasetManager, Fileset
from intccms.engine.columns import branches_of, branches_read, declared_inputs
from intccms.schema import Config, ObjVar, load_config

EXAMPLE = "example_opendata.configs.configuration:config"


@pytest.fixture(scope="module")
def config(tiny_sample: Path) -> Config:
    """The example on the tiny sample."""
    return load_config(EXAMPLE, [f"general.base_dir={tiny_sample}"])


@pytest.fixture(scope="module")
def fileset(config: Config) -> Fileset:
    """Its files."""
    return DatasetManager(config).fileset()


def test_the_functions_show_what_they_touch(config: Config, fileset: Fileset) -> None:
    processor = runner.make_processor(config, fileset)
    signal, data = fileset["signal"], fileset["data"]
    read = branches_read(processor, signal, signal.lfns[0])
    assert read is not None
    assert {"genWeight", "Muon_pt", "nMuon", "HLT_TkMu50", "Jet_btagDeepB"} <= read
    assert "run" not in read
    of_data = branches_read(processor, data, data.lfns[0])
    assert of_data is not None
    assert {"run", "luminosityBlock"} <= of_data
    assert "genWeight" not in of_data


def test_what_is_declared_holds_all_that_is_read(config: Config, fileset: Fileset) -> None:
    import uproot

    processor = runner.make_processor(config, fileset)
    for files in fileset:
        with uproot.open({files.lfns[0]: "Events"}) as tree:
            declared = branches_of(declared_inputs(config, files), tree.keys())
            assert declared <= set(tree.keys())
        read = branches_read(processor, files, files.lfns[0])
        assert read is not None
        assert read <= declared


def test_a_file_that_cannot_be_read_shows_nothing(
    config: Config, fileset: Fileset, tmp_path: Path
) -> None:
    processor = runner.make_processor(config, fileset)
    assert branches_read(processor, fileset["signal"], str(tmp_path / "no.root")) is None


def test_seeds_years_and_columns_of_its_own_are_understood() -> None:
    def nothing(*_: Any) -> None:
        return None

    config = load_config(
        {
            "general": {"lumi": 1.0, "weight_branch": "genWeight"},
            "datasets": {
                "datasets": [
                    {"name": "a", "directories": "a", "cross_sections": 1.0, "years": "2017"},
                ]
            },
            "corrections": {
                "2017": [
                    {"name": "jer", "type": "object", "target": ("Jet", "pt"),
                     "args": [("Jet", "pt"), ("event", "seed")], "nominal_function": nothing},
                    {"name": "data_only", "type": "event", "args": [("PV", "npvs")],
                     "applies_to": "data", "nominal_function": nothing},
                ],
                "2018": [{"name": "other", "type": "event", "args": [("Tau", "pt")],
                          "nominal_function": nothing}],
            },
            "ghost_observables": [
                {"names": "mass", "collections": "made", "function": nothing,
                 "use": [("MET", None)]}
            ],
            "channels": [
                {"name": "SR", "observables": [
                    {"name": "m", "binning": "0,1,2", "function": nothing,
                     "use": [("made", "mass")]},
                    {"name": "n", "binning": "0,1,2", "function": nothing, "use": [("made", None)]},
                ]}
            ],
        }
    )  # fmt: skip
    files = DatasetFiles("a_2017", "a", "2017", False, 1.0, ("a.root",), weight_branch="genWeight")
    assert set(declared_inputs(config, files)) == {
        ObjVar("Jet", "pt"), ObjVar("run"), ObjVar("luminosityBlock"), ObjVar("event"),
        ObjVar("MET"), ObjVar("genWeight"),
    }  # fmt: skip
