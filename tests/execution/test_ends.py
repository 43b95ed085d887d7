"""How a worker ended is said as far as it is known, and by nobody guessed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from intccms.errors import WorkerLostError
from intccms.execution.dask.cluster import DaskExecutor
from tests.execution import tasks
from tests.execution.test_survival import N, StartCluster, check_complete, make_good, together

ROOT = Path(__file__).resolve().parents[2]
START_S = 120


@contextmanager
def without_nannies(client: Client, n_workers: int, folder: Path) -> Iterator[None]:
    """Start workers that nobody looks after."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", client.scheduler.address]
    options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
    paths = os.pathsep.join(str(path) for path in (ROOT / "src", ROOT))
    with (folder / "log").open("w") as log:
        workers = [
            subprocess.Popen(
                [*command, *options],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": paths},
            )
            for _ in range(n_workers)
        ]
        try:
            client.wait_for_workers(n_workers, timeout=START_S)
            yield
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


def lost(client: Client, folder: Path, how: str) -> WorkerLostError:
    """Run items of which the fifth ends its worker; all others are done."""
    totals = together()
    running = DaskExecutor(client).map(
        tasks.end_in_function, range(N), arguments=(folder, how), totals=totals, careful=True
    )
    answers: dict[int, Any] = dict(running)
    make_good(client, tasks.kill_always, folder, totals, without_5=True)
    check_complete(answers, totals, missing=(5,))
    assert isinstance(answers[5], WorkerLostError)
    return answers[5]


@pytest.mark.parametrize(("how", "where"), [("kill", ""), ("exit", "channels.all: ")])
def test_of_a_worker_without_a_nanny_it_is_not_known(
    start_cluster: StartCluster, tmp_path: Path, how: str, where: str
) -> None:
    _, client = start_cluster(0, allowed_failures=0)
    with without_nannies(client, 2, tmp_path):
        error = lost(client, tmp_path, how)
    assert str(error) == f"{where}the worker that ran it ended; how is not known, 1 times"
    assert error.end == "killed"  # it may be innocent: smaller parts are tried


@pytest.mark.parametrize(
    ("how", "told", "end"),
    [
        ("kill", "the worker that ran it was killed, or out of memory, 1 times", "killed"),
        (
            "exit",
            "channels.all: the worker that ran it ended itself with exit status 0, 1 times",
            "crashed",
        ),
    ],
)
def test_a_nanny_knows(
    start_cluster: Callable[..., Any], tmp_path: Path, how: str, told: str, end: str
) -> None:
    _, client = start_cluster(2, allowed_failures=0)
    error = lost(client, tmp_path, how)
    assert (str(error), error.end) == (told, end)
