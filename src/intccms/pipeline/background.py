"""A stage that goes on while the notebook is free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from intccms.interrupts import Interrupted, interrupt

T = TypeVar("T")


class Background(Generic[T]):
    """Work in a thread of its own.

    Parameters
    ----------
    work
        What is done; of a `Stages` only this thread may use it meanwhile.
    on_end
        Called in that thread when the work is over, however it ended.

    Attributes
    ----------
    error
        What ended the work; None: nothing did, or it goes on.
    """

    def __init__(self, work: Callable[[], T], on_end: Callable[[Background[T]], None]) -> None:
        self.error: BaseException | None = None
        self._work, self._on_end = work, on_end
        self._answer: list[T] = []
        self._may_stop = threading.Lock()  # not while the end is told
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="intccms-run", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the work goes on."""
        return not self._is_over

    def stop(self) -> None:
        """Interrupt the work, as Ctrl-C would: what is finished is kept. Does not wait."""
        with self._may_stop:
            if self.is_running:
                interrupt(self._thread)

    @property
    def answer(self) -> T | None:
        """What the work gave; None before it is over, or if something has ended it."""
        return self._answer[0] if self._answer and self.error is None else None

    def join(self) -> None:
        """Wait for the end, however the work ends."""
        self._thread.join()

    def wait(self) -> None:
        """Wait for the end; raise what has ended the work."""
        self.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            try:
                self._answer.append(self._work())
            finally:
                with self._may_stop:
                    self._is_over = True
        except KeyboardInterrupt as error:
            self._is_over = True  # it may have come between the two
            is_ours = isinstance(error, Interrupted)
            self.error = error if is_ours else Interrupted("interrupted; the same again goes on")
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits
            self.error = error
        self._on_end(self)
