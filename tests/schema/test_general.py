from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.schema import General, load_config

Table = dict[str, Any]


def general(**settings: Any) -> General:
    return General.model_validate({"lumi": 16400, "weight_branch": "genWeight", **settings})


def test_the_defaults_are_those_of_the_reference() -> None:
    defaults = general().model_dump(exclude={"lumi", "weight_branch", "metrics"})
    assert defaults == {
        "analysis": "nondiff",
        "executor": "dask",
        "facility": None,
        "n_workers": None,
        "chunk_size": None,
        "run_metadata_generation": True,
        "run_skimming": False,
        "use_skimmed_input": False,
        "run_processor": True,
        "run_analysis": True,
        "run_histogramming": True,
        "run_systematics": True,
        "run_statistics": True,
        "run_plots_only": False,
        "run_mva_training": False,
        "read_from_cache": True,
        "base_dir": None,
        "output_dir": "output/",
        "cache_dir": None,
        "metadata_dir": None,
        "skimmed_dir": None,
        "max_lost_fraction": 0.0,
        "chunk_timeout": None,
        "worker_timeout": 3600.0,
        "weight_clip": None,
        "weight_outlier_factor": 10.0,
        "batch_memory_mb": 500.0,
        "cache_mb": 20_000.0,
        "columns": "fast",
        "check_functors": False,
        "check_duplicates": False,
        "processes": None,
        "channels": None,
    }


def test_everything_is_measured_by_default() -> None:
    metrics = general().metrics
    assert metrics.enable
    assert metrics.track_workers
    assert metrics.worker_tracking_interval == 1.0
    assert metrics.target_throughput_gbps == 200.0


def test_both_spellings_of_run_skimming_are_read() -> None:
    assert general(save_skimmed_output=True).run_skimming
    assert general(run_skimming=True).run_skimming


def test_both_spellings_with_one_value_are_no_error() -> None:
    assert general(run_skimming=True, save_skimmed_output=True).run_skimming


def test_both_spellings_with_two_values_are_an_error(
    table: Table, refused: Callable[..., str]
) -> None:
    table["general"] |= {"run_skimming": True, "save_skimmed_output": False}
    message = refused(table)
    assert message.startswith("general.save_skimmed_output: ")
    assert "'run_skimming'" in message


@pytest.mark.parametrize("key", ["analysis", "executor", "output_dir", "metrics"])
def test_none_means_the_default_where_older_configurations_say_so(key: str) -> None:
    assert getattr(general(**{key: None}), key) == getattr(general(), key)


def test_one_luminosity_holds_for_every_year() -> None:
    assert general().lumi_for("2017") == general().lumi_for(None) == 16400.0


def test_a_luminosity_per_year_is_found_by_year() -> None:
    by_year = general(lumi={2017: 41480, "2018": 59830})
    assert by_year.lumi_for("2017") == 41480.0
    assert by_year.lumi_for("2018") == 59830.0


def test_a_year_without_luminosity_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no year '2016'"):
        general(lumi={"2017": 41480}).lumi_for("2016")


def test_numpy_numbers_and_paths_are_read() -> None:
    settings = general(lumi=np.int64(5), n_workers=np.int32(2), output_dir=Path("out"))
    assert (settings.lumi, settings.n_workers, settings.output_dir) == (5.0, 2, "out")


def test_directories_are_inside_the_output(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    settings = general(output_dir="out/")
    assert settings.path("output_dir") == tmp_path / "out"
    assert settings.path("cache_dir") == tmp_path / "out" / "partials"
    assert settings.path("metadata_dir") == tmp_path / "out" / "metadata"
    assert settings.path("skimmed_dir") == tmp_path / "out" / "skimmed"


def test_directories_that_are_given_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = general(cache_dir="cache", skimmed_dir="/skims", base_dir="inputs")
    assert settings.path("cache_dir") == tmp_path / "cache"
    assert settings.path("skimmed_dir") == Path("/skims")


def test_results_of_chunks_may_be_kept_at_a_url(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert general(cache_dir="s3://bucket/partials").cache_url == "s3://bucket/partials"
    assert general(cache_dir="cache").cache_url == str(tmp_path / "cache")
    assert general().cache_url == str(tmp_path / "output" / "partials")


def test_inputs_are_relative_to_base_dir(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert general().input_path("a.txt") == tmp_path / "a.txt"
    assert general(base_dir="in").input_path("a.txt") == tmp_path / "in" / "a.txt"
    assert general(base_dir="in").input_path("/a.txt") == Path("/a.txt")


def test_one_process_may_be_named_without_a_list() -> None:
    assert general(processes="signal").processes == ("signal",)


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("lumi", "lots", "should be a number or a table, not 'lots'"),
        ("lumi", -3, "should be greater than 0 or a table, not -3"),
        ("lumi", True, "should be a number"),
        ("lumi", {}, "no year '2017'"),
        ("weight_branch", 3, "should be text, not 3"),
        ("analysis", "skim", "should be 'nondiff' or 'skip', not 'skim'"),
        ("executor", "spark", "should be 'dask', 'futures' or 'iterative', not 'spark'"),
        ("n_workers", 0, "should be greater than 0, not 0"),
        ("n_workers", 2.5, "should be a whole number, not 2.5"),
        ("chunk_size", "big", "should be a whole number or 'auto', not 'big'"),
        ("run_statistics", "maybe", "should be True or False, not 'maybe'"),
        ("run_statistics", 1, "should be True or False, not 1"),
        ("max_lost_fraction", 1.5, "should be less than or equal to 1, not 1.5"),
        ("processes", [], "wrong number of entries"),
        ("processes", [3], "should be text, not 3"),
        ("output_dir", ["a"], "should be text, not ['a']"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(
    table: Table, refused: Callable[..., str], key: str, value: object, wanted: str
) -> None:
    table["general"][key] = value
    message = refused(table)
    assert message.startswith(f"general.{key}")
    assert wanted in message


def test_a_wrong_value_in_metrics_is_told_with_its_place(
    table: Table, refused: Callable[..., str]
) -> None:
    table["general"]["metrics"] = {"worker_tracking_interval": 0}
    assert refused(table).startswith("general.metrics.worker_tracking_interval: ")


def test_a_required_key_is_named_with_its_meaning(
    table: Table, refused: Callable[..., str]
) -> None:
    del table["general"]["lumi"]
    assert refused(table).startswith("general.lumi: this key is required: Integrated luminosity")


def test_a_luminosity_for_each_of_several_years_is_noted(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    table["general"]["lumi"] = 100000
    config = load_config(table)
    assert len(config.notes) == 1
    assert "'2017'" in config.notes[0]
    assert config.notes[0] in caplog.messages


def test_a_luminosity_per_year_needs_no_note(table: Table) -> None:
    assert load_config(table).notes == ()
