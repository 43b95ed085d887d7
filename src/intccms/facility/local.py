"""``local``: worker processes of this machine, each with a nanny that replaces it when it dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, LocalCluster

from intccms.facility.kinds import Facility
from intccms.facility.scheduling import scheduler_settings

__all__ = ["FACILITY"]


@contextmanager
def _opened(n_workers: int | None, options: dict[str, Any]) -> Iterator[Client]:
    """Start workers; `options` are those of `distributed.LocalCluster`."""
    settings = {
        "n_workers": n_workers or os.cpu_count() or 1,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
    }
    with scheduler_settings():
        cluster = LocalCluster(**settings | options)
    with cluster, Client(cluster) as client:
        yield client


FACILITY = Facility(_opened, is_here=True)
