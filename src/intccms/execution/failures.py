"""What kind of failure an exception is, whether to try again, and how long an item may take."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType
from typing import Any

import cloudpickle

from intccms.errors import (
    BadContentError,
    FunctionError,
    IntccmsError,
    MissingColumnError,
    OtherCodeError,
    SkimWriteError,
    WorkerLostError,
)
from intccms.execution import marks
from intccms.execution.marks import function_now
from intccms.interrupts import OverdueError, is_interrupt
from intccms.reading.columns import IN_BRANCH
from intccms.redaction import redacted


class FailureKind(StrEnum):
    """Why a chunk failed, and so what to do about it."""

    TRANSIENT = "transient"  # it may pass
    PERMANENT = "permanent"  # of this place of the file: another one may do
    USER = "user"  # a fault of the user's function
    MEMORY = "memory"  # a smaller chunk may fit
    OTHER_CODE = "other code"  # a worker would have run something else than was planned

    @property
    def is_final(self) -> bool:
        """Whether no other try and no other place of the file would help."""
        return self in (FailureKind.USER, FailureKind.MEMORY, FailureKind.OTHER_CODE)


READERS = ("uproot", "fsspec", "fsspec_xrootd", "XRootD", "pyarrow", "s3fs", "aiohttp", "cramjam")
PERMANENT = (
    "no such file", "does not exist", "not found", "not a root file", "permission denied",
    "expected chunk of length", "while decompressing", "magic bytes", "truncated",
    "illegal seek",  # XRootD, for what is beyond the end of a file
)  # fmt: skip
PERMANENT_WRITES = (
    "no space left", "quota exceeded", "read-only file system", "not a directory",
    "permissionerror", "access denied", "accessdenied", "forbidden", "filenotfounderror",
    "nosuchbucket", "does not match",  # S3, for a wrong secret
)  # fmt: skip


@contextmanager
def user_code(key: str, function: Any = None) -> Iterator[None]:
    """Run a user's function within the block; what would end the process only fails.

    Parameters
    ----------
    key, function
        As the configuration names it, and the function itself.

    Raises
    ------
    FunctionError
        For ``sys.exit()`` and whatever else is no `Exception`, but for a Ctrl-C.
    MemoryError
        With the name of the function.
    """
    name = getattr(function, "__name__", "")
    label = f"{key} ({name})" if name else key
    before = marks.swap(label)
    try:
        yield
    except MemoryError as exc:
        raise MemoryError(f"{label}: {describe(exc)}") from exc
    except Exception:
        raise
    except BaseException as exc:
        if is_interrupt(exc):
            raise
        raise FunctionError(f"{label}: {_named(exc)}") from exc
    finally:
        marks.swap(before)


def lost_worker(mark: marks.Mark, n: int, *, hung: bool = False) -> WorkerLostError:
    """Say how a worker ended that ran an item for the last time.

    Parameters
    ----------
    mark
        What it has left.
    n
        How often a worker ended with that item.
    hung
        Whether it was ended because it took too long.
    """
    crash = mark.crash.strip()
    is_killed = mark.exit_code in (None, -signal.SIGKILL, -signal.SIGTERM) and not crash
    if hung:
        how = "did not end in general.chunk_timeout"
    elif is_killed:
        is_known = mark.exit_code is not None
        how = "was killed, or out of memory" if is_known else "ended; how is not known"
    elif crash:
        how = f"crashed ({crash.splitlines()[0].removeprefix('Fatal Python error: ')})"
    elif (mark.exit_code or 0) < 0:
        how = f"crashed ({signal.strsignal(-(mark.exit_code or 0))})"
    else:
        how = f"ended itself with exit status {mark.exit_code}"
    where = f"{mark.function}: " if mark.function else ""
    error = WorkerLostError(f"{where}the worker that ran it {how}, {n} times")
    error.end = "hung" if hung else "killed" if is_killed else "crashed"
    error.function, error.trace = mark.function, crash or str(error)
    return error


def _named(exc: BaseException) -> str:
    name, text = type(exc).__name__, describe(exc)
    return name if text == name else f"{name}: {text}"


def contained(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call what runs on a worker: nothing that it raises ends the worker, but for a Ctrl-C.

    Raises
    ------
    IntccmsError
        For ``sys.exit()`` and the like; whatever else is raised passes.
    """
    try:
        return function(*arguments)
    except Exception:
        raise
    except BaseException as exc:
        if is_interrupt(exc):
            raise
        name = getattr(function, "__name__", type(function).__name__)
        raise IntccmsError(f"{name} ended with {_named(exc)}") from exc


def isolated(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call as `contained` does, in a worker process: what is raised can be read in any other."""
    try:
        return contained(function, *arguments)
    except Exception as exc:
        try:
            cloudpickle.loads(cloudpickle.dumps(exc))
        except Exception:  # noqa: BLE001 - whatever a class of the user does
            raise IntccmsError(_named(exc)) from None
        raise


def is_read_failure(exc: BaseException) -> bool:
    """Say whether `exc` came through a reading library, where virtual arrays are read."""
    frames = (frame for frame, _ in traceback.walk_tb(exc.__traceback__))
    modules = [str(frame.f_globals.get("__name__", "")) for frame in frames]
    return any(
        module.split(".")[0] in READERS or module == "intccms.reading.columns" for module in modules
    )


def classify(exc: BaseException, stage: str) -> FailureKind:
    """Sort an exception of a chunk by stage first, then by type and text.

    Parameters
    ----------
    exc
        What was raised.
    stage
        ``open``, ``read`` or ``process``; a failure to write has a type of its own.

    Returns
    -------
    FailureKind
        ``user`` for a fault of the user's function, ``permanent`` where another try of the same
        place is useless, ``memory``, else ``transient``.
    """
    if isinstance(exc, OtherCodeError):
        return FailureKind.OTHER_CODE
    if isinstance(exc, MemoryError) or isinstance(exc.__cause__, MemoryError):
        return FailureKind.MEMORY
    if isinstance(exc, BadContentError):
        return FailureKind.PERMANENT
    cause: BaseException | None = exc
    final: Any = MissingColumnError | FileNotFoundError | KeyError | ValueError
    words: tuple[str, ...] = PERMANENT
    if isinstance(exc, SkimWriteError):  # the same place is all there is
        cause, final, words = exc.__cause__, TypeError | ValueError, PERMANENT + PERMANENT_WRITES
    elif isinstance(exc, FunctionError) or (
        stage == "process"
        and not isinstance(exc, MissingColumnError | OSError)
        and not is_read_failure(exc)
    ):
        return FailureKind.USER
    text = f"{type(cause).__name__}: {cause} {exc}".lower()
    is_final = isinstance(cause, final) or any(one in text for one in words)
    return FailureKind.PERMANENT if is_final else FailureKind.TRANSIENT


def describe(exc: BaseException, limit: int = 300) -> str:
    """Return the first line of the message of `exc`, cut at `limit` characters.

    What could not be read is named after it.
    """
    lines = str(exc).strip().splitlines()
    notes = [note for one in (exc, exc.__cause__) for note in getattr(one, "__notes__", ())]
    branch = next((f" ({note})" for note in notes if note.startswith(IN_BRANCH)), "")
    first = redacted(lines[0]) if lines else type(exc).__name__
    return first[: limit - len(branch)] + branch


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
