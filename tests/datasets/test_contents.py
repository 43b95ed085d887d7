from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.datasets.contents import FileCount, FileFailure, FileQuery, count
from intccms.datasets.sections import LumiSections

# What uproot finds in these files of ../shared/data: entries and sums of the Runs tree.
REAL = {
    "nano/nano_dy.root": (40, 15166686735.858717, 850098),
    "nano/nano_dimuon.root": (40, None, None),
    "nano/nano_dy_empty.root": (0, None, None),
    "nano/nano_tree.root": (10, 49919.0, 49919),
    "nano/nanoAOD_2015_CMS_Open_Data_ttbar.root": (200, None, None),
    "rntuple/nano_dy_rntuple.root": (40, None, None),
    "rntuple/nano_dy_empty_rntuple.root": (0, None, None),
    "parquet/nano_dy.parquet": (40, None, None),
    "parquet/nano_dy_empty.parquet": (0, None, None),
}
BROKEN = {
    "broken/zero_length.root": "OSError",
    "broken/truncated_50pct.root": "OSError",
    "broken/header_only_100B.root": "OSError",
    "broken/not_root_html.root": "ValueError",
    "broken/bad_magic.root": "ValueError",
    "broken/truncated_70pct.parquet": "ArrowInvalid",
    "broken/truncated_60pct_rntuple.root": "OSError",
    "broken/wrong_tree_name.root": "NoSuchTree",
    "broken/events_is_a_histogram.root": "NoSuchTree",
    "parquet/nano_dy_malformed.parquet": "ArrowInvalid",
}


def query(*pfns: Path | str, tree_name: str = "Events") -> FileQuery:
    return FileQuery("ttbar", "/store/a.root", tuple(map(str, pfns)), tree_name, pause_s=0.0)


def test_a_file_is_counted_with_its_runs(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    path = write_nano(tmp_path / "a.root", genEventSumw=[40.5, -1.5], genEventCount=[30, 30])
    with uproot.open(path) as file:
        uuid = str(file.file.uuid)
    assert count(query(path)) == FileCount("ttbar", "/store/a.root", str(path), uuid, 100, 39.0, 60)


def test_the_old_name_of_the_sum_is_read(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    path = write_nano(tmp_path / "a.root", genEventSumw_=[2.0], genEventCount_=[3])
    answer = count(query(path))
    assert isinstance(answer, FileCount)
    assert (answer.runs_sumw, answer.runs_count) == (2.0, 3)


def test_without_runs_there_are_no_sums(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    answer = count(query(write_nano(tmp_path / "a.root")))
    assert isinstance(answer, FileCount)
    assert (answer.runs_sumw, answer.runs_count) == (None, None)


def test_runs_without_entry_say_nothing(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    path = write_nano(tmp_path / "a.root", genEventSumw=[], genEventCount=[])
    answer = count(query(path))
    assert isinstance(answer, FileCount)
    assert answer.runs_sumw is None


def test_an_empty_tree_counts_as_a_file(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    answer = count(query(write_nano(tmp_path / "a.root", n_events=0)))
    assert isinstance(answer, FileCount)
    assert answer.n_events == 0


def test_an_rntuple_is_counted(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mkrntuple("Events", {"run": [1, 2, 3]})
        file.mkrntuple("Runs", {"genEventSumw": [1.5], "genEventCount": [4]})
    answer = count(query(tmp_path / "a.root"))
    assert isinstance(answer, FileCount)
    assert (answer.n_events, answer.runs_sumw, answer.runs_count) == (3, 1.5, 4)


def test_a_parquet_file_gets_its_identity_from_its_footer(tmp_path: Path) -> None:
    for name, run in {"a": [1, 2], "twin": [1, 2], "other": [1, 2, 3]}.items():
        ak.to_parquet(ak.Array({"run": run}), tmp_path / f"{name}.parquet")
    a, twin, other = (count(query(tmp_path / f"{n}.parquet")) for n in ("a", "twin", "other"))
    assert isinstance(a, FileCount)
    assert isinstance(twin, FileCount)
    assert isinstance(other, FileCount)
    assert (a.n_events, other.n_events) == (2, 3)
    assert a.uuid == twin.uuid != other.uuid


def test_the_next_place_is_tried(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    path = write_nano(tmp_path / "b.root")
    answer = count(query(tmp_path / "missing.root", path))
    assert isinstance(answer, FileCount)
    assert answer.pfn == str(path)


def test_a_remote_place_is_tried_again(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    path = tmp_path / "late" / "a.root"
    server = threading.Timer(0.3, write_nano, [path])
    server.start()
    answer = count(replace(query(f"file://{path}"), pause_s=2.0))
    server.join()
    assert isinstance(answer, FileCount)
    assert answer.n_events == 100


def test_a_failure_names_every_place_in_one_line(tmp_path: Path) -> None:
    answer = count(query(tmp_path / "a.root", tmp_path / "b.root"))
    assert isinstance(answer, FileFailure)
    assert answer.error_type == "FileNotFoundError"
    assert str(tmp_path / "a.root") in answer.error
    assert str(tmp_path / "b.root") in answer.error
    assert "\n" not in answer.error


def test_a_missing_tree_names_those_there(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    answer = count(query(write_nano(tmp_path / "a.root", tree="events")))
    assert isinstance(answer, FileFailure)
    assert answer.trees == ("events",)
    assert "no tree 'Events', the trees there: ['events']" in answer.error


def test_a_colon_in_a_name_is_no_separator(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    path = tmp_path / "12:30" / "a.root"
    assert isinstance(count(query(write_nano(path))), FileCount)


def test_answers_survive_pickling(tmp_path: Path, write_nano: Callable[..., Path]) -> None:
    asked = query(write_nano(tmp_path / "a.root"), tree_name="x")
    answer = count(asked)
    assert pickle.loads(pickle.dumps((asked, answer))) == (asked, answer)


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_counted(name: str, shared_data: Path) -> None:
    answer = count(query(shared_data / name))
    assert isinstance(answer, FileCount)
    assert (answer.n_events, answer.runs_sumw, answer.runs_count) == REAL[name]


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_failures_with_a_reason(name: str, shared_data: Path) -> None:
    answer = count(query(shared_data / name))
    assert isinstance(answer, FileFailure)
    assert answer.error_type == BROKEN[name]
    assert answer.error
    assert "\n" not in answer.error


@pytest.mark.parametrize(
    "name",
    [
        "truncated_tail_256.root",
        "corrupt_basket_Muon_pt.root",
        "corrupt_basket_PuppiMET_pt_data.root",
        "missing_needed_branches.root",
    ],
)
def test_files_that_break_later_open(name: str, shared_data: Path) -> None:
    assert isinstance(count(query(shared_data / "broken" / name)), FileCount)


@pytest.mark.parametrize(
    ("name", "n_sections"),
    [("EGamma_F_Skim.root", 2), ("pfnano.root", 1), ("nano_dimuon.root", None)],
)
def test_real_files_list_their_sections(shared_data: Path, name: str, n_sections: Any) -> None:
    path = str(shared_data / "nano" / name)
    found = count(FileQuery("data", path, (path,), "Events", is_data=True))
    assert isinstance(found, FileCount)
    if n_sections is None:
        assert found.sections is None
        return
    listed = LumiSections.from_text(found.sections or "")
    assert len(listed) == n_sections
    with uproot.open({path: "Events"}) as events:
        columns = events.arrays(["run", "luminosityBlock"], library="np")
    seen = LumiSections.of(columns["run"], columns["luminosityBlock"])
    assert len(seen - listed) == 0


def test_the_sections_of_simulation_are_not_read(shared_data: Path) -> None:
    path = str(shared_data / "nano/GJet_v11_Skim.root")
    found = count(FileQuery("mc", path, (path,), "Events"))
    assert isinstance(found, FileCount)
    assert found.sections is None


@pytest.mark.parametrize("kind", ["mktree", "mkrntuple"])
def test_the_sections_of_data_are_listed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"run": "uint32"})
        columns = {"run": np.array([9, 7, 7], "u4"), "luminosityBlock": np.array([4, 2, 1], "u4")}
        getattr(file, kind)("LuminosityBlocks", columns)
        if kind == "mktree":
            file["LuminosityBlocks"].extend(columns)
    found = count(replace(query(path), is_data=True))
    assert isinstance(found, FileCount)
    assert found.sections == "7:1-2;9:4"


def test_a_tree_that_lists_no_sections_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"run": "uint32"})
        file.mktree("LuminosityBlocks", {"run": "uint32"})
    found = count(replace(query(path), is_data=True))
    assert isinstance(found, FileCount)
    assert found.sections is None


@pytest.mark.parametrize("name", ["nano_dy", "nano_dy_empty", "nano_tt_v12", "pfnano"])
def test_the_number_of_entries_is_that_of_the_whole_tree(shared_data: Path, name: str) -> None:
    path = shared_data / f"nano/{name}.root"
    with uproot.open(path) as file:
        expected = file["Events"].num_entries
    counted = count(FileQuery("mc", "a", (str(path),), "Events"))
    assert isinstance(counted, FileCount)
    assert counted.n_events == expected
