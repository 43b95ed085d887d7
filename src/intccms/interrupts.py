"""Ctrl-C and the interrupt button of a notebook: who hears them, and what they are not.

Both reach every process of the group. Only the one that the user works in decides what ends.
"""

from __future__ import annotations

import ctypes
import dis
import multiprocessing.resource_tracker as tracker
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

EXIT_STATUS = 130  # as shells have it: 128 and the number of the signal
RAISE = dis.opmap["RAISE_VARARGS"]


class Interrupted(KeyboardInterrupt):
    """The user has interrupted a run; the text says what is kept and how to go on."""

    def _render_traceback_(self) -> list[str]:
        """Give what IPython shows instead of a traceback."""
        return [str(self)]


class OverdueError(BaseException):
    """Too much time has passed; no `Exception`, so that no function of a user can swallow it."""


def is_interrupt(error: BaseException) -> bool:
    """Say whether `error` came from the keyboard or the clock, not from a ``raise``.

    A signal is raised between two instructions, whatever they are, but for that one; the handler
    of asyncio is the exception.
    """
    if not isinstance(error, KeyboardInterrupt):
        return isinstance(error, OverdueError)
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if isinstance(error, Interrupted) or last is None:
        return True
    frame = last.tb_frame
    is_raised = frame.f_code.co_code[last.tb_lasti] == RAISE
    return not is_raised or frame.f_globals.get("__name__") == "asyncio.runners"


def interrupt(thread: threading.Thread) -> None:
    """Interrupt a thread as Ctrl-C does the main one: before its next instruction in Python."""
    if thread.ident is not None and thread.is_alive():
        ident, error = ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error)


@contextmanager
def unheard() -> Iterator[None]:
    """Let the processes and threads that are started within the block not hear Ctrl-C.

    They inherit what is blocked here, from their first instruction on, and so do those that they
    start. What comes meanwhile is heard at the end of the block.
    """
    tracker.ensure_running()  # when Python starts it, it unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Undo what a library does, within the block, to the way in which Ctrl-C is heard.

    To import dask-jobqueue, for one, lets Ctrl-C end the process: a notebook would lose its kernel.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set a handler, so nobody else has to take one back
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def second_one_ends() -> Iterator[None]:
    """Let the second Ctrl-C within the block end this process and its children at once."""

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, _end)
        signal.default_int_handler(number, frame)

    with handlers_kept():
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, first)
        yield


def _end(number: int, frame: FrameType | None) -> None:
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    sys.stderr.write("intccms: ended at once\n")
    sys.stderr.flush()
    os._exit(EXIT_STATUS)
