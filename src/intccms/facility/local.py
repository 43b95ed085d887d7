"""``local``: worker processes of this machine, each with a nanny that replaces it when it dies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster, WorkerPlugin

from intccms.facility.kinds import Facility
from intccms.facility.scheduling import PATIENT, scheduler_settings
from intccms.interrupts import unheard

__all__ = ["FACILITY"]


@contextmanager
def _opened(n_workers: int | None, options: dict[str, Any]) -> Iterator[Client]:
    """Start workers; `options` are those of `distributed.LocalCluster`."""
    settings = {
        "n_workers": n_workers or os.cpu_count() or 1,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
    }
    with scheduler_settings(), unheard():  # also by workers that its threads start later
        cluster = LocalCluster(**settings | options)
    nannies = logging.getLogger("distributed.nanny")
    before = nannies.level
    try:
        with dask.config.set(PATIENT), cluster, Client(cluster) as client:
            client.register_plugin(_Quiet())
            try:
                yield client
            finally:
                nannies.setLevel(logging.ERROR)  # they may kill what still runs: it was told to end
    finally:
        nannies.setLevel(before)


class _Quiet(WorkerPlugin):
    """Workers do not warn of what they were doing when they were told to end."""

    def setup(self, worker: Any) -> None:
        logging.getLogger("distributed.worker.state_machine").setLevel(logging.ERROR)


FACILITY = Facility(_opened, is_here=True)
