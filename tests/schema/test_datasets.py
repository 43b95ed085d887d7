from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intccms.schema import Dataset, Datasets, load_config

Table = dict[str, Any]


def read(**settings: Any) -> Dataset:
    defaults = {"name": "ttbar", "directories": "data/ttbar/", "cross_sections": 831.76}
    return Dataset.model_validate({**defaults, **settings})


def test_one_directory_is_one_dataset() -> None:
    dataset = read(redirector="", weight_branch=None)
    assert dataset.directories == ("data/ttbar/",)
    assert dataset.cross_sections == (831.76,)
    assert dataset.years == (None,)
    assert dataset.redirector == ()
    assert dataset.keys() == ("ttbar",)


def test_the_defaults_are_those_of_the_reference() -> None:
    dataset = read()
    assert (dataset.file_pattern, dataset.tree_name) == ("*.root", "Events")
    assert (dataset.weight_branch, dataset.is_data) == (None, False)


def test_one_value_holds_for_all_directories() -> None:
    mask = {"function": len, "use": [("event", "run")]}
    dataset = read(directories=("a/x", "b/y"), years="2017", is_data=True, lumi_mask=mask)
    assert dataset.cross_sections == (831.76, 831.76)
    assert dataset.years == ("2017", "2017")
    assert [one.function for one in dataset.lumi_mask if one] == [len, len]


def test_each_directory_may_have_its_own_values() -> None:
    dataset = read(directories=["a/x", "b/x"], years=[2017, "2018"], cross_sections=(1.0, 2))
    assert dataset.years == ("2017", "2018")
    assert dataset.cross_sections == (1.0, 2.0)


def test_a_year_is_in_the_key() -> None:
    assert read(years="2017").keys() == ("ttbar_2017",)


def test_several_directories_of_a_year_are_told_apart_by_their_last_name() -> None:
    dataset = read(
        directories=("d/2017/A/", "d/2017/B", "d/2018/A"), years=("2017", "2017", "2018")
    )
    assert dataset.keys() == ("ttbar_2017_A", "ttbar_2017_B", "ttbar_2018")


def test_several_directories_without_years_are_told_apart_by_their_last_name() -> None:
    assert read(directories=("d/A", "d/B")).keys() == ("ttbar_A", "ttbar_B")


def test_redirectors_are_tried_in_order() -> None:
    assert read(redirector="root://a/").redirector == ("root://a/",)
    assert read(redirector=["root://a/", "root://b/"]).redirector == ("root://a/", "root://b/")


@pytest.mark.parametrize("name", ["signal", "Signal_m2000", "zprime_3000", "ZPrime"])
def test_a_signal_without_cross_section_has_one_picobarn(name: str) -> None:
    assert read(name=name, cross_sections=None).cross_sections == (1.0,)


def test_data_need_no_cross_section() -> None:
    assert read(name="data", cross_sections=None, is_data=True).cross_sections == (1.0,)


def test_a_process_is_found_by_name(table: Table) -> None:
    datasets = load_config(table).datasets
    assert datasets.process("ttbar").name == "ttbar"
    with pytest.raises(KeyError, match="did you mean 'ttbar'"):
        datasets.process("ttbr")


def test_all_keys_are_listed_in_order(table: Table) -> None:
    assert load_config(table).datasets.keys()[:3] == ("signal_2017", "signal_2018", "ttbar_2017")


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("cross_sections", (1.0, 2.0, 3.0), "has 2 directories but 3 cross_sections"),
        ("years", ("2017",) * 3, "has 2 directories but 3 years"),
        ("directories", "one", "has 1 directories but 2"),
        ("cross_sections", "many", "should be a number, not 'many'"),
        ("cross_sections", None, "process 'ttbar' has no cross section; give it in pb"),
        ("cross_sections", 0, "process 'ttbar' needs a positive cross section"),
        ("cross_sections", float("inf"), "should be a finite number"),
        ("directories", (), "wrong number of entries"),
        ("lumi_mask", {"function": len}, "process 'ttbar' is simulation"),
        ("is_data", "no", "should be True or False, not 'no'"),
        ("redirector", 3, "should be a list, not 3"),
        ("years", (2017, True), "should be text, not True"),
    ],
)
def test_a_wrong_dataset_is_told_in_one_line(
    table: Table, refused: Callable[..., str], key: str, value: object, wanted: str
) -> None:
    table["datasets"]["datasets"][1][key] = value
    message = refused(table)
    assert message.startswith("datasets.datasets.ttbar.")
    assert wanted in message


def test_lumi_masks_are_as_many_as_directories(table: Table, refused: Callable[..., str]) -> None:
    table["datasets"]["datasets"][2]["lumi_mask"] = [{"function": len}] * 3
    assert "process 'data' has 2 directories but 3 lumi masks" in refused(table)


def test_a_misspelt_key_is_told_before_the_one_it_stands_for(
    table: Table, refused: Callable[..., str]
) -> None:
    entry = table["datasets"]["datasets"][1]
    entry["cross_section"] = entry.pop("cross_sections")
    message = refused(table)
    assert "unknown key 'cross_section'; did you mean 'cross_sections'?" in message


def test_two_directories_cannot_be_one_dataset(table: Table, refused: Callable[..., str]) -> None:
    table["datasets"]["datasets"][1] |= {
        "directories": ("2017/tt", "2018/tt"),
        "years": "2017",
    }
    assert "are the dataset 'ttbar_2017_tt'; give each its year" in refused(table)


def test_a_process_has_one_entry(table: Table, refused: Callable[..., str]) -> None:
    table["datasets"]["datasets"] *= 2
    assert "two entries are the process 'signal'" in refused(table)


def test_two_processes_cannot_share_a_dataset() -> None:
    entries = [
        {"name": "tt", "directories": "a", "cross_sections": 1.0, "years": "2017"},
        {"name": "tt_2017", "directories": "b", "cross_sections": 1.0},
    ]
    with pytest.raises(ValueError, match="two directories are the dataset 'tt_2017'"):
        Datasets.model_validate({"datasets": entries})


@pytest.mark.parametrize("value", [0, -1, "two", 1.5])
def test_max_files_is_a_positive_whole_number(
    table: Table, refused: Callable[..., str], value: object
) -> None:
    table["datasets"]["max_files"] = value
    assert refused(table).startswith("datasets.max_files: should be")
