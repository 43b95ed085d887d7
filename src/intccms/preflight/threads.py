"""Calls that may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from intccms.preflight.findings import Finding, one_line

__all__ = ["Thread", "answer_of"]


class Thread:
    """A call that is waited for as long as one likes; one that hangs is left behind."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._answer: list[Any] = []
        self._error: list[Exception] = []
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer.append(self._call())
        except Exception as error:  # noqa: BLE001 - handed on to who waits
            self._error.append(error)

    def result(self, limit_s: float) -> Any:
        """Give the answer, or raise what the call has raised.

        Raises
        ------
        TimeoutError
            If there is none by then.
        """
        self._thread.join(max(limit_s, 0))
        if self._error:
            raise self._error[0]
        if not self._answer:
            raise TimeoutError("no answer in time")
        return self._answer[0]


def answer_of(thread: Thread, limit_s: float, check: str) -> list[Finding]:
    """Give the findings of a check; that it failed, or takes too long, is one."""
    try:
        found: list[Finding] = thread.result(limit_s)
    except Exception as error:  # noqa: BLE001 - a check that fails is a finding
        return [Finding(check, "failed", one_line(error), "see the message")]
    return found
