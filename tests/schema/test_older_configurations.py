"""Configurations of the first version of this kit: their shape must go on validating."""

from __future__ import annotations

from typing import Any

import pytest

from intccms.schema import Config, ObjVar, Sys, load_config

Table = dict[str, Any]

PLAIN = {"file_pattern": "*.txt", "tree_name": "Events", "redirector": ""}


def cut(*arrays: Any, **settings: Any) -> Any:
    return arrays, settings


@pytest.fixture
def table() -> Table:
    """One year, tuples for references, weights with `use`, shifts under `systematics`."""
    observable = {
        "name": "workshop_mtt",
        "binning": "200,3000,20",
        "label": r"$M(t\bar{t})$ [GeV]",
        "function": cut,
        "use": [("Muon", None), ("Jet", None), ("FatJet", None), ("PuppiMET", None)],
    }
    mask = {"object": "Muon", "function": lambda muons: muons.pt > 55, "use": [("Muon", None)]}
    return {
        "general": {
            "lumi": 16400,
            "weight_branch": "genWeight",
            "analysis": "nondiff",
            "run_skimming": False,
            "run_metadata_generation": False,
            "read_from_cache": True,
            "output_dir": "example/outputs/",
            "cache_dir": "/tmp/integration/",
        },
        "preprocess": {
            "branches": {"Muon": ["pt", "eta"], "HLT": ["TkMu50"], "event": ["genWeight", "run"]},
            "ignore_missing": False,
            "mc_branches": {"event": ["genWeight"]},
            "skimming": {
                "function": cut,
                "use": [("PuppiMET", None), ("HLT", None)],
                "chunk_size": 100_000,
                "tree_name": "Events",
            },
        },
        "baseline_selection": {"function": cut, "use": [("Muon", None), ("Jet", None)]},
        "good_object_masks": {"analysis": [mask], "mva": [mask]},
        "channels": [
            {
                "name": "CMS_WORKSHOP",
                "fit_observable": "workshop_mtt",
                "observables": [observable],
                "selection": {"function": cut, "use": [("Muon", None), ("PuppiMET", None)]},
                "use_in_diff": True,
            }
        ],
        "ghost_observables": [
            {
                "names": ("n_jet", "st"),
                "collections": "mva",
                "function": cut,
                "use": [("Muon", None), ("Jet", None)],
            }
        ],
        "corrections": [
            {
                "name": "pu_weight",
                "file": "./example/corrections/puWeights.json.gz",
                "type": "event",
                "use": [("Pileup", "nTrueInt")],
                "op": "mult",
                "key": "Collisions16_UltraLegacy_goldenJSON",
                "use_correctionlib": True,
            },
            {
                "name": "muon_id_sf",
                "file": "./example/corrections/muon_Z.json.gz",
                "use": [("Muon", "eta"), ("Muon", "pt")],
                "transform": lambda eta, pt: (abs(eta)[:, 0], pt[:, 0]),
                "type": "event",
                "key": "NUM_TightID_DEN_TrackerMuons",
                "use_correctionlib": True,
                "op": "mult",
                "up_and_down_idx": ["systup", "systdown"],
            },
        ],
        "systematics": [
            {
                "name": "jet_pt_resolution",
                "up_function": cut,
                "target": ("Jet", "pt"),
                "use": [("Jet", "pt")],
                "symmetrise": True,
                "op": "mult",
                "type": "object",
            },
            {
                "name": "jet_pt_scale",
                "up_function": cut,
                "target": ("Jet", "pt"),
                "symmetrise": True,
                "op": "mult",
                "type": "object",
            },
        ],
        "statistics": {"cabinetry_config": "example/outputs/cabinetry/cabinetry_config.yaml"},
        "plotting": {
            "process_colors": {"signal": "#DABFFF", "ttbar": "#907AD6"},
            "process_labels": {"signal": r"$Z^{\prime} \rightarrow t\bar{t}$"},
            "process_order": ["ttbar", "wjets", "signal"],
        },
        "datasets": {
            "datasets": [
                {
                    "name": "signal",
                    "directories": "example/datasets/signal/m2000_w20/",
                    "cross_sections": 1.0,
                    "weight_branch": "genWeight",
                    **PLAIN,
                },
                {
                    "name": "wjets",
                    "directories": ("example/datasets/HT-70To100/", "example/datasets/HT-100/"),
                    "cross_sections": (1264.0, 1256.0),
                    "weight_branch": "genWeight",
                    **PLAIN,
                },
                {
                    "name": "data",
                    "directories": ("example/datasets/RunG/", "example/datasets/RunH/"),
                    "cross_sections": 1.0,
                    "weight_branch": None,
                    "is_data": True,
                    "lumi_mask": {
                        "function": cut,
                        "use": [("event", "run"), ("event", "luminosityBlock")],
                        "static_kwargs": {"lumifile": "./Cert.txt"},
                    },
                    **PLAIN,
                },
            ],
            "max_files": None,
        },
    }


@pytest.fixture
def config(table: Table) -> Config:
    return load_config(table)


def test_the_variations_bear_the_names_of_corrections_and_systematics(config: Config) -> None:
    sources = [s.name for c in config.corrections_for(None) for s in c.uncertainty_sources]
    assert sources == ["pu_weight", "muon_id_sf", "jet_pt_resolution", "jet_pt_scale"]


def test_weights_get_the_systematic_string_last(config: Config) -> None:
    muon = config.corrections_for(None)[1]
    assert muon.args == (ObjVar("Muon", "eta"), ObjVar("Muon", "pt"), Sys())
    assert muon.uncertainty_sources[0].up_and_down_idx == ("systup", "systdown")
    assert muon.transform_in is not None


def test_systematics_do_nothing_nominally(config: Config) -> None:
    assert [entry.has_nominal for entry in config.corrections_for(None)] == [True, True] + [
        False
    ] * 2


def test_processes_of_several_directories_become_several_datasets(config: Config) -> None:
    assert config.datasets.keys() == (
        "signal",
        "wjets_HT-70To100",
        "wjets_HT-100",
        "data_RunG",
        "data_RunH",
    )


def test_one_luminosity_needs_no_note_without_years(config: Config) -> None:
    assert config.notes == ()
    assert config.general.lumi_for(None) == 16400.0


def test_flags_of_the_command_line_are_understood(table: Table) -> None:
    flags = (
        "general.run_skimming=False general.read_from_cache=True general.run_mva_training=False "
        "general.run_plots_only=False general.run_metadata_generation=False"
    )
    assert not load_config(table, flags.split()).general.run_metadata_generation
