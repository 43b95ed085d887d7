"""A cluster without a worker: it is said, waited for, and comes to an end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intccms.errors import NoWorkersError
from intccms.execution.accounting import Totals
from intccms.execution.dask import scheduler
from intccms.execution.dask.cluster import DaskExecutor
from intccms.execution.executors import open_executor
from intccms.schema.datasets import General
from tests.execution import tasks

StartCluster = Callable[..., Any]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "NOTICE_S", 1.0)


def test_a_run_without_workers_says_so_and_ends(
    start_cluster: StartCluster, caplog: pytest.LogCaptureFixture
) -> None:
    _, client = start_cluster(0)
    told: list[str] = []
    general = General(lumi=1.0, weight_branch="genWeight", worker_timeout=3.0)
    begin = time.monotonic()
    with (
        open_executor(general, client, tell=told.append) as executor,
        pytest.raises(NoWorkersError, match=r"no worker at tcp://.* for 3 s \(general.worker_time"),
    ):
        list(executor.map(tasks.scale, range(3), arguments=(2,)))
    assert 3 <= time.monotonic() - begin < 60
    assert told == ["no worker: waiting for one"]
    assert [one.levelno for one in caplog.records if "no worker at" in one.message] == [
        logging.WARNING
    ]


def test_workers_that_come_late_do_the_work(start_cluster: StartCluster) -> None:
    cluster, client = start_cluster(0)
    told: list[str] = []
    later = threading.Timer(3.0, lambda: cluster.scale(1))
    later.start()
    answers = dict(
        DaskExecutor(client, tell=told.append).map(tasks.scale, range(3), arguments=(2,))
    )
    later.join()
    assert answers == {0: 0, 1: 2, 2: 4}
    assert told == ["no worker: waiting for one", ""]


def test_a_run_whose_workers_all_leave_ends(start_cluster: StartCluster, tmp_path: Path) -> None:
    cluster, client = start_cluster(2)
    running = DaskExecutor(client, no_worker_s=3.0).map(
        tasks.add_up, range(60), arguments=(tmp_path, 0.1), totals=Totals(lambda _: "all")
    )
    found = dict(next(running) for _ in range(10))
    cluster.scale(0)
    with pytest.raises(NoWorkersError, match="what is finished is kept"):
        found |= dict(running)
    assert 10 <= len(found) < 60
