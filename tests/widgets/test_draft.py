"""A draft is valid at every moment, and its changes are overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intccms.engine.variations import plan_variations
from intccms.errors import ConfigError
from intccms.schema import Sys, load_config
from intccms.widgets import Draft

SOURCE = "example_opendata.configs.configuration:config"
BINNING = "channels.CMS_WORKSHOP.observables.workshop_mtt.binning"
OFF = "corrections.jes.uncertainty_sources.jesFlavorQCD.processes"


def test_the_overrides_of_a_draft_make_the_same_configuration() -> None:
    draft = Draft(SOURCE)
    draft.put_text("general.executor", "futures")
    draft.put_text(BINNING, "200,3000,10")
    draft.put({"general.processes": ["signal", "data"]})
    assert load_config(SOURCE, draft.overrides()).sha256 == draft.config.sha256
    assert draft.config.processes == ("signal", "data")


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("general.n_workers", "-3", "greater than 0"),
        ("general.n_workers", "three", "whole number"),
        (BINNING, "3,2,1", "bin edges increase"),
        ("general.procesess", "[signal]", "unknown key 'procesess'"),
        ("general.processes", "[signal", "not YAML"),
    ],
)
def test_what_is_wrong_changes_nothing(key: str, text: str, message: str) -> None:
    draft = Draft(SOURCE, ["datasets.max_files=1"])
    before = draft.config
    with pytest.raises(ConfigError, match=message):
        draft.put_text(key, text)
    assert draft.config is before
    assert draft.overrides() == ["datasets.max_files=1"]


def test_the_value_of_the_file_takes_a_change_back() -> None:
    draft = Draft(SOURCE)
    draft.put_text("general.executor", "futures")
    draft.put_text("general.executor", "dask")
    assert draft.overrides() == []
    assert draft.config is draft.original


def test_the_difference_names_both_values() -> None:
    draft = Draft(SOURCE, {"general.executor": "futures", BINNING: "200,3000,10"})
    assert draft.diff().rows[1:] == [
        ["general.executor", "dask", "futures"],
        [BINNING, "200,3000,20", "200,3000,10"],
    ]


def test_a_draft_is_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "overrides.yaml"
    draft = Draft(SOURCE, {BINNING: "200,3000,10", OFF: []})
    draft.save(path)
    again = Draft(SOURCE, ["general.executor=futures"])
    again.load(path)
    assert again.changes == draft.changes


@pytest.mark.parametrize("text", ["general.n_workers: -1\n", "[1, 2", "just words"])
def test_a_file_that_is_wrong_leaves_the_draft(tmp_path: Path, text: str) -> None:
    path = tmp_path / "overrides.yaml"
    path.write_text(text)
    draft = Draft(SOURCE, ["general.executor=futures"])
    with pytest.raises(ConfigError):
        draft.load(path)
    assert draft.overrides() == ["general.executor=futures"]


@pytest.mark.parametrize("key", ["use", "args"])
def test_a_source_that_concerns_no_process_is_off_in_every_spelling(key: str) -> None:
    """`use` and functions of `systematics` are older: their sources have no entry of their own."""
    pileup: dict[str, Any] = {"name": "pu", "type": "event", "file": "pu.json", "key": "pu"}
    if key == "use":
        pileup["use"] = [("Pileup", "nTrueInt")]
    else:
        pileup |= {
            "args": [("Pileup", "nTrueInt"), Sys()],
            "uncertainty_sources": [{"name": "pu"}, {"name": "other"}],
        }
    source = {**dict(load_config(SOURCE)), "corrections": [pileup]}
    source["systematics"] = [{"name": "lumi", "type": "event", "up_function": lambda: 1.02}]
    for off in (
        "corrections.pu.uncertainty_sources.pu",
        "systematics.lumi.uncertainty_sources.lumi",
    ):
        before = labels(Draft(source))
        gone = before - labels(Draft(source, {f"{off}.processes": []}))
        assert {label.rpartition("_")[0] for label in gone} == {off.rpartition(".")[2]}


def labels(draft: Draft) -> set[str]:
    return set(plan_variations(draft.config, "signal", year=None, is_data=False).labels)
