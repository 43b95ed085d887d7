"""Each setting of ``general.metrics`` does what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from intccms.cli import main
from intccms.execution.tasks import ChunkReport, ChunkStatus
from intccms.metrics.measurement import Measurement
from intccms.metrics.tables import describe
from intccms.pipeline import Stages
from tests.pipeline.runs import NOMINAL_ONLY, configured, processed

ONE = ("general.processes=[ttbar_lep]", *NOMINAL_ONLY)
NAMED = "general.metrics.measurement_name=first"
ALL = {"metrics.json", "overview.png", "receipts.jsonl", "report.html", "worker_timeline.json"}


@pytest.fixture(scope="module")
def measured(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    out = tmp_path_factory.mktemp("measured") / "out"
    settings = ("general.metrics.worker_tracking_interval=0.05",
                "general.metrics.target_throughput_gbps=7")  # fmt: skip
    return processed(configured(tiny_sample, out, *ONE, NAMED, *settings))


def files(stages: Stages) -> set[str]:
    folder = stages.output.directory / "metrics" / "first"
    return {path.name for path in folder.glob("*")}


def test_a_measurement_has_all_its_files(measured: Stages) -> None:
    assert files(measured) == ALL
    folder = measured.output.measurement_dir("first")
    saved: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    assert saved["metrics"]["n_events"] == 2000
    assert saved["target_throughput_gbps"] == 7
    assert saved["violations"] == []
    assert saved["notes"]["executor"] == "iterative"
    assert "target 7" in (folder / "report.html").read_text()


def test_workers_are_sampled_as_often_as_wanted(measured: Stages) -> None:
    measurement = Measurement.load(measured.output.directory)
    assert measurement == measured.measurement
    assert measurement.timeline is not None
    assert measurement.timeline.interval_s == 0.05
    assert measurement.metrics["total_cores"] == pytest.approx(1.0, rel=1e-2)


def test_the_part_of_the_tree_that_is_read_is_measured(measured: Stages) -> None:
    assert measured.measurement is not None
    cover = measured.measurement.coverage["ttbar_lep"]
    assert 0 < cover.n_columns < cover.n_branches
    assert 0 < cover.column_bytes < cover.tree_bytes
    assert 0 < measured.measurement.metrics["bytes_read_fraction"] < 100


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("enable=False", set()),
        ("save_measurements=False", set()),
        ("track_workers=False", ALL - {"worker_timeline.json"}),
        ("generate_plots=False", ALL - {"overview.png"}),
        ("generate_reports=False", ALL - {"report.html"}),
    ],
)
def test_what_is_switched_off_is_not_written(
    setting: str, left: set[str], tiny_sample: Path, tmp_path: Path
) -> None:
    config = configured(tiny_sample, tmp_path / "out", *ONE, NAMED, f"general.metrics.{setting}")
    assert files(processed(config)) == left


def test_measurements_are_compared_on_the_command_line(
    measured: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(measured.output.directory)
    assert main(["compare", out, out, "--out", str(tmp_path)]) == 0
    assert "event rate" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"comparison.png", "comparison.html"}
    assert main(["compare", str(tmp_path)]) == 2


def receipts(stages: Stages) -> tuple[ChunkReport, ...]:
    assert stages.result.analysis is not None
    return stages.result.analysis.reports


def test_times_of_data_that_a_lumi_mask_cuts_are_possible(
    tiny_sample: Path, tmp_path: Path
) -> None:
    settings = ("general.processes=[data]", *NOMINAL_ONLY, "preprocess.skimming.chunk_size=500")
    found = receipts(processed(configured(tiny_sample, tmp_path / "out", *settings)))
    assert len(found) == 4
    for one in found:
        assert min(one.open_s, one.read_s, one.process_s, one.fill_s) >= 0
        assert one.open_s + one.read_s + one.process_s + one.fill_s <= one.wall_s
        assert one.decompress_s <= one.read_s


def test_chunks_from_kept_columns_count_and_contradict_nothing(
    tiny_sample: Path, tmp_path: Path
) -> None:
    kept = (*ONE, f"general.cache_dir={tmp_path / 'cache'}")
    processed(configured(tiny_sample, tmp_path / "out", *kept))
    again = processed(
        configured(tiny_sample, tmp_path / "out", *kept, "general.run_systematics=True")
    )
    assert {one.status for one in receipts(again)} == {ChunkStatus.CACHED}
    assert again.measurement is not None
    assert again.measurement.violations == []
    assert again.measurement.metrics["n_events"] == again.result.ledger.n_processed == 2000
    summary = json.loads(again.output.run_summary_json.read_text())
    assert summary["throughput"]["events_per_s"] > 0
    assert summary["throughput"]["events_from_kept_columns"] == 2000
    assert "2,000 events from columns that an earlier run has kept" in describe(summary, tmp_path)
