"""A measurement on disk is the measurement that was made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from intccms.errors import InputError
from intccms.execution.tasks import ChunkReport
from intccms.metrics.measurement import (
    Measurement,
    TreePlace,
    coverage_of,
    find_measurement,
    load_reports,
    tree_sizes,
)
from intccms.metrics.report import dataset_table
from intccms.metrics.worker_tracker import Sample, Timeline


def receipt(n: int, status: str = "done") -> ChunkReport:
    return ChunkReport(
        "data", "/store/a.root", "u", 100 * n, 100 * (n + 1), status,  # type: ignore[arg-type]
        n_events=0 if status == "failed" else 100, bytes_read=1_000_000, read_s=0.5, process_s=1.0,
        wall_s=2.0, rss_bytes=10**9, started=1000.0 + n,
    )  # fmt: skip


@pytest.fixture
def measurement() -> Measurement:
    receipts = (receipt(0), receipt(1), receipt(2, "failed"), receipt(3, "resumed"))
    timeline = Timeline([Sample(999.0, 2, 2, 10**9, 4 * 10**9, 6 * 10**8, 150.0, 2, 0)])
    return Measurement("first", 1000.0, 10.0, receipts, timeline, 4, notes={"executor": "dask"})


def test_rates_leave_out_what_was_resumed_or_lost(measurement: Measurement) -> None:
    assert measurement.metrics["event_rate_khz"] == pytest.approx(0.02)
    assert measurement.metrics["core_efficiency"] == pytest.approx(4.0 / 20.0)
    assert measurement.metrics["avg_memory_gb"] == pytest.approx(0.5)
    assert measurement.violations == []


def test_chunks_from_kept_columns_count_and_are_told_apart(measurement: Measurement) -> None:
    cached = replace(measurement, reports=(receipt(0, "cached"), *measurement.reports[1:]))
    values = cached.metrics
    assert (values["n_events"], values["n_chunks"], values["n_cached_chunks"]) == (200, 2, 1)
    assert values["event_rate_khz"] == pytest.approx(0.02)
    assert cached.violations == []
    table = dataset_table(cached)
    assert table.rows[1][1:3] == ["2", "200"]


@pytest.mark.parametrize("wrong", [{"process_s": -0.1}, {"wall_s": 1.4}, {"decompress_s": 0.6}])
def test_a_chunk_with_times_that_cannot_be_is_a_violation(
    measurement: Measurement, wrong: dict[str, float]
) -> None:
    first, *others = measurement.reports
    (text,) = replace(measurement, reports=(replace(first, **wrong), *others)).violations
    assert text.startswith("1 chunks have a negative time, or parts")


def test_it_is_loaded_as_it_was_saved(measurement: Measurement, tmp_path: Path) -> None:
    measurement.save(tmp_path / "metrics" / "first")
    assert Measurement.load(tmp_path) == measurement
    saved = json.loads((tmp_path / "metrics/first/metrics.json").read_text())
    assert saved["metrics"]["n_events"] == 200
    assert saved["also_known_as"]["total_events"] == 200
    assert saved["definitions"]["core_efficiency"]["formula"] == "chunk_s / core_s"


def test_receipts_of_a_killed_run_are_read(measurement: Measurement, tmp_path: Path) -> None:
    measurement.save(tmp_path)
    path = tmp_path / "receipts.jsonl"
    path.write_text(path.read_text() + '{"dataset": "da')
    assert load_reports(path) == measurement.reports


def test_a_directory_without_a_measurement_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no measurement in"):
        find_measurement(tmp_path)


def test_bytes_of_a_tree_are_those_of_its_baskets(tiny_sample: Path) -> None:
    (path,) = tiny_sample.rglob("data_*.root")
    size = tree_sizes(TreePlace("data", [str(path.with_name("absent.root")), str(path)], "Events"))
    assert size is not None
    assert size.n_events == 2000
    assert 0 < sum(size.branches.values()) < path.stat().st_size
    read = {name: n for name, n in size.branches.items() if name.startswith("Muon_")}
    cover = coverage_of({"data": read}, {"data": size}, {"data": 2000})["data"]
    assert cover.n_branches == len(size.branches) > cover.n_columns == len(read)
    assert 0 < cover.column_bytes < cover.tree_bytes


def test_a_tree_that_cannot_be_opened_has_no_sizes(tmp_path: Path) -> None:
    assert tree_sizes(TreePlace("data", [str(tmp_path / "absent.root")], "Events")) is None
