"""A selection that ends in every way a function of a user may, but by returning.

Two ways need memory for each event: a chunk is too much for it, half of it is not.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Never

import numpy as np
import psutil

from tests.faults.analysis import CHUNK_SIZE, make_config

__all__ = ["LIMIT_BYTES", "configured", "ending", "oom_killer"]

LIMIT_BYTES = 600_000_000
START_BYTES = 250_000_000  # of a worker that holds nothing yet
EVENT_BYTES = LIMIT_BYTES // (CHUNK_SIZE * 3 // 4)  # three quarters of a chunk fill it


class Unreadable(Exception):
    """Cannot be made from its pickle."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


class Unwritable(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def deeper(n: int) -> int:
    return deeper(n + 1) + 1


def for_ever() -> None:
    while True:
        time.sleep(0.01)


def throw(error: BaseException) -> Never:
    raise error


def refused(n: int) -> None:
    """Ask for memory which the kernel refuses, as under ``ulimit -v``."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (now + LIMIT_BYTES, before[1]))
    try:
        np.empty(n * EVENT_BYTES, dtype=np.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def held(n: int) -> None:
    """Take memory and keep it for a while."""
    taken = np.ones(n * EVENT_BYTES, dtype=np.uint8)
    time.sleep(2.0)
    del taken


@contextmanager
def oom_killer(pids: Callable[[], list[int]]) -> Iterator[list[int]]:
    """Kill -9 who takes too much, as the kernel does; the list that is given names them.

    A stand-in: a limit of the kernel's own needs a group of processes that is ours to make.
    """
    killed: list[int] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            for pid in pids():
                with suppress(psutil.Error, ProcessLookupError):
                    used = psutil.Process(pid).memory_info().rss
                    if used > START_BYTES + LIMIT_BYTES and pid not in killed:
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield killed
    finally:
        is_over.set()
        watcher.join()


HUNGRY: dict[str, Callable[[int], None]] = {"refused": refused, "held": held}
FAULTS: dict[str, Callable[[], object]] = {
    "sys.exit": lambda: sys.exit(0),
    "KeyboardInterrupt": lambda: throw(KeyboardInterrupt()),
    "GeneratorExit": lambda: throw(GeneratorExit()),
    "RecursionError": lambda: deeper(0),
    "MemoryError": lambda: throw(MemoryError("no room")),
    "unreadable": lambda: throw(Unreadable("this", "that")),
    "unwritable": lambda: throw(Unwritable()),
    "os._exit": lambda: os._exit(0),
    "segfault": lambda: ctypes.string_at(0),
    "for ever": for_ever,
}


def ending(pt: Any, event: Any, how: str) -> Any:
    """Select with some missing momentum; end as `how` says in the second chunk of a file."""
    numbers = np.asarray(event)
    if how and len(numbers) and numbers[0] % 1_000_000 == CHUNK_SIZE:
        if how in HUNGRY:
            HUNGRY[how](len(numbers))
        else:
            FAULTS[how]()
    return np.asarray(pt) > 20


def configured(how: str, **general: Any) -> dict[str, Any]:
    """Give the small analysis with this selection."""
    configuration = make_config(**general)
    configuration["preprocess"]["skimming"].pop("function")
    configuration["preprocess"]["skimming"].pop("use")
    configuration["channels"][0]["selection"] = {
        "function": ending,
        "use": [("MET", "pt"), ("event", None)],
        "static_kwargs": {"how": how},
    }
    return configuration
