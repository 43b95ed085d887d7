"""A selection that ends in every way a function of a user may, but by returning."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Never

import numpy as np

from tests.faults.analysis import CHUNK_SIZE, make_config

__all__ = ["configured", "ending"]


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
