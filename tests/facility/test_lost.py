"""What a cluster of processes over TLS loses in mid-run: a nanny, then its scheduler."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import psutil
import pytest
from distributed import Client

from intccms.errors import ClusterLostError
from intccms.execution.accounting import Totals
from intccms.execution.dask.cluster import DaskExecutor
from tests.conftest import free_port
from tests.execution import tasks
from tests.facility.certificates import security
from tests.facility.conftest import clean_environment, processes

N = 60


def started(*words: str) -> list[psutil.Process]:
    """Processes that this one has started itself, with these words in their commands."""
    alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in alive if set(words) <= set(one.cmdline())]


def killed(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_a_nanny_that_is_killed_costs_nothing_and_a_scheduler_names_what_is_left(
    secrets: Path, tmp_path: Path
) -> None:
    address = f"tls://127.0.0.1:{free_port()}"
    certificate = str(secrets / "hostcert.pem")
    flags = ["--tls-ca-file", str(secrets / "ca.pem"), "--tls-cert", certificate]
    flags += ["--tls-key", certificate, "--dashboard-address", "127.0.0.1:0"]
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", "tls://127.0.0.1", *flags]
    scheduler += ["--port", address.rpartition(":")[2]]
    worker = [*dask, "worker", address, "--nthreads", "1", "--host", "tls://127.0.0.1", *flags]
    workers = [[*worker, "--name", name] for name in ("first", "second")]
    runs = tmp_path / "runs"
    runs.mkdir()
    cloudpickle.register_pickle_by_value(tasks)
    env = clean_environment()
    try:
        with (
            processes(scheduler, *workers, cwd=tmp_path, env=env),
            Client(address, security=security(secrets), timeout="60s") as client,
        ):
            client.wait_for_workers(2, timeout=60)
            check_nanny(client, runs)
            check_scheduler(client, runs)
    finally:
        cloudpickle.unregister_pickle_by_value(tasks)


def check_nanny(client: Client, runs: Path) -> None:
    totals = Totals(lambda _: "all")
    running = DaskExecutor(client).map(tasks.add_up, range(N), arguments=(runs, 0.1), totals=totals)
    answers = dict(next(running) for _ in range(10))
    [nanny] = started("worker", "first")
    children = nanny.children(recursive=True)
    killed(nanny)
    answers |= dict(running)
    assert answers == {item: item for item in range(N)}
    items = totals.by_group.get("all", {"items": ()})["items"]
    assert len(set(items)) == len(items)
    wait_for(lambda: not any(child.is_running() for child in children))  # it goes with its nanny


def check_scheduler(client: Client, runs: Path) -> None:
    running = DaskExecutor(client).map(
        tasks.add_up, range(N), arguments=(runs, 0.1), totals=Totals(lambda _: "all")
    )
    answers = dict(next(running) for _ in range(10))
    [scheduler] = started("scheduler")
    killed(scheduler)
    begin = time.monotonic()
    answers |= dict(running)
    assert time.monotonic() - begin < 90
    assert sorted(answers) == list(range(N))
    lost = [item for item, answer in answers.items() if isinstance(answer, ClusterLostError)]
    assert 0 < len(lost) <= N - 10
