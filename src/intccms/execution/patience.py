"""How long an item may take before it is taken to hang."""

from __future__ import annotations

import signal
import threading
import time
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from intccms.execution.marks import function_now
from intccms.interrupts import OverdueError

__all__ = ["Patience", "alarmed"]

UNKNOWN_S = 1800.0  # as long as nothing is known: reads give up long before
LEAST_S = 600.0
TIMES_MEDIAN = 50.0
ENOUGH = 5  # items for a median
SOON_S = 0.001
MOST = 1000  # items that are remembered


class Patience:
    """What is given; else a generous multiple of the median of what is finished.

    Parameters
    ----------
    given_s
        None: from the median, and half an hour until that is known.
    """

    def __init__(self, given_s: float | None = None) -> None:
        self.given_s = given_s
        self._took: list[float] = []

    def note(self, took_s: float) -> None:
        """Learn from an item that is finished."""
        if self.given_s is None and len(self._took) < MOST:
            insort(self._took, took_s)

    @property
    def seconds(self) -> float:
        """What an item may take now."""
        if self.given_s is not None:
            return self.given_s
        if len(self._took) < ENOUGH:
            return UNKNOWN_S
        return max(TIMES_MEDIAN * self._took[len(self._took) // 2], LEAST_S)


@contextmanager
def alarmed(seconds: float) -> Iterator[None]:
    """End what takes longer within the block, if Python gets to it: in the main thread only.

    Raises
    ------
    OverdueError
        With the name of the user's function that it was in.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler, (left_s, _) = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    if handler is None or 0 < left_s < seconds:  # somebody else has it, and is in more of a hurry
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise OverdueError(function_now())

    begin = time.monotonic()
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left_s:
            left_s -= time.monotonic() - begin
            signal.setitimer(signal.ITIMER_REAL, max(left_s, SOON_S))
