from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from intccms.datasets import DatasetManager, Fileset
from intccms.datasets.fileset import read_listing
from intccms.errors import InputError
from intccms.schema import Datasets, General, load_config


def listing(path: Path, *lines: str, end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + end)


def manager(
    base_dir: Path, *entries: Mapping[str, Any], max_files: int | None = None, **general: Any
) -> DatasetManager:
    defaults = {"name": "ttbar", "directories": "ttbar", "cross_sections": 831.76}
    datasets = [{**defaults, "file_pattern": "*.txt", **entry} for entry in entries or [{}]]
    return DatasetManager(
        Datasets.model_validate({"datasets": datasets, "max_files": max_files}),
        General.model_validate(
            {"lumi": 1.0, "weight_branch": "genWeight", "base_dir": str(base_dir), **general}
        ),
    )


def lfns(fileset: Fileset, key: str = "ttbar") -> tuple[str, ...]:
    return fileset[key].lfns


def test_listings_are_read_in_order_with_comments_and_blank_lines(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/1.txt", "/store/c.root", end="")
    listing(tmp_path / "ttbar/0.txt", "# RunII", "", "  /store/a.root\r", "\t# no", "/store/b.root")
    assert lfns(manager(tmp_path).fileset()) == ("/store/a.root", "/store/b.root", "/store/c.root")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("root://h//store/a.root # broken until May", "root://h//store/a.root"),
        ("root://h//store/a.root\t#not /store/b.root, see below", "root://h//store/a.root"),
        ("/store/a.root  #", "/store/a.root"),
        ("root://h//store/a.root?x=1#y", "root://h//store/a.root?x=1#y"),
        ("https://h/a.root#fragment", "https://h/a.root#fragment"),
        ("/data/run #2.root", "/data/run #2.root"),
    ],
)
def test_a_comment_may_follow_a_name(tmp_path: Path, line: str, name: str) -> None:
    path = tmp_path / "files.txt"
    path.write_text(f"#/store/old.root\n{line}\n  # the end\n")
    assert read_listing(path) == [name]


def test_a_file_that_is_no_listing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "files.txt"
    path.write_bytes(b"root\x00\x00\xc3\xa9\n/store/a.root\n")
    with pytest.raises(InputError, match=r"listing .*files\.txt is no text"):
        read_listing(path)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/0.txt", "\ufeff/store/a.root")
    assert lfns(manager(tmp_path).fileset()) == ("/store/a.root",)


def test_relative_names_are_beside_their_listing_and_others_stand(tmp_path: Path) -> None:
    names = ("root://x//store/b.root", "/eos/c.root", "https://x/d.root")
    listing(tmp_path / "ttbar/0.txt", "a.root", "../up.root", *names)
    beside = (f"{tmp_path}/ttbar/a.root", f"{tmp_path}/ttbar/../up.root")
    assert lfns(manager(tmp_path).fileset()) == beside + names


@pytest.mark.parametrize("pattern", ["*.root", "*.parquet"])
def test_a_pattern_takes_the_files_themselves_sorted(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "ttbar").mkdir()
    for name in ("b.root", "a.root", "b.parquet", "a.parquet", "0.txt"):
        (tmp_path / "ttbar" / name).touch()
    (tmp_path / "ttbar" / f"directory{pattern[1:]}").mkdir()
    found = lfns(manager(tmp_path, {"file_pattern": pattern}).fileset())
    assert found == tuple(f"{tmp_path}/ttbar/{name}{pattern[1:]}" for name in "ab")


def test_an_absolute_directory_ignores_the_base_directory(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/0.txt", "/store/a.root")
    entry = {"directories": str(tmp_path / "ttbar")}
    assert lfns(manager(tmp_path / "elsewhere", entry).fileset()) == ("/store/a.root",)


def test_without_general_directories_begin_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listing(tmp_path / "ttbar/0.txt", "a.root")
    datasets = {"name": "ttbar", "directories": "ttbar", "cross_sections": 1.0}
    block = Datasets.model_validate({"datasets": [{**datasets, "file_pattern": "*.txt"}]})
    assert lfns(DatasetManager(block).fileset()) == (f"{tmp_path}/ttbar/a.root",)


def test_a_whole_configuration_is_taken_too(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/0.txt", "/store/a.root")
    entry = {"name": "ttbar", "directories": "ttbar", "cross_sections": 1.0}
    config = load_config(
        {
            "general": {"lumi": 1.0, "weight_branch": "genWeight", "base_dir": str(tmp_path)},
            "preprocess": {"branches": {"event": ["genWeight"]}},
            "datasets": {"datasets": [{**entry, "file_pattern": "*.txt"}]},
            "channels": [],
        }
    )
    files = DatasetManager(config).fileset()["ttbar"]
    assert (files.lfns, files.weight_branch) == (("/store/a.root",), "genWeight")


def test_every_directory_is_a_dataset_with_its_year_and_cross_section(tmp_path: Path) -> None:
    listing(tmp_path / "t16/0.txt", "/store/a.root")
    listing(tmp_path / "t17/0.txt", "/store/b.root")
    listing(tmp_path / "t17/0_ext1.txt", "/store/b_ext1.root")
    entry = {
        "directories": ("t16", "t17"),
        "years": ("2016", "2017"),
        "cross_sections": (1.5, 2.5),
        "redirector": ["root://a/", "root://b/"],
        "tree_name": "Friends",
        "weight_branch": "LHEWeight",
    }
    fileset = manager(tmp_path, entry).fileset()
    assert fileset.keys() == ("ttbar_2016", "ttbar_2017")
    files = fileset["ttbar_2017"]
    assert files.lfns == ("/store/b.root", "/store/b_ext1.root")
    assert (files.process, files.year, files.xsec_pb) == ("ttbar", "2017", 2.5)
    assert (files.tree_name, files.weight_branch, files.is_data) == ("Friends", "LHEWeight", False)
    assert files.redirectors == ("root://a/", "root://b/")


def test_the_weight_branch_is_that_of_general_and_none_for_data(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/0.txt", "/store/a.root")
    data = {"name": "data", "is_data": True}
    fileset = manager(tmp_path, {}, data).fileset()
    assert fileset["ttbar"].weight_branch == "genWeight"
    assert fileset["data"].weight_branch is None


def test_max_files_limits_every_directory(tmp_path: Path) -> None:
    for name in ("t16", "t17"):
        listing(tmp_path / name / "0.txt", *(f"/store/{name}_{i}.root" for i in range(3)))
    entry = {"directories": ("t16", "t17"), "years": ("2016", "2017")}
    fileset = manager(tmp_path, entry, max_files=2).fileset()
    assert [len(files.lfns) for files in fileset] == [2, 2]
    assert lfns(fileset, "ttbar_2016") == ("/store/t16_0.root", "/store/t16_1.root")


def test_a_file_listed_twice_is_read_once_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listing(tmp_path / "ttbar/0.txt", "/store/a.root", "/store/b.root")
    listing(tmp_path / "ttbar/1.txt", "/store/a.root", "/store/c.root")
    with caplog.at_level(logging.WARNING):
        found = lfns(manager(tmp_path, max_files=3).fileset())
    assert found == ("/store/a.root", "/store/b.root", "/store/c.root")
    assert "/store/a.root is listed twice" in caplog.text


def test_an_empty_listing_among_others_is_only_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listing(tmp_path / "ttbar/0.txt", "# nothing")
    listing(tmp_path / "ttbar/1.txt", "/store/a.root")
    with caplog.at_level(logging.WARNING):
        assert lfns(manager(tmp_path).fileset()) == ("/store/a.root",)
    assert "0.txt names no file" in caplog.text


def test_only_empty_listings_are_an_error(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/0.txt", "", "# nothing")
    with pytest.raises(InputError, match=r"dataset 'ttbar': the listings .* name no file"):
        manager(tmp_path).fileset()


def test_a_missing_directory_is_named_as_asked_and_as_looked_for(tmp_path: Path) -> None:
    text = rf"'ttbar' does not exist: {tmp_path}/ttbar \(relative to general.base_dir\)"
    with pytest.raises(InputError, match=text):
        manager(tmp_path).fileset()


def test_a_file_in_place_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "ttbar").touch()
    with pytest.raises(InputError, match="directory 'ttbar' is not a directory"):
        manager(tmp_path).fileset()


def test_a_directory_without_a_match_is_named(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/0.list", "/store/a.root")
    with pytest.raises(InputError, match=rf"dataset 'ttbar': no file '\*.txt' in {tmp_path}/ttbar"):
        manager(tmp_path).fileset()


def test_a_listing_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "ttbar").mkdir()
    (tmp_path / "ttbar/0.txt").write_bytes(b"root\xff\xfe")
    with pytest.raises(InputError, match=r"cannot read listing .*0\.txt: 'utf-8' codec"):
        manager(tmp_path).fileset()


@pytest.mark.parametrize("pattern", ["/abs/*.txt", ""])
def test_a_pattern_that_matches_nothing_ever_is_named(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "ttbar").mkdir()
    with pytest.raises(InputError, match="file_pattern"):
        manager(tmp_path, {"file_pattern": pattern}).fileset()


def test_a_dataset_of_two_formats_is_an_error(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/0.txt", "/store/a.root", "/store/b.parquet")
    with pytest.raises(InputError, match="'ttbar' mixes ROOT and parquet files"):
        manager(tmp_path).fileset()


def test_processes_are_filtered_in_the_order_of_the_config(tmp_path: Path) -> None:
    entries = [{"name": name, "directories": name} for name in ("a", "b", "c")]
    for name in "abc":
        listing(tmp_path / name / "0.txt", f"/store/{name}.root")
    found = manager(tmp_path, *entries, processes=["c", "a"])
    assert found.fileset().keys() == ("a", "c")
    assert found.fileset(["b"]).keys() == ("b",)
    assert found.processes == ("a", "b", "c")


def test_an_unselected_process_need_not_have_files(tmp_path: Path) -> None:
    listing(tmp_path / "ttbar/0.txt", "/store/a.root")
    found = manager(tmp_path, {}, {"name": "wjets", "directories": "nowhere"})
    assert found.fileset(["ttbar"]).keys() == ("ttbar",)


def test_an_unknown_process_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown process 'ttbr'; did you mean 'ttbar'"):
        manager(tmp_path).fileset(["ttbr"])


def test_no_process_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no process is selected"):
        manager(tmp_path).fileset([])


@pytest.mark.parametrize(
    ("configured", "answer"),
    [(None, None), ("root://a/", "root://a/"), (["root://a/", "root://b/"],) * 2],
)
def test_the_redirector_is_told(tmp_path: Path, configured: Any, answer: Any) -> None:
    found = manager(tmp_path, {"redirector": configured}).get_redirector("ttbar")
    assert found == (tuple(answer) if isinstance(answer, list) else answer)


def test_the_redirector_of_an_unknown_process_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown process 'data'"):
        manager(tmp_path).get_redirector("data")


def test_real_listings_are_read(shared_data: Path) -> None:
    base_dir = shared_data / "filelists" / "opendata_2016"
    fileset = manager(base_dir, {"directories": "ttbar_semilep"}).fileset()
    names = lfns(fileset)
    assert all(name.startswith("root://eospublic.cern.ch//eos/opendata/cms/") for name in names)
    assert len(names) == len(set(names)) > 100
    assert fileset["ttbar"].pfns(names[0]) == (names[0],)


def test_a_real_listing_without_a_last_newline_and_an_empty_one(shared_data: Path) -> None:
    base_dir = shared_data / "filelists" / "cms_2018"
    fileset = manager(base_dir, {"directories": "WJetsToLNu_HT-70To100"}).fileset()
    assert all(name.startswith("/store/mc/") for name in lfns(fileset))
    assert all(name.endswith(".root") for name in lfns(fileset))
