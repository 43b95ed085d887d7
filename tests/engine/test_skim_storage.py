"""Skims on real servers, and the secrets that these need."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from intccms.errors import IncompleteError
from intccms.pipeline import RunResult, read_summary
from intccms.schema import Config, WorkerEval, load_config
from tests.conftest import XRootDServer
from tests.engine.skim_runs import assert_same, configured, reading, run, settings
from tests.skimming.conftest import KEY, SECRET, S3Server

NOMINAL = "general.run_systematics=False"
SKIM = "general.run_skimming=True"
ONLY = "general.run_analysis=False"


@pytest.fixture(scope="module")
def nominal(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(configured(inputs, tmp_path_factory.mktemp("nominal"), NOMINAL))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only the workers know."""
    monkeypatch.setenv("SKIM_KEY", KEY)
    monkeypatch.setenv("SKIM_SECRET", SECRET)


def on_s3(
    inputs: Path, out: Path, server: S3Server, *overrides: str, kind: str = "parquet", **more: Any
) -> Config:
    """Configure skims on S3; `more` goes to the options of the storage."""
    options = server.options() | {
        "key": WorkerEval(lambda: os.environ["SKIM_KEY"]),
        "secret": WorkerEval(lambda: os.environ["SKIM_SECRET"]),
        **more,
    }
    config = settings(inputs, out)
    config["preprocess"]["skimming"]["output"] = {
        "format": kind,
        "output_dir": f"s3://{server.bucket}/{kind}",
        "to_kwargs": {"storage_options": options, "compression": "zstd"}
        if kind == "parquet"
        else {"storage_options": options},
        "from_kwargs": {"storage_options": options},
    }
    return load_config(config, list(overrides))


def holds_secret(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("kind", ["parquet", "ttree"])
def test_no_bit_differs_on_s3_and_no_secret_is_told(
    kind: str,
    inputs: Path,
    nominal: RunResult,
    tmp_path: Path,
    s3_server: S3Server,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", logger="intccms")
    made = run(on_s3(inputs, tmp_path / "made", s3_server, SKIM, NOMINAL, kind=kind))
    assert_same(made, nominal)
    use = "general.use_skimmed_input=True"
    read = run(on_s3(inputs, tmp_path / "read", s3_server, use, NOMINAL, kind=kind))
    assert_same(read, nominal)
    assert made.summary["skims"]["ttbar"]["url"] == f"s3://skims/{kind}/ttbar"
    assert not holds_secret(tmp_path)
    assert SECRET not in caplog.text
    assert SECRET not in json.dumps(made.summary)


@pytest.mark.usefixtures("environment")
def test_no_secret_is_in_what_is_on_the_storage(
    inputs: Path, tmp_path: Path, s3_server: S3Server
) -> None:
    import s3fs

    run(on_s3(inputs, tmp_path / "made", s3_server, ONLY))
    fs = s3fs.S3FileSystem(**s3_server.options(), skip_instance_cache=True)
    names = fs.find(s3_server.bucket)
    assert any(name.endswith("manifest.json") for name in names)
    assert not [name for name in names if SECRET.encode() in fs.cat_file(name)]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("wrong", ["secret", "reader", "bucket"])
def test_storage_that_refuses_is_one_clear_line_and_a_ledger(
    wrong: str, inputs: Path, tmp_path: Path, s3_server: S3Server
) -> None:
    more = {
        "secret": {"secret": "not-the-secret"},
        "reader": {"key": f"{KEY}-ro"},
        "bucket": {"key": f"{KEY}-rw"},  # that of the tests makes the bucket
    }[wrong]
    server = S3Server(s3_server.endpoint, "no-such-bucket") if wrong == "bucket" else s3_server
    few = ["general.processes=[data]", "preprocess.skimming.max_retries=0"]
    config = on_s3(inputs, tmp_path / "out", server, ONLY, *few, kind="rntuple", **more)
    with pytest.raises(IncompleteError, match="cannot (write|use) s3://") as found:
        run(config)
    assert "\n" not in str(found.value)
    assert SECRET not in str(found.value)
    assert "not-the-secret" not in str(found.value)
    summary = read_summary(tmp_path / "out")
    assert summary["status"] == "incomplete"
    assert summary["datasets"]["data"]["lost"]["events"] == 500
    assert not holds_secret(tmp_path)


def test_the_secret_decides_no_key(
    inputs: Path, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIM_KEY", KEY)
    monkeypatch.setenv("SKIM_SECRET", SECRET)
    first = run(on_s3(inputs, tmp_path / "out", s3_server, ONLY))
    again = run(on_s3(inputs, tmp_path / "out", s3_server, ONLY, secret=SECRET))
    assert first.summary["skims"] == again.summary["skims"]
    assert again.summary["datasets"]["ttbar"]["resumed"]["chunks"] == 6
    assert not holds_secret(tmp_path)


@pytest.mark.parametrize("kind", ["parquet", "ttree"])
def test_no_bit_differs_over_xrootd(
    kind: str, inputs: Path, nominal: RunResult, tmp_path: Path, xrootd_server: XRootDServer
) -> None:
    place = f"{xrootd_server.redirector}/store/skims-{kind}"
    output = [
        f"preprocess.skimming.output.format={kind}",
        f"preprocess.skimming.output.output_dir={place}",
    ]
    made = run(configured(inputs, tmp_path / "made", SKIM, NOMINAL, *output))
    assert_same(made, nominal)
    read = run(configured(inputs, tmp_path / "read", NOMINAL, *output, *reading(made)))
    assert_same(read, nominal)
    assert not list(xrootd_server.directory.rglob("*.tmp"))
    (xrootd_server.directory / f"store/skims-{kind}/ttbar/file_1").rename(tmp_path / "gone")
    with pytest.raises(IncompleteError, match="lost 2,000 of 6,500 events"):
        run(configured(inputs, tmp_path / "lost", NOMINAL, *output, *reading(made)))


def test_only_the_workers_know_the_secrets(
    inputs: Path, nominal: RunResult, tmp_path: Path, s3_server: S3Server
) -> None:
    assert "SKIM_SECRET" not in os.environ
    environment = {"SKIM_KEY": KEY, "SKIM_SECRET": SECRET}
    size = "preprocess.skimming.target_part_size=100000"
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", env=environment
        ) as cluster,
        Client(cluster) as client,
    ):
        run(on_s3(inputs, tmp_path / "made", s3_server, ONLY, size), client)
        use = "general.use_skimmed_input=True"
        read = run(on_s3(inputs, tmp_path / "read", s3_server, use, NOMINAL), client)
    assert_same(read, nominal)
    assert not holds_secret(tmp_path)
