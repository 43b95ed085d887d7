"""The inspector as the notebook and the command line use it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pyarrow.parquet as pq
import pytest

from intccms import pipeline
from intccms.cli import main
from intccms.errors import InputError
from intccms.execution.tasks import Silent
from intccms.pipeline.inspection import Inspection
from intccms.schema import Config, load_config

EXAMPLE = "example_opendata.configs.configuration:config"


class Counting(Silent):
    """Counts what it is told of."""

    def __init__(self) -> None:
        self.n = 0

    def advance(self, n: int = 1) -> None:
        """Take it down."""
        self.n += n


def settings(sample: Path, output: Path, *more: str) -> list[str]:
    return [
        f"general.base_dir={sample}",
        f"general.output_dir={output}",
        "general.executor=iterative",
        *more,
    ]


@pytest.fixture
def config(tiny_sample: Path, tmp_path: Path) -> Config:
    """The example on the tiny sample."""
    return load_config(EXAMPLE, settings(tiny_sample, tmp_path / "out"))


@pytest.fixture
def no_rucio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of Rucio anywhere."""
    monkeypatch.delenv("RUCIO_CONFIG", raising=False)
    monkeypatch.setenv("RUCIO_HOME", str(tmp_path))


def test_all_steps_give_tables_and_figures(config: Config, no_rucio: None) -> None:
    observer = Counting()
    inspection = Inspection(config, observer=observer)
    assert "signal" in str(inspection.files())
    assert observer.n == inspection.fileset.n_files == inspection.statistics.n_files
    assert inspection.statistics.n_failed == 0
    assert "local statistics only" in str(inspection.rucio("cms"))
    assert inspection.notes != []
    table = inspection.forecast(rate_hz_per_core=1000.0)
    assert table.rows[-1][0] == "total"
    assert inspection.forecasted is not None
    assert all(one.missing == () for one in inspection.forecasted.datasets.values())
    assert 0.05 < inspection.forecasted.datasets["signal"].fraction < 0.5
    assert inspection.show() is not None
    assert len(inspection.show("matplotlib").axes) == 6
    plt.close("all")
    assert "0 failed" in repr(inspection)


def test_rucio_that_is_not_asked_is_no_note(config: Config) -> None:
    inspection = Inspection(config, observer=Silent())
    inspection.files(max_files_per_process=1)
    assert "it was not asked" in str(inspection.rucio(None))
    assert inspection.notes == []


def test_a_second_look_opens_nothing_and_a_run_takes_the_counts(
    tiny_sample: Path, tmp_path: Path
) -> None:
    sample = tmp_path / "sample"
    shutil.copytree(tiny_sample, sample)
    overrides = settings(sample, tmp_path / "out", "general.processes=[signal]")
    config = load_config(EXAMPLE, [*overrides, "general.run_statistics=False"])
    first = Inspection(config, observer=Silent())
    first.files()
    assert (tmp_path / "out/metadata/files.parquet").is_file()
    again = Inspection(config, observer=Silent())
    again.files()
    assert [one.open_s for one in again.records] == [one.open_s for one in first.records]
    fresh = Inspection(config, observer=Silent())
    fresh.files(refresh=True)
    assert [one.open_s for one in fresh.records] != [one.open_s for one in first.records]
    observer = Counting()
    with pipeline.Stages(config, observer=observer) as stages:
        counted = stages.count_files()
    assert counted is not None
    assert counted.n_events("signal") == first.statistics.n_events
    assert observer.n == first.statistics.n_files


def test_an_interrupted_look_keeps_what_was_found(config: Config, tmp_path: Path) -> None:
    class Impatient(Counting):
        def advance(self, n: int = 1) -> None:
            super().advance(n)
            if self.n == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Inspection(config, observer=Impatient()).files()
    assert pq.read_table(tmp_path / "out/metadata/files.parquet").num_rows == 3


def test_columns_are_those_declared_where_the_analysis_cannot_be_run(
    tiny_sample: Path, tmp_path: Path
) -> None:
    sample = tmp_path / "sample"
    shutil.copytree(tiny_sample, sample)
    shutil.rmtree(sample / "example_opendata/corrections")
    overrides = settings(sample, tmp_path / "out", "general.processes=[signal]")
    inspection = Inspection(load_config(EXAMPLE, overrides), observer=Silent())
    inspection.files()
    inspection.forecast()
    assert any("functions declare" in note for note in inspection.notes)
    assert inspection.forecasted is not None
    assert {"Muon_pt", "Muon_charge"} <= set(inspection.forecasted.datasets["signal"].branches)


def test_the_rate_of_the_last_run_predicts_the_time(config: Config) -> None:
    inspection = Inspection(config, observer=Silent())
    inspection.files()
    folder = config.general.path("output_dir")
    folder.joinpath("run_summary.json").write_text('{"throughput": {"events_per_s_per_core": 100}}')
    inspection.forecast()
    assert inspection.forecasted is not None
    n_events = inspection.statistics.n_events
    assert inspection.forecasted.seconds == pytest.approx(n_events / 100)


def test_the_command_prints_and_writes_everything(
    tiny_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: tmp_path / f"found.{name}" for name in ("json", "html", "parquet")}
    options: list[Any] = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    command = ["inspect", *options, "--max-files", "1", *settings(tiny_sample, tmp_path / "out")]
    assert main(command) == 0
    out = capsys.readouterr().out
    for title in ("Input files", "What the analysis will read", "Largest branches"):
        assert title in out
    found = json.loads(files["json"].read_text())
    assert found["n_files"] == len(found["files"]) == pq.read_table(files["parquet"]).num_rows
    assert found["forecast"]["datasets"]["data"]["missing"] == []
    assert found["rucio"] is None
    assert "<html" in files["html"].read_text()


def test_no_listing_is_wrong_input_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *settings(tmp_path, tmp_path / "out")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError):
        Inspection(load_config(EXAMPLE, settings(tmp_path, tmp_path / "out")))
