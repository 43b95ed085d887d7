"""The stages in their order: what is written, and what can be done again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from intccms import pipeline
from intccms.pipeline import RunResult, Stages
from tests.pipeline.runs import FEW, NOMINAL_ONLY, Watcher, configured, processed


def test_a_run_writes_what_it_promises(done: RunResult) -> None:
    out = done.output.directory
    expected = [
        "config.json",
        "run_summary.json",
        "metadata/fileset.json",
        "metadata/workitems.json",
        "metadata/nanoaods.json",
        "histograms/histograms.root",
        "histograms/histograms.pkl",
        "statistics/workspace.json",
        "statistics/fit.json",
        "statistics/limits.json",
        "statistics/limit.png",
        "statistics/limit.pdf",
        "plots/CMS_WORKSHOP/workshop_mtt.png",
        "plots/CMS_WORKSHOP/workshop_mtt.pdf",
        "plots/CMS_WORKSHOP/workshop_mtt_log.png",
        "plots/CMS_WORKSHOP/cutflow.png",
    ]
    assert [name for name in expected if not (out / name).is_file()] == []
    assert all(path.is_file() for path in done.plots)


def test_the_summary_is_valid_and_is_what_was_returned(
    done: RunResult, schema: dict[str, Any]
) -> None:
    written = pipeline.read_summary(done.output.directory)
    jsonschema.validate(written, schema)
    assert written["status"] == "complete"
    assert written["config_sha256"] == done.config.sha256
    assert written == json.loads(json.dumps(done.summary))


def test_every_event_is_in_the_books(done: RunResult) -> None:
    for book in done.summary["datasets"].values():
        assert book["planned"] == book["processed"]
        assert book["planned"]["events"] == 2000
        assert book["lost"]["files"] == 0


def test_rates_come_from_the_receipts(done: RunResult) -> None:
    assert done.analysis is not None
    timing, rate = done.summary["timing"], done.summary["throughput"]
    receipts = done.analysis.reports
    assert timing["read_s"] == sum(receipt.read_s for receipt in receipts)
    assert rate["bytes_read"] == sum(receipt.bytes_read for receipt in receipts) > 0
    n_events = sum(receipt.n_events for receipt in receipts)
    assert rate["events_per_s"] == pytest.approx(n_events / timing["wall_s"])
    assert rate["events_per_s_per_core"] == rate["events_per_s"]  # one process
    assert done.summary["peak_rss_bytes"] == max(receipt.rss_bytes for receipt in receipts)


def test_receipts_are_lines_of_json(done: RunResult) -> None:
    assert done.analysis is not None
    (path,) = done.output.directory.glob("metrics/*/receipts.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["dataset"] for line in lines] == [one.dataset for one in done.analysis.reports]


def test_the_saved_configuration_is_the_resolved_one(done: RunResult) -> None:
    saved = json.loads(done.output.config_json.read_text())
    assert saved == json.loads(json.dumps(done.config.dump()))


def test_each_stage_is_announced(done: RunResult, watcher: Watcher) -> None:
    assert watcher.stages == [
        "counting events",
        "processing",
        "fits and limits",
        "figures",
    ]
    assert done.analysis is not None
    assert watcher.n_receipts == len(done.analysis.reports)


def test_the_limits_are_in_the_result_and_the_summary(done: RunResult) -> None:
    assert done.limits["signal"].observed == done.summary["limits"]["signal"]["observed"]
    assert set(done.summary["limits"]["signal"]["expected_band"]) == {"-2", "-1", "0", "1", "2"}


def test_plots_can_be_redone_without_the_inputs(done: RunResult, schema: dict[str, Any]) -> None:
    shutil.rmtree(done.output.plots_dir)
    before = pipeline.read_summary(done.output.directory)
    config = configured(
        Path("/nowhere"),
        done.output.directory,
        "general.run_systematics=False",
        "general.run_plots_only=True",
    )
    again = pipeline.run(config)
    assert again.analysis is None
    assert set(again.plots) == set(done.plots)
    assert all(path.is_file() for path in done.plots)
    after = pipeline.read_summary(done.output.directory)
    jsonschema.validate(after, schema)
    assert after | {"config_sha256": ""} == before | {"config_sha256": ""}


def test_a_run_goes_on_from_saved_histograms(done: RunResult, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.output.directory, out)
    config = configured(Path("/nowhere"), out, "general.run_processor=False")
    with Stages(config) as stages:
        assert stages.count_files() is None
        stages.process()
        results = stages.infer()
    assert done.book is not None
    assert stages.result.book is not None
    for key, histogram in done.book.histograms.items():
        assert stages.result.book.histograms[key] == histogram
    assert results["signal"].fit.mu == pytest.approx(done.results["signal"].fit.mu, abs=1e-6)


def test_saved_metadata_can_be_used_again(
    done: RunResult, tiny_sample: Path, tmp_path: Path
) -> None:
    saved = f"general.metadata_dir={json.dumps(str(done.output.metadata_dir))}"
    config = configured(
        tiny_sample, tmp_path / "out", "general.run_metadata_generation=False", saved
    )
    watcher = Watcher()
    with Stages(config, observer=watcher) as stages:
        metadata = stages.count_files()
    assert metadata is not None
    assert sum(file.n_events for file in metadata.files) == 12_000
    assert watcher.stages == []


@pytest.mark.parametrize("setting", ["general.run_analysis=False", "general.analysis=skip"])
def test_files_are_counted_and_nothing_else_if_no_analysis_is_asked_for(
    tiny_sample: Path, tmp_path: Path, setting: str
) -> None:
    config = configured(tiny_sample, tmp_path / "out", *FEW, setting)
    result = pipeline.run(config)
    assert result.output.metadata_dir.is_dir()
    assert not result.output.histograms_dir.exists()
    assert result.plots == ()


def test_without_histogramming_there_is_a_cutflow(
    tiny_sample: Path, tmp_path: Path, schema: dict[str, Any]
) -> None:
    config = configured(
        tiny_sample, tmp_path / "out", *FEW, *NOMINAL_ONLY, "general.run_histogramming=False"
    )
    stages = processed(config)
    result = stages.finish()
    jsonschema.validate(result.summary, schema)
    assert result.summary["yields"] == {}
    assert result.summary["cutflow"]["CMS_WORKSHOP"]["signal"][0]["n_events"] > 0


def test_systematics_can_be_switched_off(done: RunResult) -> None:
    assert done.book is not None
    assert all(labels == () for labels in done.book.varied.values())


@pytest.mark.parametrize("blind", ["[CMS_WORKSHOP]", "{CMS_WORKSHOP: [1000.0, 2000.0]}"])
def test_blinded_data_are_in_no_number(tiny_sample: Path, tmp_path: Path, blind: str) -> None:
    overrides = (*FEW, *NOMINAL_ONLY, f"statistics.blind={blind}")
    result = processed(configured(tiny_sample, tmp_path / "out", *overrides)).finish()
    assert set(result.summary["yields"]["CMS_WORKSHOP"]) == {"signal", "ttbar_semilep"}
    assert "data" not in result.summary["cutflow"]["CMS_WORKSHOP"]


def test_a_run_without_signal_has_no_fit(tiny_sample: Path, tmp_path: Path) -> None:
    config = configured(
        tiny_sample,
        tmp_path / "out",
        "general.processes=[ttbar_semilep,data]",
        "general.run_systematics=False",
    )
    stages = processed(config)
    assert stages.infer() == {}
    assert stages.finish().summary["fit"] == {}


def test_two_executors_give_the_same_bits(done: RunResult, tiny_sample: Path) -> None:
    out = done.output.directory.parent / "futures"
    config = configured(
        tiny_sample, out, *NOMINAL_ONLY, "general.executor=futures", "general.chunk_size=700"
    )
    book = processed(config).result.book
    assert book is not None
    assert done.book is not None
    for key, histogram in done.book.histograms.items():
        np.testing.assert_array_equal(
            book.histograms[key].view(flow=True), histogram.view(flow=True)
        )
