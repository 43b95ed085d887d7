"""How schedulers are set up that we start ourselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import dask

__all__ = ["PATIENT", "PRELOAD", "scheduler_settings"]

ALLOWED_FAILURES = 1  # of a task's worker, before Dask gives the task up at the next
# While a cluster of ours runs: it gives up a worker that its nanny does not start anew in 15 s, for
# good, and a busy machine takes longer.
PATIENT = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
PRELOAD = "intccms.metrics.preload"  # our pages on the dashboard; by name: it stands above us


@contextmanager
def scheduler_settings() -> Iterator[None]:
    """Give a scheduler that is started within the block our pages and our patience."""
    preload = list(dask.config.get("distributed.scheduler.preload", None) or ())
    if PRELOAD not in preload and find_spec(PRELOAD) is not None:
        preload.append(PRELOAD)
    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        "distributed.scheduler.preload": preload,
    }
    with dask.config.set(settings):
        yield
