"""Clusters for one test each, and the proof that nothing of them is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import dask
import psutil
import pytest
from distributed import Client, LocalCluster

from intccms.facility.sites import PATIENT
from tests.execution.links import Link, linked
from tests.execution.tasks import running


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail if a process is still running when the test is over.

    What another test's server starts in the meantime is that server's.
    """
    before = running()
    yield
    until = time.monotonic() + 5
    while (left := running(without=before)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left, [psutil.Process(pid).cmdline() for pid in left if psutil.pid_exists(pid)]


@pytest.fixture
def start_cluster(nothing_left: None) -> Iterator[Callable[..., tuple[LocalCluster, Client]]]:
    """Start a real cluster: one thread a worker, each with a nanny."""
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(PATIENT))

        def start(n_workers: int = 2, **options: Any) -> tuple[LocalCluster, Client]:
            allowed = options.pop("allowed_failures", 2)
            with dask.config.set({"distributed.scheduler.allowed-failures": allowed}):
                cluster = LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    **options,
                )
            stack.enter_context(cluster)
            client = stack.enter_context(Client(cluster))
            return cluster, client

        yield start


@pytest.fixture
def far_client(start_cluster: Callable[..., Any]) -> Iterator[tuple[Link, Client]]:
    """Give a client whose way to the scheduler can be cut."""
    cluster, _ = start_cluster(2)
    port = int(cluster.scheduler_address.rpartition(":")[2])
    with linked(port) as link, Client(f"tcp://127.0.0.1:{link.port}", timeout="4s") as client:
        yield link, client
