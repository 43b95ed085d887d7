from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intccms.schema import ObjVar, Preprocess, Skimming, load_config

Table = dict[str, Any]


def test_the_defaults_are_those_of_the_reference() -> None:
    skimming = Preprocess().skimming
    assert (skimming.chunk_size, skimming.tree_name) == (100_000, "Events")
    assert (skimming.max_retries, skimming.verify) == (3, "count")
    assert skimming.target_part_size is None
    assert (skimming.output.format, skimming.output.output_dir) == ("parquet", None)


def test_without_a_function_every_event_is_kept() -> None:
    assert Skimming().selection is None


def fired(trigger: Any, *, a: int) -> Any:
    return trigger[a]


def test_the_selection_is_a_functor() -> None:
    settings = {"function": fired, "use": [("HLT", None)], "static_kwargs": {"a": 1}}
    selection = Skimming.model_validate(settings).selection
    assert selection is not None
    assert selection.function is fired
    assert selection.use == (ObjVar("HLT"),)
    assert selection.static_kwargs == {"a": 1}


def test_branches_are_kept_in_order(table: Table) -> None:
    preprocess = load_config(table).preprocess
    assert preprocess.branches["Muon"] == ("pt", "eta")
    assert preprocess.mc_branches == {"event": ("genWeight",)}
    assert not preprocess.ignore_missing


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("branches", ["Muon"], "preprocess.branches: should be a table"),
        ("branches", {"Muon": ["pt", "pt"]}, "preprocess.branches.Muon: 'pt' is named twice"),
        ("mc_branches", {"event": ["genweight"]}, "did you mean 'genWeight'?"),
        ("mc_branches", {"Muons": ["pt"]}, "mc_branches: no collection 'Muons' in branches"),
        ("ignore_missing", "yes", "should be True or False, not 'yes'"),
        ("skim", {}, "unknown key 'skim'; did you mean 'skimming'?"),
    ],
)
def test_wrong_branches_are_told_in_one_line(
    table: Table, refused: Callable[..., str], key: str, value: object, wanted: str
) -> None:
    table["preprocess"][key] = value
    message = refused(table)
    assert message.startswith("preprocess.")
    assert wanted in message


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("function", "skim", "should be callable, not 'skim'"),
        ("chunk_size", 0, "should be greater than 0, not 0"),
        ("chunk_size", "100k", "should be a whole number, not '100k'"),
        ("max_retries", -1, "should be greater than or equal to 0, not -1"),
        ("verify", "some", "should be 'count', 'full' or 'off', not 'some'"),
        ("target_part_size", 0, "should be greater than 0"),
        ("output", {"format": 123}, "should be 'parquet', 'ttree' or 'rntuple', not 123"),
        ("output", {"format": "root"}, "should be 'parquet', 'ttree' or 'rntuple'"),
        ("output", {"to_kwargs": 3}, "should be a table, not 3"),
        ("output", {"local": True}, "unknown key 'local'"),
    ],
)
def test_a_wrong_skim_is_told_in_one_line(
    table: Table, refused: Callable[..., str], key: str, value: object, wanted: str
) -> None:
    table["preprocess"]["skimming"][key] = value
    message = refused(table)
    assert message.startswith(f"preprocess.skimming.{key}")
    assert wanted in message


def test_off_may_be_what_yaml_makes_of_it(table: Table) -> None:
    config = load_config(table, ["preprocess.skimming.verify=off"])
    assert config.preprocess.skimming.verify == "off"
