"""Which luminosity sections count as processed: worked out by hand, and in real runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.lumi_tools import LumiMask

from intccms.analysis.runner import AnalysisResult, run
from intccms.datasets.contents import FileCount, FileFailure, FileQuery, count
from intccms.datasets.sections import LumiSections
from intccms.execution.lumis import (
    FileSections,
    LumiBooks,
    balanced,
    file_sections,
    write_golden_json,
)
from intccms.schema import load_config
from tests.analysis import small
from tests.analysis.conftest import make_events, write_file

RUN = 297050
NONE = LumiSections.union(())
ALL: dict[str, tuple[str, ...]] = {"data": ()}


def sections(text: str) -> LumiSections:
    return LumiSections.from_text(text)


def one_file(
    listed: str | None, seen: str = "", *, whole: bool = True, dataset: str = "data"
) -> FileSections:
    known = None if listed is None else sections(listed)
    return FileSections(dataset, known, sections(seen), whole)


def books(*files: FileSections, golden: dict[str, tuple[str, ...]] = ALL) -> LumiBooks:
    found = balanced(files, golden)
    assert found is not None
    return found


def golden(path: Path, **ranges: list[list[int]]) -> str:
    path.write_text(json.dumps({run.strip("r"): pairs for run, pairs in ranges.items()}))
    return str(path)


# The rules, on files as they are described


def test_sections_without_an_event_are_processed_too() -> None:
    found = books(one_file("7:1-10", seen="7:2-3"))
    assert found.expected == found.processed == sections("7:1-10")
    assert found.to_dict()["missing_by_run"] == {}


def test_all_sections_of_a_file_with_a_loss_are_missing() -> None:
    found = books(one_file("7:1-10;8:1-5"), one_file("8:6-20", seen="8:6-9", whole=False))
    assert found.processed == sections("7:1-10;8:1-5")
    assert found.missing == sections("8:6-20")
    assert found.to_dict()["missing_by_run"] == {
        "8": {"expected": 20, "missing": 15, "fraction": 0.75}
    }


def test_a_section_in_two_files_needs_both() -> None:
    found = books(one_file("7:1-10"), one_file("7:10-12", whole=False))
    assert found.processed == sections("7:1-9")


def test_a_section_in_two_datasets_needs_both() -> None:
    both: dict[str, tuple[str, ...]] = {"muon": (), "electron": ()}
    first = one_file("7:1-10", dataset="muon")
    second = one_file("7:4-6", dataset="electron", whole=False)
    assert books(first, second, golden=both).processed == sections("7:1-3,7-10")


def test_events_of_sections_that_the_tree_lacks_count_as_theirs() -> None:
    found = books(one_file("7:1-3", seen="7:3-5"))
    assert found.processed == sections("7:1-5")


def test_without_a_tree_the_sections_of_the_events_stand_in() -> None:
    found = books(one_file(None, seen="7:2-3"), one_file("7:5"))
    assert found.processed == sections("7:2-3,5")
    assert (found.files_without_tree, found.files_of_unknown_sections) == (1, 0)


def test_without_a_tree_a_loss_hides_sections_that_are_not_known() -> None:
    found = books(one_file(None, seen="7:2-3", whole=False), one_file("7:5"))
    assert found.expected == sections("7:2-3,5")
    assert found.processed == sections("7:5")
    assert (found.files_without_tree, found.files_of_unknown_sections) == (0, 1)


def test_what_a_lost_file_alone_can_hold_is_missing_in_the_other_dataset() -> None:
    both: dict[str, tuple[str, ...]] = {"muon": (), "electron": ()}
    files = (
        one_file("7:1-10", dataset="muon"),
        one_file("7:1-6", dataset="electron"),
        one_file(None, dataset="electron", whole=False),
    )
    found = books(*files, golden=both)
    assert found.processed == sections("7:1-6")
    assert found.files_of_unknown_sections == 1


def test_a_lost_file_of_another_era_leaves_the_sections_alone() -> None:
    both: dict[str, tuple[str, ...]] = {"era_g": (), "era_h": ()}
    files = (
        one_file("7:1-10", dataset="era_g"),
        one_file("8:1-6", dataset="era_h"),
        one_file(None, dataset="era_h", whole=False),
    )
    assert books(*files, golden=both).processed == sections("7:1-10;8:1-6")


def test_only_certified_sections_count(tmp_path: Path) -> None:
    path = golden(tmp_path / "golden.json", r7=[[2, 3], [8, 20]], r9=[[1, 5]])
    files = (one_file("7:1-5"), one_file("7:6-10;8:1", whole=False))
    found = books(*files, golden={"data": (path,)})
    assert found.expected == sections("7:2-3,8-10")
    assert found.missing == sections("7:8-10")


def test_each_dataset_has_its_own_golden_json(tmp_path: Path) -> None:
    first = golden(tmp_path / "a.json", r7=[[1, 3]])
    second = golden(tmp_path / "b.json", r8=[[1, 3]])
    files = (
        one_file("7:1-5;8:1-5", dataset="data_g"),
        one_file("7:3-5;8:3", dataset="data_h", whole=False),
        one_file("7:9;8:9", dataset="data_i"),
    )
    masks: dict[str, tuple[str, ...]] = {"data_g": (first,), "data_h": (second,), "data_i": ()}
    found = books(*files, golden=masks)
    assert found.processed == sections("7:1-3,9;8:9")
    assert found.missing == sections("8:3")
    assert found.without_golden_json == ("data_i",)


def test_without_data_there_are_no_books() -> None:
    assert balanced([one_file(None)], {}) is None


def test_the_books_do_not_depend_on_the_order_of_the_files() -> None:
    files = [one_file("7:1-10"), one_file("7:9-12", whole=False), one_file(None, seen="7:30")]
    assert books(*files) == books(*reversed(files))


def test_what_is_known_of_a_file_is_brought_together() -> None:
    counts = [
        FileCount("data", "a", "a", "u1", 10, sections="7:1-2"),
        FileCount("data", "b", "b", "u2", 10, sections=None),
        FileCount("data", "c", "c", "u3", 0, sections="7:9"),
    ]
    failures = [FileFailure("data", "d", "OSError", "gone")]
    seen = {"data": {"u1": sections("7:1"), "u2": sections("8:1")}}
    done = {("data", "a"): 9, ("data", "b"): 10}
    assert list(file_sections(counts, failures, seen=seen, n_processed=done)) == [
        one_file("7:1-2", "7:1", whole=False),
        one_file(None, "8:1"),
        one_file("7:9"),
        one_file(None, whole=False),
    ]


def test_the_golden_json_that_is_written_reads_as_one(tmp_path: Path) -> None:
    path = tmp_path / "out/processed_lumis.json"
    write_golden_json(path, sections("7:1-3,5;9:4"))
    assert json.loads(path.read_text()) == {"7": [[1, 3], [5, 5]], "9": [[4, 4]]}
    assert path.read_text().splitlines() == ['{"7": [[1, 3], [5, 5]],', ' "9": [[4, 4]]}']
    assert LumiMask(str(path))(
        np.array([7, 7, 9], "u4"), np.array([4, 5, 4], "u4")
    ).tolist() == [False, True, True]  # fmt: skip
    write_golden_json(path, NONE)
    assert json.loads(path.read_text()) == {}


# Real files and runs


def write_data(path: Path, of_events: list[int], listed: list[int] | None) -> Path:
    """Write events of these sections of one run, in this order, and the tree of sections."""
    events = make_events(len(of_events), seed=len(of_events))
    for column in ("genWeight", "Pileup_nTrueInt"):
        del events[column]
    events["run"] = np.full(len(of_events), RUN, dtype=np.uint32)
    events["luminosityBlock"] = np.array(of_events, dtype=np.uint32)
    write_file(path, events)
    if listed is not None:
        columns = {
            "run": np.full(len(listed), RUN, dtype=np.uint32),
            "luminosityBlock": np.array(listed, dtype=np.uint32),
        }
        with uproot.update(path) as file:
            file.mktree("LuminosityBlocks", {name: "uint32" for name in columns})
            if listed:
                file["LuminosityBlocks"].extend(columns)
    return path


def certified(run: Any, section: Any, *, lumifile: str) -> Any:
    return LumiMask(lumifile)(run, section)


def analysed(base: Path, lumifile: str | None = None, **general: Any) -> AnalysisResult:
    mask = {
        "function": certified,
        "use": [("event", "run"), ("event", "luminosityBlock")],
        "static_kwargs": {"lumifile": lumifile},
    }
    data = {
        "name": "data",
        "directories": "data/",
        "cross_sections": 1.0,
        "is_data": True,
        **({"lumi_mask": mask} if lumifile else {}),
    }
    settings = {
        "lumi": 1.0,
        "base_dir": str(base),
        "output_dir": str(base / "out"),
        "executor": "iterative",
        "chunk_size": 10,
        **general,
    }
    parts = small.config(general=settings, datasets={"datasets": [data]})
    return run(load_config(parts))


def lumis(result: AnalysisResult) -> LumiBooks:
    assert result.lumis is not None
    return result.lumis


def spoil(path: Path, branch: str, basket: int) -> None:
    """Make one basket of a branch unreadable; the file still opens."""
    with uproot.open(path) as file:
        members = file["Events"][branch].all_members
        begin, length = (int(members[name][basket]) for name in ("fBasketSeek", "fBasketBytes"))
    content = bytearray(path.read_bytes())
    content[begin : begin + length] = b"\xff" * length
    path.write_bytes(content)


def test_the_sections_of_a_run_are_certified_and_cover_empty_ones(tmp_path: Path) -> None:
    write_data(tmp_path / "data/0.root", [1] * 7 + [2] * 5 + [4] * 8, listed=[1, 2, 3, 4, 9])
    write_data(tmp_path / "data/1.root", [5] * 10, listed=[5, 6])
    golden(tmp_path / "golden.json", **{str(RUN): [[2, 5]], "999999": [[1, 50]]})
    result = analysed(tmp_path, "golden.json")
    found = lumis(result)
    assert found.expected == found.processed == sections(f"{RUN}:2-5")
    assert result.ledger.datasets["data"].processed.chunks == 3
    steps = {step.name: step.n_events for step in result.cutflow["all"]["data"]}
    assert steps["lumi mask"] == 5 + 8 + 10


@pytest.fixture
def with_loss(tmp_path: Path) -> Path:
    """Three chunks, of which the middle one cannot be read; section 2 is in the first two."""
    path = tmp_path / "data/0.root"
    columns = {"run": "uint32", "luminosityBlock": "uint32", "PuppiMET_pt": "float32"}
    path.parent.mkdir()
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {**columns, "event": "uint64", "PuppiMET_phi": "float32"})
        for start, of_events in ((0, [1] * 8 + [2] * 2), (10, [2] * 5 + [3] * 5), (20, [4] * 10)):
            rows = np.arange(start, start + 10)
            tree.extend(
                {
                    "run": np.full(10, RUN, "u4"),
                    "luminosityBlock": np.array(of_events, "u4"),
                    "PuppiMET_pt": rows.astype("f4"),
                    "PuppiMET_phi": rows.astype("f4"),
                    "event": rows.astype("u8"),
                }
            )
        blocks = file.mktree("LuminosityBlocks", {"run": "uint32", "luminosityBlock": "uint32"})
        blocks.extend(
            {"run": np.full(5, RUN, "u4"), "luminosityBlock": np.arange(1, 6, dtype="u4")}
        )
    write_data(tmp_path / "data/1.root", [4] * 5 + [7] * 5, listed=[4, 7, 8])
    spoil(path, "PuppiMET_pt", basket=1)
    return tmp_path


def test_a_lost_chunk_takes_all_sections_of_its_file_with_it(with_loss: Path) -> None:
    result = analysed(with_loss, max_lost_fraction=1.0)
    assert [lost.entries for lost in result.ledger.lost_chunks] == [(10, 20)]
    found = lumis(result)
    assert found.expected == sections(f"{RUN}:1-5,7-8")
    assert found.processed == sections(f"{RUN}:7-8")
    by_run = found.to_dict()["missing_by_run"][str(RUN)]
    assert by_run == {"expected": 7, "missing": 5, "fraction": 5 / 7}


def test_data_that_were_resumed_have_their_sections(with_loss: Path) -> None:
    first = analysed(with_loss, max_lost_fraction=1.0)
    again = analysed(with_loss, max_lost_fraction=1.0)
    assert {receipt.status for receipt in again.receipts} == {"resumed", "failed"}
    assert again.lumis == first.lumis


def test_chunks_do_not_matter_where_nothing_is_lost(tmp_path: Path) -> None:
    write_data(tmp_path / "data/0.root", [3, 1, 2, 1, 3, 3, 2, 1] * 5, listed=None)
    fine = lumis(analysed(tmp_path, chunk_size=3, output_dir=str(tmp_path / "a")))
    coarse = lumis(analysed(tmp_path, chunk_size=1000, output_dir=str(tmp_path / "b")))
    assert fine == coarse
    assert fine.processed == sections(f"{RUN}:1-3")
    assert fine.files_without_tree == 1
    assert fine.without_golden_json == ("data",)


def test_a_file_that_never_opened_is_unknown(tmp_path: Path) -> None:
    write_data(tmp_path / "data/0.root", [1] * 5, listed=[1, 2])
    (tmp_path / "data/1.root").write_bytes(b"")
    found = lumis(analysed(tmp_path, max_lost_fraction=1.0))
    assert found.processed == sections(f"{RUN}:1-2")
    assert found.files_of_unknown_sections == 1


def test_simulation_has_no_sections(tmp_path: Path) -> None:
    write_file(tmp_path / "mc/0.root", make_events(20, seed=1))
    general = {"base_dir": str(tmp_path), "output_dir": str(tmp_path / "out")}
    config = load_config(small.config(general={**general, "executor": "iterative"}))
    assert run(config).lumis is None


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
