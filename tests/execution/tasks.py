"""What the tests of the executors run on workers: some of it kills them, hangs or eats memory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psutil

__all__ = [
    "STUCK_S",
    "add_up",
    "eat",
    "end_in_function",
    "end_with_parent",
    "exploding",
    "kill_always",
    "kill_once",
    "running",
    "scale",
    "stick_always",
    "stick_once",
]


STUCK_S = 600.0  # what hangs goes on for so long: who waits for it has not noticed


def running(without: Collection[int] = ()) -> set[int]:
    """Return the pids of all processes that this one has started, and these.

    Parameters
    ----------
    without
        Neither these nor what they have started.
    """
    children = [child for child in psutil.Process().children() if child.pid not in without]
    below = [each for child in children for each in _children(child)]
    return {
        child.pid
        for child in [*children, *below]
        if child.pid not in without and "resource_tracker" not in _line(child)
    }


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _line(process: psutil.Process) -> str:
    try:
        ended = process.status() == psutil.STATUS_ZOMBIE
        return "resource_tracker" if ended else " ".join(process.cmdline())
    except psutil.Error:
        return "resource_tracker"  # it has just ended


def scale(item: int, factor: int) -> int:
    return item * factor


def exploding(item: int) -> int:
    if item == 3:
        raise ZeroDivisionError("the third")
    time.sleep(0.05)
    return item


def add_up(item: int, folder: Path, pause_s: float = 0.0) -> tuple[int, dict[str, Any]]:
    """Return a report, and sums that say who is in them."""
    time.sleep(pause_s)
    with (folder / f"{item}.runs").open("a") as file:
        file.write("x")
    return item, {"items": (item,), "n": 1, "weight": 2.0 ** -(item % 40)}


def kill_always(item: int, folder: Path, victim: int = 5) -> tuple[int, dict[str, Any]]:
    if item == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return add_up(item, folder, 0.02)


def end_in_function(item: int, folder: Path, how: str) -> tuple[int, dict[str, Any]]:
    """End the worker within a function of a user."""
    from intccms.execution.failures import user_code  # takes seconds, which other items have not

    with user_code("channels.all"):
        if item == 5 and how == "exit":
            os._exit(0)
    return kill_always(item, folder)


def _first(folder: Path, name: str) -> bool:
    try:
        (folder / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def kill_once(item: int, folder: Path, victim: int = 20) -> tuple[int, dict[str, Any]]:
    """Kill the worker, with what it holds of other items."""
    if item == victim and _first(folder, "killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    return add_up(item, folder, 0.02)


def stick_once(item: int, folder: Path) -> tuple[int, dict[str, Any]]:
    if item == 5 and _first(folder, "stuck"):
        time.sleep(STUCK_S)
    return add_up(item, folder, 0.02)


def stick_always(item: int, folder: Path) -> tuple[int, dict[str, Any]]:
    if item == 5:
        time.sleep(STUCK_S)
    return add_up(item, folder, 0.02)


def eat(item: int, folder: Path) -> tuple[int, dict[str, Any]]:
    """Take more memory than the worker may have."""
    if item == 5:
        eaten = [b"x" * (1 << 28) for _ in range(8)]
        time.sleep(30)
        del eaten
    return add_up(item, folder, 0.02)


def end_with_parent(item: int, folder: Path) -> int:
    """Say who runs this, and go on for long."""
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(STUCK_S)
    return item
