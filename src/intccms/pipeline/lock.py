"""The lock of an output directory: one run at a time writes to it.

Touches ``.lock`` in the directory, a JSON file that says who holds it. The kernel's lock on that
file ends with the process that has it, however it ends.
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
ATTEMPTS = 200  # for 2 s, while the owner has not yet written who it is


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

    @classmethod
    def read(cls, file: int) -> Owner | None:
        """Read an open lock; None where it is empty or damaged."""
        try:
            return cls(**json.loads(os.pread(file, 4096, 0)))
        except (TypeError, ValueError):
            return None

    def write(self, file: int) -> None:
        """Write it into an open lock."""
        content = (json.dumps(asdict(self)) + "\n").encode()
        os.pwrite(file, content, 0)
        os.ftruncate(file, len(content))

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is another host, of which nothing is known."""
        return self.host != socket.gethostname()


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
        file = self._locked()
        owner, me = Owner.read(file), Owner.myself()
        if owner is not None and owner.is_elsewhere:
            os.close(file)
            raise InputError(_busy(self.path, owner))
        if os.fstat(file).st_size:
            who = "a run that did not say who it is" if owner is None else (
                f"process {owner.pid} on {owner.host}, which has ended"
            )  # fmt: skip
            log.warning("%s: taking over the lock of %s", self.path.parent, who)
        me.write(file)
        self._release = weakref.finalize(self, _give_back, self.path, file, me)

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

    def _locked(self) -> int:
        """Open the file with the kernel's lock on it."""
        for _ in range(ATTEMPTS):
            try:
                file = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o644)
            except OSError as error:
                raise InputError(f"cannot lock {self.path.parent}: {error.strerror}") from error
            owner = self._holder(file)
            if owner is None and self._is(file):
                return file
            os.close(file)
            if owner is not None and owner.pid:
                raise InputError(_busy(self.path, owner))
            time.sleep(0.01)  # it is being written or given back
        raise InputError(f"another run writes to {self.path.parent}, and does not say who it is")

    def _holder(self, file: int) -> Owner | None:
        """Take the kernel's lock, or tell who has it; without a number: who does not say so yet."""
        owner = Owner.read(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return owner or Owner("", 0, "")
        except OSError:  # a file system without such locks
            if owner is None or owner.is_elsewhere or not psutil.pid_exists(owner.pid):
                return None
            return owner
        return None

    def _is(self, file: int) -> bool:
        """Whether the open file is still the one at the path."""
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False


def _give_back(path: Path, file: int, me: Owner) -> None:
    if me.pid == os.getpid():  # else it is a fork of the owner
        with contextlib.suppress(OSError):  # the directory may be gone by now
            if Owner.read(file) == me and os.path.samestat(os.fstat(file), path.stat()):
                path.unlink()
    os.close(file)


def _busy(path: Path, owner: Owner) -> str:
    who = f"process {owner.pid} on {owner.host}, since {owner.started}"
    advice = "wait for it"
    if owner.is_elsewhere:
        advice = f"wait for it, or remove {path} if it has ended"
    elif owner.pid == os.getpid():
        advice = "close that run (in a notebook: restart its kernel)"
    return f"another run writes to {path.parent}: {who}; {advice}, or choose general.output_dir"
