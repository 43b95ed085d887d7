from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intccms.schema import Channel, General
from intccms.schema.overrides import entry_name, inner_model

Table = dict[str, Any]


def test_the_number_of_further_problems_is_told(table: Table, refused: Callable[..., str]) -> None:
    table["general"] |= {"executor": "x", "n_workers": "y", "run_statistics": "z"}
    assert refused(table).endswith("(and 2 more)")


def test_an_unknown_key_is_told_before_other_problems(
    table: Table, refused: Callable[..., str]
) -> None:
    table["general"]["executor"] = "x"
    table["preprocess"]["skiming"] = {}
    assert refused(table) == (
        "preprocess.skiming: unknown key 'skiming'; did you mean 'skimming'? (and 1 more)"
    )


@pytest.mark.parametrize(
    ("path", "key", "wanted"),
    [
        ((), "chanels", "chanels: unknown key 'chanels'; did you mean 'channels'?"),
        (("general",), "lumii", "general.lumii: unknown key 'lumii'; did you mean 'lumi'?"),
        (("general",), "xyz", "general.xyz: unknown key 'xyz'; known: ['analysis', "),
        (("datasets",), "maxfiles", "datasets.maxfiles: unknown key"),
        (("channels", 0), "fit", "channels.SR.fit: unknown key 'fit'"),
        (("channels", 0, "selection"), "uses", "channels.SR.selection.uses: unknown key 'uses'"),
        (("channels", 0, "observables", 1), "bins", "channels.SR.observables.chi2.bins: unknown"),
        (("corrections", "2018", 0), "targt", "corrections.2018.jec.targt: unknown key 'targt'"),
        (("good_object_masks", "analysis", 0), "obj", "good_object_masks.analysis.Muon.obj: unk"),
        (("statistics",), "blinded", "statistics.blinded: unknown key 'blinded'; did you mean"),
        (("plotting",), "colors", "plotting.colors: unknown key 'colors'"),
    ],
)
def test_unknown_keys_are_named_with_their_place(
    table: Table, refused: Callable[..., str], path: tuple[Any, ...], key: str, wanted: str
) -> None:
    part: Any = table
    for step in path:
        part = part[step]
    part[key] = 1
    assert refused(table).startswith(wanted)


def test_a_key_that_is_no_text_is_unknown(table: Table, refused: Callable[..., str]) -> None:
    table["general"][3] = 1
    assert refused(table).startswith("general.3: unknown key 3; ")


@pytest.mark.parametrize("part", ["channels", "general", "datasets", "corrections"])
def test_a_part_of_the_wrong_kind_is_told(
    table: Table, refused: Callable[..., str], part: str
) -> None:
    table[part] = 7
    assert refused(table).startswith(f"{part}: should be")


def test_a_long_value_is_cut(table: Table, refused: Callable[..., str]) -> None:
    table["general"]["executor"] = "x" * 500
    assert len(refused(table)) < 200


def test_a_secret_is_not_shown(table: Table, refused: Callable[..., str]) -> None:
    table["preprocess"]["skimming"]["output"]["to_kwargs"] = ["hunter2", {"token": "hunter3"}]
    message = refused(table)
    assert message.startswith("preprocess.skimming.output.to_kwargs: should be a table")
    assert "hunter3" not in message


def test_an_older_key_is_named_as_it_was_written(table: Table, refused: Callable[..., str]) -> None:
    table["corrections"]["2017"][0]["transform"] = 3
    assert refused(table) == "corrections.2017.jec.transform: should be callable, not 3"


def test_models_are_found_within_types() -> None:
    assert inner_model(tuple[Channel, ...] | None) is Channel
    assert inner_model(General) is General
    assert inner_model(dict[str, int]) is None


def test_entries_are_called_by_name_or_object() -> None:
    assert entry_name({"name": "a", "object": "b"}) == "a"
    assert entry_name({"object": "b"}) == "b"
    assert entry_name(3) is None
