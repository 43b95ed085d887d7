from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from coffea.lumi_tools import LumiMask
from coffea.processor import accumulate

from intccms.datasets.sections import LumiSections
from intccms.execution.checkpoints import CheckpointStore

EMPTY = LumiSections.union(())
A = LumiSections.from_text("7:1-4;9:3")
B = LumiSections.from_text("7:4-5;8:1")


def test_sections_are_taken_from_events_in_any_order() -> None:
    runs = np.array([9, 7, 7, 9, 7], dtype=np.uint32)
    sections = np.array([3, 2, 1, 3, 2], dtype=np.uint32)
    found = LumiSections.of(runs, sections)
    assert found.to_ranges() == {"7": [[1, 2]], "9": [[3, 3]]}
    assert (found.runs.tolist(), found.sections.tolist()) == ([7, 7, 9], [1, 2, 3])
    assert found.n_by_run() == {7: 2, 9: 1}


def test_sets_are_added_subtracted_and_intersected() -> None:
    assert (A + B).to_text() == "7:1-5;8:1;9:3"
    assert (A - B).to_text() == "7:1-3;9:3"
    assert (A & B).to_text() == "7:4"
    assert LumiSections.union([A, B, A]) == A + B
    assert len(A) == 5
    assert accumulate([{"sections": A}, {"sections": B}])["sections"] == A + B


def test_adding_changes_neither_set() -> None:
    before = A.codes.copy()
    assert A + B == B + A
    assert np.array_equal(A.codes, before)


@pytest.mark.parametrize("one", [EMPTY, A, B, LumiSections.of([2**32 - 1], [2**32 - 2])])
def test_sections_come_back_from_every_form(one: LumiSections, tmp_path: Path) -> None:
    assert LumiSections.from_text(one.to_text()) == one
    assert LumiSections.from_ranges(one.to_ranges()) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert hash(LumiSections.from_ranges(one.to_ranges())) == hash(one)
    store = CheckpointStore(str(tmp_path), codecs={"LumiSections": LumiSections})
    store.save("key", {"sections": {"uuid": one}})
    assert store.load("key") == {"sections": {"uuid": one}}


def test_no_sections_have_no_text_and_no_ranges() -> None:
    assert (EMPTY.to_text(), EMPTY.to_ranges(), EMPTY.n_by_run()) == ("", {}, {})
    assert LumiSections.of([], []) == EMPTY
    assert EMPTY + A == A


def test_the_last_section_of_a_run_does_not_join_the_next_run() -> None:
    assert LumiSections.from_text("7:5;8:0-1").to_ranges() == {"7": [[5, 5]], "8": [[0, 1]]}


def test_a_golden_json_reads_as_coffea_reads_it(shared_data: Path) -> None:
    path = shared_data / "golden/Cert_294927-306462_13TeV_UL2017_Collisions17_GoldenJSON.txt"
    golden = json.loads(path.read_text())
    sections = LumiSections.from_ranges(golden)
    assert LumiMask(str(path))(sections.runs, sections.sections).all()
    assert len(sections) == sum(b - a + 1 for pairs in golden.values() for a, b in pairs)
    assert LumiSections.from_ranges(sections.to_ranges()) == sections
    one_more = LumiSections.of(sections.runs, sections.sections + 1) - sections
    assert not LumiMask(str(path))(one_more.runs, one_more.sections).any()


def test_events_are_certified_as_coffea_does_it(tmp_path: Path) -> None:
    golden = {"297050": [[12, 137], [193, 193]], "306000": [[1, 5]]}
    path = tmp_path / "golden.json"
    path.write_text(json.dumps(golden))
    generator = np.random.default_rng(3)
    runs = generator.choice([297050, 306000, 306001], 2000).astype(np.uint32)
    sections = generator.integers(1, 200, 2000).astype(np.uint32)
    expected = LumiMask(str(path))(runs, sections)
    np.testing.assert_array_equal(LumiSections.from_ranges(golden).holds(runs, sections), expected)
    assert 0 < expected.sum() < 2000


def test_an_open_end_takes_no_memory() -> None:
    sections = LumiSections.of([1, 1, 2, 3], [1, 4_000_000_000, 7, 7])
    golden = {"1": [[2, 4_294_967_295]], "2": [[1, 4_294_967_295]], "3": [[1, 6], [8, 9]]}
    tracemalloc.start()
    within = sections.within(golden)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert within.to_text() == "1:4000000000;2:7"
    assert peak < 1_000_000


@pytest.mark.parametrize("seed", range(5))
def test_being_within_ranges_is_the_intersection_with_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranges: dict[str, list[list[int]]] = {}
    for run, first, length in rng.integers(0, 30, (40, 3)).tolist():
        ranges.setdefault(str(run % 5), []).append([first, first + length // 6])  # may overlap
    sections = LumiSections.of(rng.integers(0, 7, 300), rng.integers(0, 40, 300))
    assert sections.within(ranges) == sections & LumiSections.from_ranges(ranges)
