"""The stages in their order, on a tiny sample: what is written, what is refused, what is kept."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from example_opendata.configs.configuration import config as example
from intccms import pipeline
from intccms.errors import FitError, IncompleteError, InputError
from intccms.execution.observer import Silent
from intccms.pipeline import RunResult, Stages
from intccms.schema import Config, load_config

NOMINAL_ONLY = ("general.run_systematics=False", "general.run_statistics=False")
FEW = ("general.processes=[signal,ttbar_semilep,data]",)


@pytest.fixture(scope="session")
def schema(root: Path) -> dict[str, Any]:
    path = root / "src" / "intccms" / "run_summary.schema.json"
    content: dict[str, Any] = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    return content


def configured(sample: Path, out: Path, *overrides: str) -> Config:
    general = {
        "general.base_dir": str(sample),
        "general.output_dir": str(out),
        "general.executor": "iterative",
    }
    settings = [f"{key}={json.dumps(value)}" for key, value in general.items()]
    return load_config(example, [*settings, *overrides])


def processed(config: Config) -> Stages:
    """Run without figures."""
    with Stages(config) as stages:
        stages.count_files()
        stages.process()
    return stages


def copy_of(sample: Path, folder: Path) -> Path:
    """Copy a sample; the files are links that may be replaced, never written to."""
    shutil.copytree(sample, folder, copy_function=os.link)
    return folder


def replace_text(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


class Watcher(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.n_receipts = 0

    def begin(self, stage: str, *, total: int | None = None, unit: str = "steps") -> None:
        self.stages.append(stage)

    def receipt(self, receipt: Any) -> None:
        self.n_receipts += 1


@pytest.fixture(scope="module")
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture(scope="module")
def done(
    tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory, watcher: Watcher
) -> RunResult:
    """One complete run with nominal histograms, a fit and all figures."""
    out = tmp_path_factory.mktemp("done") / "out"
    config = configured(tiny_sample, out, "general.run_systematics=False")
    return pipeline.run(config, observer=watcher)


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
    receipts = done.analysis.receipts
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
    assert [line["dataset"] for line in lines] == [one.dataset for one in done.analysis.receipts]


def test_the_saved_configuration_is_the_resolved_one(done: RunResult) -> None:
    saved = json.loads(done.output.config_json.read_text())
    assert saved == json.loads(json.dumps(done.config.dump()))


def test_each_stage_is_announced(done: RunResult, watcher: Watcher) -> None:
    assert watcher.stages == [
        "counting events",
        "processing",
        "fit of signal",
        "limit on signal",
        "figures",
    ]
    assert done.analysis is not None
    assert watcher.n_receipts == len(done.analysis.receipts)


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
    assert stages.found.book is not None
    for key, histogram in done.book.histograms.items():
        assert stages.found.book.histograms[key] == histogram
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


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("general.run_processor=False", "no histograms"),
        ("general.run_plots_only=True", "no histograms"),
        ("general.run_metadata_generation=False", "metadata"),
        ("general.run_skimming=True", "not yet in this version"),
        ("general.use_skimmed_input=True", "not yet in this version"),
        ("general.run_mva_training=True", "not yet in this version"),
        ("general.facility=somewhere", "not yet in this version"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    tiny_sample: Path, tmp_path: Path, setting: str, says: str
) -> None:
    config = configured(tiny_sample, tmp_path / "a" / "out", *FEW, setting)
    with pytest.raises(InputError, match=says):
        pipeline.run(config)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_was_there_stays(tiny_sample: Path, tmp_path: Path) -> None:
    kept = tmp_path / "out" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    config = configured(tiny_sample, kept.parent, *FEW, "general.weight_branch=noSuchBranch")
    with pytest.raises(InputError, match="noSuchBranch"):
        pipeline.run(config)
    assert list(kept.parent.iterdir()) == [kept]


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


@pytest.fixture
def with_a_bad_file(tiny_sample: Path, tmp_path: Path) -> Path:
    sample = copy_of(tiny_sample, tmp_path / "sample")
    (listing,) = (sample / "example_opendata/datasets/ttbar_semilep").glob("*.txt")
    bad = listing.with_name("bad.root")
    bad.write_bytes(b"this is no ROOT file" * 50)
    replace_text(listing, f"{listing.read_text()}\n{bad.name}\n")
    return sample


def test_a_lost_file_is_named_and_the_rest_is_kept(
    with_a_bad_file: Path, tmp_path: Path, schema: dict[str, Any]
) -> None:
    config = configured(with_a_bad_file, tmp_path / "out", *FEW, *NOMINAL_ONLY)
    with pytest.raises(IncompleteError, match=r"1 file that could not be opened.*bad\.root"):
        processed(config).finish()
    summary = pipeline.read_summary(tmp_path / "out")
    jsonschema.validate(summary, schema)
    assert summary["status"] == "incomplete"
    (lost,) = summary["lost_chunks"]
    assert lost["entries"] is None
    book = summary["datasets"]["ttbar_semilep"]
    assert (book["planned"]["files"], book["lost"]["files"]) == (2, 1)
    assert book["lost"]["files_of_unknown_size"] == 1
    assert summary["yields"]["CMS_WORKSHOP"]["ttbar_semilep"]["value"] >= 0


def test_a_loss_that_is_allowed_is_no_error(with_a_bad_file: Path, tmp_path: Path) -> None:
    allowed = "general.max_lost_fraction=0.6"
    config = configured(with_a_bad_file, tmp_path / "out", *FEW, *NOMINAL_ONLY, allowed)
    assert processed(config).finish().summary["status"] == "complete"


def test_a_failed_fit_says_why_and_the_histograms_stay(
    tiny_sample: Path, tmp_path: Path, schema: dict[str, Any]
) -> None:
    # not one of the few events without a lepton is selected
    config = configured(
        tiny_sample,
        tmp_path / "out",
        "general.processes=[ttbar_had,ttbar_semilep,data]",
        "general.run_systematics=False",
        "statistics={signals: [ttbar_had]}",
    )
    with pytest.raises(FitError, match="no events"):
        pipeline.run(config)
    summary = pipeline.read_summary(tmp_path / "out")
    jsonschema.validate(summary, schema)
    assert summary["status"] == "failed"
    assert summary["error"]
    assert (tmp_path / "out/histograms/histograms.root").is_file()
    assert (tmp_path / "out/plots/CMS_WORKSHOP/mtt_chi2.png").is_file()


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


def test_a_damaged_summary_is_an_input_error(done: RunResult, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.output.directory, out)
    summary = json.loads((out / "run_summary.json").read_text())
    del summary["lost_chunks"]
    (out / "run_summary.json").write_text(json.dumps(summary))
    config = configured(Path("/nowhere"), out, "general.run_processor=False")
    with pytest.raises(InputError, match="not as it was written"):
        processed(config)
    (out / "run_summary.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        processed(config)


def test_two_executors_give_the_same_bits(done: RunResult, tiny_sample: Path) -> None:
    out = done.output.directory.parent / "futures"
    config = configured(
        tiny_sample, out, *NOMINAL_ONLY, "general.executor=futures", "general.chunk_size=700"
    )
    book = processed(config).found.book
    assert book is not None
    assert done.book is not None
    for key, histogram in done.book.histograms.items():
        np.testing.assert_array_equal(
            book.histograms[key].view(flow=True), histogram.view(flow=True)
        )
