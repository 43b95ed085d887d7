"""The lock of an output directory: one run at a time writes to it.

Touches ``.lock`` in the directory, a JSON file that says who holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import time
import uuid
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from intccms.errors import InputError

log = logging.getLogger(__name__)

NAME = ".lock"
PATIENCE_S = 2.0  # for a lock whose owner has made the file but not yet written to it
CLOCK_S = 2.0  # the time of birth of a process and our clock may differ by this much

_held: set[str] = set()  # the identities of all locks that this process holds


@dataclass(frozen=True)
class Owner:
    """Who holds a lock."""

    host: str
    pid: int
    started: str  # ISO 8601, with the time zone
    identity: str = ""  # tells two locks of one process apart

    @classmethod
    def myself(cls) -> Owner:
        """Describe this process."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return cls(socket.gethostname(), os.getpid(), now, uuid.uuid4().hex)

    @property
    def is_gone(self) -> bool:
        """Whether it is known that the owner does not run any more.

        Of another host nothing is known. A process that was born after the lock was taken has
        only the number of the owner.
        """
        if self.host != socket.gethostname():
            return False
        if self.pid == os.getpid():
            return self.identity not in _held
        try:
            process = psutil.Process(self.pid)
            born, status = process.create_time(), process.status()
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False
        since = datetime.fromisoformat(self.started).timestamp()
        return bool(status == psutil.STATUS_ZOMBIE or born > since + CLOCK_S)


class OutputLock:
    """The right to write to an output directory; given back when the object is gone, too.

    Parameters
    ----------
    directory
        The output directory; it must exist when the lock is taken.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._release: Any = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._release is not None and self._release.alive

    def acquire(self) -> None:
        """Take the lock, if need be from a run that has ended without giving it back.

        Does nothing if this object holds it already.

        Raises
        ------
        InputError
            If another run holds it; the text names its host and process.
        """
        if self.is_held:
            return
        me = Owner.myself()
        until = time.monotonic() + PATIENCE_S
        while not (self._made(me) or self._taken_over(me, until)):
            time.sleep(0.01)
        _held.add(me.identity)
        self._release = weakref.finalize(self, _give_back, self.path, me)

    @contextlib.contextmanager
    def held(self, *, keep: bool = False) -> Iterator[None]:
        """Hold the lock in a block, and give it back if the block fails.

        Parameters
        ----------
        keep
            Whether it stays afterwards. It stays in any case if it was held before.

        Raises
        ------
        InputError
            If another run holds it.
        """
        keep = keep or self.is_held
        self.acquire()
        try:
            yield
        except BaseException:
            self.release()
            raise
        if not keep:
            self.release()

    def release(self) -> None:
        """Give the lock back; does nothing if this object does not hold it."""
        if self._release is not None:
            self._release()

    def _made(self, me: Owner) -> bool:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            raise InputError(f"cannot lock {self.path.parent}: {error.strerror}") from error
        try:
            os.write(handle, _content(me))
        finally:
            os.close(handle)
        return True

    def _taken_over(self, me: Owner, until: float) -> bool:
        """Write `me` into the lock of a run that has ended; False: try everything again.

        Whoever wants to do so holds a lock of the kernel on the file for that moment, so that
        two runs that find the same file do not both think that it is theirs.
        """
        try:
            handle = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:  # given back just now
            return False
        try:
            with contextlib.suppress(OSError):  # a file system without such locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            owner = _owner(os.pread(handle, 4096, 0))
            unfinished = owner is None and time.monotonic() < until
            if unfinished or not self._is(handle):
                return False
            if owner is not None and not owner.is_gone:
                raise InputError(_busy(self.path, owner))
            log.warning("%s: taking over the lock of %s", self.path.parent, _named(owner))
            content = _content(me)
            os.pwrite(handle, content, 0)
            os.ftruncate(handle, len(content))
        finally:
            os.close(handle)
        return True

    def _is(self, handle: int) -> bool:
        """Whether the open file is still the one at the path."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False


def _give_back(path: Path, owner: Owner) -> None:
    _held.discard(owner.identity)
    if owner.pid != os.getpid():  # a fork of the owner
        return
    with contextlib.suppress(OSError):  # the directory may be gone by now
        if _owner(path.read_bytes()) == owner:
            path.unlink()


def _content(owner: Owner) -> bytes:
    return (json.dumps(asdict(owner)) + "\n").encode()


def _owner(content: bytes) -> Owner | None:
    """Read a lock; None where it is empty or damaged."""
    try:
        owner = Owner(**json.loads(content))
        datetime.fromisoformat(owner.started)
    except (TypeError, ValueError):
        return None
    return owner if isinstance(owner.pid, int) else None


def _named(owner: Owner | None) -> str:
    if owner is None:
        return "a run that did not say who it is"
    return f"process {owner.pid} on {owner.host}, which has ended"


def _busy(path: Path, owner: Owner) -> str:
    who = f"process {owner.pid} on {owner.host}, since {owner.started}"
    here = owner.host == socket.gethostname()
    advice = (
        "close that run (in a notebook: restart its kernel)"
        if here and owner.pid == os.getpid()
        else "wait for it"
        if here
        else f"wait for it, or remove {path} if it has ended"
    )
    return f"another run writes to {path.parent}: {who}; {advice}, or choose general.output_dir"
