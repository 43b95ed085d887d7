"""All checks, side by side."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from intccms.preflight.findings import Finding
from intccms.preflight.here import credentials_found, disk, existing, memory_here, outputs
from intccms.preflight.threads import Thread, answer_of
from intccms.preflight.workers import on_workers
from intccms.schema import Config
from intccms.storage import Output

__all__ = ["preflight"]

WAIT_S = 25.0  # for everything but closing what was started
CLOSE_S = 4.0
LOCAL_S = 8.0  # for what is looked at here


def preflight(config: Config, client: Any = None, *, wait_s: float = WAIT_S) -> list[Finding]:
    """Try in less than 30 seconds what a run would need hours to stumble over.

    Parameters
    ----------
    config
        What is to be run.
    client
        A `distributed.Client` to run on; None: one worker of the configured facility, or of this
        machine.
    wait_s
        How long workers may take to come and to answer.
    """
    until = time.monotonic() + wait_s
    seen: list[Finding] = []
    asked = threading.Event()
    remote = Thread(lambda: on_workers(config, client, until, seen.append, asked.set))
    local = {
        "credentials": Thread(lambda: credentials_found(config)),
        "output": Thread(lambda: outputs(config)),
        "disk": Thread(lambda: [disk("here", existing(Output(config.general).directory))]),
        "memory": Thread(lambda: [memory_here(config)]),
    }
    found: list[Finding] = []
    for name, thread in local.items():
        found += answer_of(thread, LOCAL_S, name)
    if not asked.wait(max(until - time.monotonic(), 0)):
        seen.append(Finding("workers", "failed", "no answer in time", "see its logs"))
    with suppress(Exception):  # a worker that hangs is slow to end; it ends with this process
        remote.result(CLOSE_S)
    return [*seen, *found]
