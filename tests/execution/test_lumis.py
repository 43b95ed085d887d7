"""Which luminosity sections count as processed: worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from coffea.lumi_tools import LumiMask

from intccms.datasets.contents import FileCount, FileFailure
from intccms.datasets.sections import LumiSections
from intccms.execution.accounting import (
    FileSections,
    LumiBooks,
    balanced,
    file_sections,
    write_golden_json,
)

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
