"""Sums over files, and what is odd about them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot

from intccms.datasets import DatasetFiles, Fileset
from intccms.metrics.inspector import FileRecord, Statistics, aggregate_statistics, inspect_files
from intccms.metrics.inspector.files import RecordStore
from intccms.metrics.inspector.rucio import FileSize, SizeSummary
from tests.engine import flat
from tests.metrics.inspector.small import write_file


def kinds(statistics: Statistics) -> list[str]:
    return [problem.kind for problem in statistics.problems]


def only(statistics: Statistics, kind: str) -> str:
    (problem,) = [one for one in statistics.problems if one.kind == kind]
    return problem.text


def test_sums_by_dataset_and_branch_are_those_of_the_files(tmp_path: Path) -> None:
    one = write_file(tmp_path / "a.root", range(10))
    two = write_file(tmp_path / "b.root", range(10, 40))
    other = write_file(tmp_path / "c.root", range(5), extra=["Muon_pt", "nMuon"])
    statistics = aggregate_statistics(inspect_files({"x": [one, two], "y": [other]}))
    x, y = statistics.datasets["x"], statistics.datasets["y"]
    assert (x.n_files, x.n_failed, x.n_events, y.n_events) == (2, 0, 40, 5)
    assert x.events_per_file.tolist() == [10, 30]
    assert x.size_bytes == one.stat().st_size + two.stat().st_size
    assert x.bytes_per_event == pytest.approx(x.size_bytes / 40)
    assert x.runs_sumw == 80.0
    assert x.cluster_events == 20.0
    assert (x.run_range, x.lumi_range) == ((1, 1), (7, 7))
    branch = x.branches["event"]
    assert (branch.n_events, branch.n_files, branch.n_baskets) == (40, 2, 2)
    with uproot.open({one: "Events"}) as first, uproot.open({two: "Events"}) as second:
        expected = first["event"].compressed_bytes + second["event"].compressed_bytes
    assert branch.compressed_bytes == expected
    assert statistics.branches()[0].compressed_bytes == max(
        branch.compressed_bytes for branch in statistics.branches()
    )
    assert set(statistics.collections("y")) == {"event", "Noise", "Muon"}
    assert sum(statistics.collections().values()) == sum(
        branch.compressed_bytes for branch in statistics.branches()
    )
    assert statistics.problems == ()


def test_records_may_come_in_any_order_and_once_only(tmp_path: Path) -> None:
    paths = [write_file(tmp_path / f"{i}.root", range(i * 9, i * 9 + 5)) for i in range(3)]
    records = list(inspect_files(paths))
    one, other = (aggregate_statistics(iter(some)).summary() for some in (records, records[::-1]))
    assert one == other


def test_a_failed_file_is_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "bad.root").write_text("<!DOCTYPE html>" * 100)
    files = [write_file(tmp_path / "a.root", range(4)), tmp_path / "bad.root"]
    statistics = aggregate_statistics(inspect_files(files))
    assert (statistics.n_files, statistics.n_failed, statistics.n_events) == (2, 1, 4)
    assert "not a ROOT file" in only(statistics, "unreadable")


def test_a_dataset_of_unreadable_files_has_numbers_too(tmp_path: Path) -> None:
    (tmp_path / "bad.root").write_text("no")
    statistics = aggregate_statistics(inspect_files([tmp_path / "bad.root"]))
    assert statistics.datasets[""].summary()["n_events"] == 0
    assert statistics.datasets[""].bytes_per_event == 0.0


def test_a_branch_that_siblings_have_is_missed_once_for_all_files_alike(tmp_path: Path) -> None:
    files = [
        write_file(tmp_path / f"{i}.root", range(9 * i, 9 * i + 3), extra=["HLT_Mu50"])
        for i in range(3)
    ]
    files += [
        write_file(tmp_path / f"old{i}.root", range(99 * i + 50, 99 * i + 53)) for i in range(2)
    ]
    statistics = aggregate_statistics(inspect_files(files))
    assert only(statistics, "missing_branch") == "2 files without HLT_Mu50, which other files have"


def test_another_compression_and_no_event_are_named(tmp_path: Path) -> None:
    files = [write_file(tmp_path / f"{i}.root", range(9 * i, 9 * i + 3)) for i in range(2)]
    files.append(write_file(tmp_path / "z.root", range(70, 90), compression=uproot.ZLIB(9)))
    files.append(write_file(tmp_path / "none.root", []))
    statistics = aggregate_statistics(inspect_files(files))
    assert kinds(statistics) == ["compression", "no_events"]
    assert only(statistics, "compression").startswith("1 file stored as TTree ZLIB")


def test_a_copy_is_known_by_its_uuid_in_any_dataset(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.root", range(4))
    shutil.copy(path, tmp_path / "b.root")
    statistics = aggregate_statistics(inspect_files({"x": [path], "y": [tmp_path / "b.root"]}))
    assert kinds(statistics) == ["duplicate_uuid"]
    assert only(statistics, "duplicate_uuid").endswith("a.root of x")


def test_events_in_two_files_of_a_dataset_are_found(tmp_path: Path) -> None:
    one = write_file(tmp_path / "a.root", range(100))
    two = write_file(tmp_path / "b.root", range(98, 150))
    statistics = aggregate_statistics(inspect_files([one, two]))
    assert only(statistics, "repeated_events").startswith("2 of 52 events")


def test_simulation_of_different_datasets_may_have_the_same_numbers(tmp_path: Path) -> None:
    one = write_file(tmp_path / "a.root", range(100))
    two = write_file(tmp_path / "b.root", range(98, 150))
    assert aggregate_statistics(inspect_files({"x": [one], "y": [two]})).problems == ()


def test_a_few_per_cent_of_repeated_events_are_found_in_large_files(tmp_path: Path) -> None:
    one = write_file(tmp_path / "a.root", range(20_000))
    two = write_file(tmp_path / "b.root", range(18_000, 38_000))  # one tenth
    records = list(inspect_files([one, two]))
    assert [len(record.event_hashes) for record in records] == [256, 256]
    assert kinds(aggregate_statistics(records)) == ["repeated_events"]


def test_events_of_unusual_size_are_outliers(tmp_path: Path) -> None:
    def numbers(i: int) -> range:
        return range(1000 * i, 1000 * i + 400)

    files = [write_file(tmp_path / f"{i}.root", numbers(i), n_noise=4) for i in range(6)]
    files.append(write_file(tmp_path / "fat.root", numbers(7), n_noise=40))
    statistics = aggregate_statistics(inspect_files({"x": files}))
    (problem,) = [one for one in statistics.problems if one.kind == "bytes_per_event"]
    assert problem.path.endswith("fat.root")


def test_what_rucio_says_is_compared_and_fills_in() -> None:
    sizes = SizeSummary(
        files={
            "/store/a.root": FileSize("/store/a.root", 10, "0000abcd", 7, {"T2_X": "AVAILABLE"}),
            "/store/b.root": FileSize("/store/b.root", 30, None, None, {"T1_X": "AVAILABLE"}),
        },
        sites={"T1_X": "TAPE", "T2_X": "DISK"},
    )
    one = FileRecord("/store/a.root", n_events=8, size_bytes=10, adler32="0000abcf", uuid="1")
    two = FileRecord("root://xcache//store/b.root", n_events=3, uuid="2")
    statistics = aggregate_statistics([one, two], size_summary=sizes)
    assert statistics.datasets[""].file_sizes.tolist() == [10, 30]
    texts = [problem.text for problem in statistics.problems if problem.kind == "catalogue"]
    assert texts == [
        "it has 8 events, Rucio says 7; it has 0000abcf as adler32, Rucio says 0000abcd",
        "no disk has a replica that can be read",
    ]


def test_a_sample_stands_for_all_listed_files(tmp_path: Path) -> None:
    records = inspect_files({"x": [write_file(tmp_path / "a.root", range(4))]})
    statistics = aggregate_statistics(records, n_listed={"x": 10})
    assert statistics.datasets["x"].scale == 10.0


def weighted(path: Path, outlier: float) -> DatasetFiles:
    weights = np.ones(1000)
    weights[5] = outlier
    flat.write(path, 1000, genWeight=weights)
    return DatasetFiles("mc", "mc", None, False, 1.0, (str(path),), weight_branch="genWeight")


def test_an_absurd_weight_is_told_with_its_numbers(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "metadata")
    files = weighted(tmp_path / "a.root", 1e6)
    records = list(inspect_files(Fileset((files,)), store=store))
    statistics = aggregate_statistics(records)
    weights = statistics.datasets["mc"].weights
    assert weights is not None
    assert weights.n_effective == pytest.approx((999 + 1e6) ** 2 / (999 + 1e12))
    assert "1 of 1,000 events have a weight above 10 x" in only(statistics, "absurd_weights")
    assert "absurd_weights" not in kinds(aggregate_statistics(records, outlier_factor=1e8))
    store.add(records)
    store.save()
    again = list(inspect_files(Fileset((files,)), store=RecordStore(tmp_path / "metadata")))
    assert aggregate_statistics(again).datasets["mc"].weights == weights
    other = Fileset((replace(files, weight_branch="MET_phi"),))
    (record,) = inspect_files(other, store=RecordStore(tmp_path / "metadata"))
    assert record.weight_branch == "MET_phi"


def test_a_weight_that_is_no_number_is_a_damage(tmp_path: Path) -> None:
    (record,) = inspect_files(Fileset((weighted(tmp_path / "a.root", np.nan),)))
    assert (record.error_type, record.count()) == ("BadContent", None)
    assert "genWeight is nan at entry 5" in str(record.error)
