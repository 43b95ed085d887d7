"""Event files on a real S3 server that answers with errors, late, in part, or with other bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec.config
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import s3fs
from botocore.exceptions import BotoCoreError

from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.datasets.files import BLOCK_BYTES, N_BLOCKS
from intccms.execution.tasks import Silent
from intccms.reading.source import forget, open_source
from intccms.schema import load_config
from tests.faults.analysis import N_EVENTS, make_config
from tests.faults.inputs import list_files, write_twins
from tests.faults.runs import analysed, bits, check_replaced
from tests.faults.s3 import FaultyS3
from tests.skimming.conftest import KEY, SECRET, S3Server

N_FILES = 2


@pytest.fixture
def faulty(
    s3_server: S3Server, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyS3]:
    """A proxy in front of the server, which has the files; clients find it by the environment."""
    direct = s3fs.S3FileSystem(**s3_server.options(), skip_instance_cache=True)
    for number in range(N_FILES):
        direct.put(f"{exported}/store/{number}.root", f"{s3_server.bucket}/store/{number}.root")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with FaultyS3(s3_server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def impatient(faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> FaultyS3:
    """The same, of clients that wait for 0.3 s instead of a minute: an answer can be too late."""
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 0.3}})
    return faulty


@pytest.fixture
def names(s3_server: S3Server) -> list[str]:
    return [f"s3://{s3_server.bucket}/store/{number}.root" for number in range(N_FILES)]


@pytest.fixture
def quiet(exported: Path, tmp_path: Path) -> AnalysisResult:
    """What the same files give from the disk."""
    local = [exported / "store" / f"{number}.root" for number in range(N_FILES)]
    base = list_files(tmp_path / "quiet", local)
    return analysed(make_config(base_dir=str(base), output_dir=str(tmp_path / "quiet-out")))


def configured(
    names: list[str], folder: Path, max_retries: int = 5, **general: Any
) -> dict[str, Any]:
    base = list_files(folder / "base", names)
    return make_config(
        base_dir=str(base), output_dir=str(folder / "out"), max_retries=max_retries, **general
    )


def test_errors_time_outs_and_answers_that_stop_cost_no_event(
    impatient: FaultyS3, names: list[str], quiet: AnalysisResult, tmp_path: Path
) -> None:
    impatient.fails = lambda n: n % 7 == 3
    impatient.stops = lambda n: n % 7 == 5
    impatient.stalls = lambda n: n == 16
    result = analysed(configured(names, tmp_path))
    assert impatient.n_faults > 6
    assert result.ledger.is_complete
    assert bits(result) == bits(quiet)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("fails", "OSError: [Errno 121] We have a fault"),
        ("corrupts", "is not the file that was planned"),
    ],
)
def test_a_server_that_never_recovers_costs_what_was_not_read_in_bounded_time(
    impatient: FaultyS3, names: list[str], tmp_path: Path, how: str, reason: str
) -> None:
    class Disturbing(Silent):
        """Lets the second file fail when all are counted and before the first is processed."""

        def begin(self, stage: str, *, parts: Any = None, **amount: Any) -> None:
            if parts is not None:
                impatient.only = "1.root"
                setattr(impatient, how, lambda _: True)

    config = configured(names, tmp_path, max_retries=0, chunk_size=N_EVENTS)
    begin = time.monotonic()
    result = runner.run(load_config(config), observer=Disturbing())
    assert time.monotonic() - begin < 60
    assert result.ledger.n_processed == N_EVENTS
    [lost] = result.ledger.lost_chunks
    assert lost.file == names[1]
    assert reason in lost.error


def test_a_server_that_does_not_answer_is_asked_few_times(
    impatient: FaultyS3, names: list[str]
) -> None:
    forget(names[0], "Events")  # another test may have left it open
    impatient.stalls = lambda _: True
    with pytest.raises((OSError, TimeoutError, BotoCoreError)):
        open_source(names[0], "Events")
    assert impatient.n_faults <= 16  # it would be more than a hundred, each of 15 s


def test_to_know_a_large_parquet_file_costs_no_more_than_some_blocks(
    faulty: FaultyS3, s3_server: S3Server, tmp_path: Path
) -> None:
    name, size_bytes = f"{s3_server.bucket}/store/large.parquet", []
    direct = s3fs.S3FileSystem(**s3_server.options(), skip_instance_cache=True)
    for seed in range(2):
        numbers = np.random.default_rng(seed).random(300_000)
        pyarrow.parquet.write_table(pa.table({"x": numbers}), tmp_path / "large.parquet")
        size_bytes.append((tmp_path / "large.parquet").stat().st_size)
        direct.put(str(tmp_path / "large.parquet"), name)
        if not seed:
            source = open_source(f"s3://{name}", "Events")
            before = faulty.n_bytes
            assert source.digest
            assert not source.has_changed(ask=True)
            assert 0 < faulty.n_bytes - before <= 2 * N_BLOCKS * BLOCK_BYTES
    assert size_bytes[0] == size_bytes[1]
    assert source.has_changed(ask=True)


def test_an_object_that_is_replaced_in_mid_run_is_lost_and_read_anew_by_the_next_run(
    faulty: FaultyS3, s3_server: S3Server, tmp_path: Path
) -> None:
    one, other = write_twins(tmp_path / "twins")
    direct = s3fs.S3FileSystem(**s3_server.options(), skip_instance_cache=True)
    name = f"{s3_server.bucket}/store/twin.root"
    direct.put(str(one), name)
    config = configured([f"s3://{name}"], tmp_path)

    def replace(n_done: int) -> None:
        if n_done == 2:  # it is open, and each byte stays where it is
            direct.put(str(other), name)

    check_replaced(config, analysed(config, on_receipt=replace), one, other, tmp_path)
