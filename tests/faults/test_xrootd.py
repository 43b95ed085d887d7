"""Files behind real XRootD servers that go away, come back, or no longer answer."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intccms.analysis.runner import AnalysisResult
from intccms.datasets import metadata
from intccms.datasets.files import WAITING
from intccms.errors import InputError
from intccms.execution.executors import open_executor
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from intccms.schema import load_config
from tests.faults.analysis import N_EVENTS, make_config
from tests.faults.conftest import N_FILES
from tests.faults.inputs import list_files, write_twins
from tests.faults.proxy import Proxy, free_port
from tests.faults.runs import analysed, bits, check_replaced, started
from tests.faults.servers import XRootDServer

# As short as the client allows: the tests wait for them.
SHORT = {"XRD_REQUESTTIMEOUT": "3", "XRD_STREAMTIMEOUT": "3", "XRD_TIMEOUTRESOLUTION": "1"}


def configured(base: Path, out: Path, redirector: list[str], **more: Any) -> dict[str, Any]:
    return make_config(redirector, base_dir=str(base), output_dir=str(out), **more)


def test_a_server_that_is_restarted_in_the_middle_costs_no_event(
    remote: Path, server: XRootDServer, expected: AnalysisResult, tmp_path: Path
) -> None:
    restart = threading.Timer(1.0, server.start)

    def stop(n_done: int) -> None:
        if n_done == 5:
            server.stop()
            restart.start()

    config = configured(remote, tmp_path, [server.redirector])
    result = analysed(config, on_receipt=stop)
    restart.join()
    assert result.ledger.is_complete
    assert result.ledger.retries >= 1
    assert bits(result) == bits(expected)


def test_the_second_redirector_takes_over_when_the_first_dies(
    remote: Path,
    make_server: Callable[[], XRootDServer],
    expected: AnalysisResult,
    tmp_path: Path,
) -> None:
    first, second = make_server(), make_server()

    def stop(n_done: int) -> None:
        if n_done == 30:
            first.stop()

    config = configured(remote, tmp_path, [first.redirector, second.redirector], max_retries=1)
    result = analysed(config, on_receipt=stop)
    assert result.ledger.is_complete
    assert bits(result) == bits(expected)
    used = [receipt.redirector for receipt in result.reports]
    assert set(used[:30]) == {first.redirector.rstrip("/")}
    assert used[-1] == second.redirector.rstrip("/")
    assert result.ledger.retries <= 2  # what has failed is not asked first by each chunk


def test_files_are_counted_although_many_requests_fail(
    remote: Path, proxy: Proxy, expected: AnalysisResult, tmp_path: Path
) -> None:
    proxy.fail_opens(0.2, seed=5)
    result = analysed(configured(remote, tmp_path, [proxy.redirector]))
    assert proxy.n_failed_opens > 0
    assert bits(result) == bits(expected)
    again = analysed(configured(remote, tmp_path, [proxy.redirector]))
    assert again.ledger.retries == 0  # those of an earlier run do not count


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [5.0, 60.0], ids=["a while", "for good"])
def test_a_server_that_stalls_is_waited_for_in_bounded_time(
    remote: Path, proxy: Proxy, expected: AnalysisResult, tmp_path: Path, seconds: float
) -> None:
    marks, out = tmp_path / "marks", tmp_path / "out.json"
    settings = {
        "redirector": [proxy.redirector],
        "base_dir": str(remote),
        "output_dir": str(tmp_path / "output"),
        "max_retries": 3 if seconds < 10 else 0,
        "chunk_size": N_EVENTS,
    }
    arguments = ["-m", "tests.faults.runs", json.dumps(settings), str(out)]
    run = started(arguments, tmp_path / "log", MARKS=str(marks), PAUSE_S="0.3", **SHORT)
    try:
        wait_for(lambda: marks.exists() and len(marks.read_text().splitlines()) >= 5)
        proxy.stall()
        begin = time.monotonic()
        if seconds < 10:
            time.sleep(seconds)
            proxy.flow()
        assert run.wait(60) == 0, (tmp_path / "log").read_text()
        took_s = time.monotonic() - begin
    finally:
        run.kill()
        run.wait()
    outcome = json.loads(out.read_text())
    book = outcome["ledger"]["datasets"]["ttbar"]
    if seconds < 10:
        assert outcome["bits"] == bits(expected)
        assert outcome["ledger"]["retries"] >= 1
        assert book["lost"]["files"] == 0
    else:
        n_lost = book["lost"]["files"]
        assert 0 < n_lost < N_FILES
        assert book["processed"]["events"] == (N_FILES - n_lost) * N_EVENTS
        assert took_s < 20 * n_lost  # each is tried once more in the end


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def waiting(pfn: str) -> dict[str, int]:
    """What the client library goes by in this process, when a file is open."""
    open_source(pfn, "Events")
    from XRootD.client import EnvGetInt  # the library reads its settings when it is loaded

    return {name: EnvGetInt(name.removeprefix("XRD_")) for name in WAITING}


@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_workers_wait_no_longer_than_we_say(
    server: XRootDServer, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    general = load_config(make_config(executor=executor, n_workers=1)).general
    with open_executor(general) as workers:
        pfn = f"{server.redirector}/store/0.root"
        answers = [answer for _, answer in workers.map(waiting, [pfn])]
    assert answers == [{name: int(value) for name, value in WAITING.items()}]


def test_thousands_of_files_behind_a_dead_redirector_end_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metadata, "PAUSES_S", (0.1, 0.2))
    base = list_files(tmp_path / "base", [f"/store/{n}.root" for n in range(3000)])
    dead = f"root://127.0.0.1:{free_port()}/"
    begin = time.monotonic()
    with pytest.raises(InputError, match=r"none of its 3000 files can be read.*cannot connect to"):
        analysed(configured(base, tmp_path / "out", [dead]))
    assert time.monotonic() - begin < 60
    told = [one.message for one in caplog.records if "tried again in the end" in one.message]
    assert told
    assert f"cannot connect to {dead.rstrip('/')}: Connection refused" in told[0]


def test_a_server_that_comes_back_within_the_run_costs_no_event(
    remote: Path, server: XRootDServer, expected: AnalysisResult, tmp_path: Path
) -> None:
    server.stop()
    start = threading.Timer(4.0, server.start)
    start.start()
    result = analysed(configured(remote, tmp_path, [server.redirector]))
    start.join()
    assert result.ledger.is_complete
    assert bits(result) == bits(expected)


def test_a_dead_first_redirector_is_not_waited_for_at_each_file(
    remote: Path, server: XRootDServer, expected: AnalysisResult, tmp_path: Path
) -> None:
    dead = f"root://127.0.0.1:{free_port()}/"
    begin = time.monotonic()
    result = analysed(configured(remote, tmp_path, [dead, server.redirector]))
    assert time.monotonic() - begin < 30
    assert bits(result) == bits(expected)
    assert {receipt.redirector for receipt in result.reports} == {server.redirector.rstrip("/")}


@pytest.mark.parametrize("how", ["renamed", "in place"])
def test_a_file_that_is_replaced_in_mid_run_is_lost_and_read_anew_by_the_next_run(
    exported: Path, server: XRootDServer, tmp_path: Path, how: str
) -> None:
    one, other = write_twins(exported / "store" / tmp_path.name)
    before = shutil.copy(one, tmp_path / "before.root")
    base = list_files(tmp_path / "base", [f"/store/{tmp_path.name}/{one.name}"])
    config = configured(base, tmp_path / "out", [server.redirector])

    def replace(n_done: int) -> None:
        if n_done == 2 and how == "renamed":
            shutil.copy(other, one.with_suffix(".new"))
            one.with_suffix(".new").replace(one)
        elif n_done == 2:
            one.write_bytes(other.read_bytes())

    check_replaced(config, analysed(config, on_receipt=replace), before, other, tmp_path)


@pytest.mark.parametrize("how", ["slow", "stops", "corrupts"])
def test_a_server_that_is_slow_stops_or_changes_bytes_costs_no_event_or_is_a_loss(
    remote: Path, proxy: Proxy, expected: AnalysisResult, tmp_path: Path, how: str
) -> None:
    def disturb(n_done: int) -> None:
        if how == "slow" and n_done == 1:
            proxy.slow(0.02)
        elif how == "stops" and n_done % 10 == 1:
            proxy.truncate(700)
        elif how == "corrupts" and n_done in (5, 20):
            proxy.corrupt(1000 if n_done == 5 else None)

    config = configured(remote, tmp_path, [proxy.redirector])
    result = analysed(config, on_receipt=disturb)
    if how == "corrupts":
        assert proxy.n_corrupted > 0
    if result.ledger.is_complete:
        assert bits(result) == bits(expected)
    else:
        assert how == "corrupts"  # each byte of so small a file belongs to its digest
        assert "is not the file that was planned" in result.ledger.lost_chunks[0].error


def test_whether_a_file_was_replaced_is_asked_while_functions_run(
    exported: Path, server: XRootDServer, tmp_path: Path
) -> None:
    one, other = write_twins(exported / "store" / tmp_path.name)
    source = open_source(f"{server.redirector}/store/{tmp_path.name}/{one.name}", "Events")
    assert source.digest

    def read(*names: str) -> None:
        for name in names:
            fetch([name], False)

    for n_known in (0, 1):  # what a chunk reads is known from the one before
        fetch = source.fetch(0, 60, ReadMeter())
        read("MET_pt")
        assert (source._asked is not None) == bool(n_known)
        assert not source.has_changed(ask=True)
    fetch = source.fetch(60, 120, ReadMeter())
    read("MET_pt")
    wait_for(source._asked.done)
    one.write_bytes(other.read_bytes())
    assert not source.has_changed(ask=True)  # what was read is of before
    read("MET_phi")
    assert source.has_changed(ask=True)


def test_a_file_that_may_not_be_read_is_a_loss_and_the_others_are_counted(
    exported: Path, server: XRootDServer, tmp_path: Path
) -> None:
    names = [
        f"/store/{tmp_path.name}/{path.name}"
        for path in write_twins(exported / "store" / tmp_path.name)
    ]
    (exported / names[1][1:]).chmod(0)
    base = list_files(tmp_path / "base", names)
    result = analysed(configured(base, tmp_path / "out", [server.redirector]))
    assert result.ledger.n_processed == N_EVENTS
    book = result.ledger.to_dict()["datasets"]["ttbar"]
    assert (book["lost"]["files"], book["files_of_unknown_size"]) == (1, 1)
    assert "ermission denied" in str(result.ledger.to_dict())
