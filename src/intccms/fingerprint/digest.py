"""Keys of users' functions that change when, and only when, what they compute may change.

Files count by what stands in them now; they are read again when they may have changed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from types import FunctionType
from typing import Any

import cloudpickle

from intccms.fingerprint.forms import Form, form_of
from intccms.usercode.homes import WITH_VERSIONS
from intccms.usercode.reloading import older_module

# Written later than so long before it was read, a file may be written again and look the same:
# clocks of file systems tick in milliseconds, on some of them in two seconds.
SETTLED_NS = 3_000_000_000

_noted: ContextVar[dict[str, str] | None] = ContextVar("_noted", default=None)
_known: dict[str, tuple[tuple[int, ...], str]] = {}  # by path: what it looked like, and its digest


@contextmanager
def files_noted() -> Iterator[dict[str, str]]:
    """Collect the digests, by absolute path, of all files that are asked for within the block."""
    noted: dict[str, str] = {}
    before = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(before)


def content_digest(path: str | Path) -> str:
    """Return the SHA-256 of the content of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    name = os.path.abspath(path)  # noqa: PTH100 - a link that leads elsewhere is another file
    digest = _digest(name)
    if (noted := _noted.get()) is not None:
        noted[name] = digest
    return digest


def _digest(name: str) -> str:
    looks = _looks(name)
    before = _known.get(name)
    if before is not None and before[0] == looks:
        return before[1]
    with Path(name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if looks == _looks(name) and time.time_ns() - max(looks[-2:]) > SETTLED_NS:
        _known[name] = looks, digest
    return digest


def _looks(path: str) -> tuple[int, ...]:
    status = Path(path).stat()
    # the last one changes whenever anything does: nobody can set it back
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_dev, status.st_ino, status.st_size, *times)


def by_content(value: Any) -> Any:
    """Put digests of content in the place of names of files, in lists, tuples and dicts too."""
    if isinstance(value, str | PurePath):
        path = _file(value)
        return value if path is None else {"content of a file": content_digest(path)}
    if isinstance(value, Mapping):
        return {key: by_content(one) for key, one in value.items()}
    return type(value)(map(by_content, value)) if type(value) in (list, tuple) else value


def named_files(value: Any) -> Iterator[str]:
    """Yield the full names of the files whose names `by_content` replaces."""
    if isinstance(value, str | PurePath):
        path = _file(value)
        if path is not None:
            yield os.path.abspath(path)  # noqa: PTH100 - see `content_digest`
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from named_files(one)


def _file(name: str | PurePath) -> Path | None:
    text = str(name)
    if not ("." in text or os.sep in text):  # not each word is looked for
        return None
    try:
        return Path(name) if Path(name).is_file() else None
    except (OSError, ValueError):  # too long, or a zero byte
        return None


SEEDS = ("1", "2")  # values of PYTHONHASHSEED that order sets differently
CHILD = """
import sys
import cloudpickle
from intccms.fingerprint.digest import fingerprint
print(fingerprint(cloudpickle.load(sys.stdin.buffer)).digest)
"""
CHILD_S = 300.0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies a function, a setting or any other object across processes.

    Parameters
    ----------
    digest
        SHA-256 of its structure.
    unstable
        Names of what has no structural form and was pickled instead; see `is_reproducible`.
    unforeseen
        Functions whose answer may be another at each call, with what makes it so.
    unseeded
        Those that draw from random generators of their own.
    older
        Modules that were loaded again, and of which something here is an older version.
    """

    digest: str
    unstable: tuple[str, ...] = ()
    unforeseen: tuple[str, ...] = ()
    unseeded: tuple[str, ...] = ()
    older: tuple[str, ...] = ()

    def joined(self, other: Fingerprint) -> Fingerprint:
        """Identify a pair of things of which the first is this."""
        digest = _hash(b"joined", *map(bytes.fromhex, (self.digest, other.digest))).hex()
        told = [
            tuple(sorted({*getattr(self, name), *getattr(other, name)}))
            for name in ("unstable", "unforeseen", "unseeded", "older")
        ]
        return Fingerprint(digest, *told)


def fingerprint(value: Any, *, versions: bool = True) -> Fingerprint:
    """Digest of a function with all it uses, or of any object, by structure.

    For a function: byte code, constants, names, defaults, closure cells and the global names that
    it really reads, followed through the user's own modules. Installed packages count by name and
    version. File names, line numbers, comments and docstrings do not count.

    Parameters
    ----------
    value
        What to identify.
    versions
        Whether another version of an installed package makes another fingerprint.

    Notes
    -----
    A function that reaches something by a string, as with ``importlib.import_module``, is named.
    With ``globals``, ``eval`` or ``exec`` all names of its module count. Files that it opens are
    seen when it runs, see `watching`.
    """
    graph = _Graph()
    before = WITH_VERSIONS.set(versions)
    try:
        graph.add(value, str(getattr(value, "__qualname__", type(value).__qualname__)))
    finally:
        WITH_VERSIONS.reset(before)
    told = (graph.unstable, graph.unforeseen, graph.unseeded, graph.older)
    return Fingerprint(graph.digest(), *(tuple(sorted(one)) for one in told))


def texts_in(function: Any) -> list[str | PurePath]:
    """Return the texts and paths that a function has at hand: as constants, defaults, globals."""
    graph = _Graph()
    graph.add(function, "")
    return [value for value in graph.values if isinstance(value, str | PurePath)]


def is_reproducible(value: Any) -> bool:
    """Whether fresh processes with different hash seeds agree on the fingerprint of `value`.

    Needed only for what `Fingerprint.unstable` names: a pickle may depend on the order of a set.
    """
    try:
        data = cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - a foreign object may refuse in any way
        return False
    answers = {_digest_elsewhere(data, seed) for seed in SEEDS}
    return len(answers) == 1 and None not in answers


def _digest_elsewhere(data: bytes, seed: str) -> str | None:
    path = os.pathsep.join(one or os.curdir for one in sys.path)
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
    command = [sys.executable, "-c", CHILD]
    try:
        done = subprocess.run(
            command, input=data, env=env, capture_output=True, timeout=CHILD_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode().split()[-1]


@dataclass
class _Graph:
    """All objects that are reached from the first one; they may refer to each other in circles."""

    forms: list[Form] = field(default_factory=list)
    parts: list[list[int]] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    unstable: set[str] = field(default_factory=set)
    unforeseen: set[str] = field(default_factory=set)
    unseeded: set[str] = field(default_factory=set)
    older: set[str] = field(default_factory=set)

    def add(self, root: Any, where: str) -> None:
        """Take `root` apart, and its parts, and theirs."""
        numbers: dict[int, int] = {id(root): 0}
        waiting = deque([(root, where)])
        self.values.append(root)  # an id means something only while its object lives
        while waiting:
            value, where = waiting.popleft()
            form = form_of(value)
            if (older := older_module(value)) is not None:
                self.older.add(older)
            if not form.is_structural:
                self.unstable.add(f"{where} ({type(value).__qualname__})")
            is_named = isinstance(value, FunctionType)
            name = f"{value.__module__}.{value.__qualname__}" if is_named else where
            self.unforeseen.update(f"{name} ({what})" for what in form.unforeseen)
            self.unseeded.update(f"{name} ({what})" for what in form.unseeded)
            members = []
            for place, part in enumerate(form.parts):
                if id(part) not in numbers:
                    numbers[id(part)] = len(numbers)
                    self.values.append(part)
                    waiting.append((part, form.places[place] if form.places else where))
                members.append(numbers[id(part)])
            self.forms.append(form)
            self.parts.append(members)

    def digest(self) -> str:
        """Digest of the first object, in which neither the order of a set nor of a visit shows."""
        known = self._without_circles()
        open_ones = [n for n in range(len(self.forms)) if n not in known]
        colours = known | {n: _hash(b"open", self.forms[n].text) for n in open_ones}
        n_rounds, n_classes = 0, 0
        # Refine until objects that differ by what they lead to differ in colour: two graphs with
        # the same rounds, colours and first colour cannot be told apart by following parts.
        while open_ones and n_classes != (now := len({colours[n] for n in open_ones})):
            n_rounds, n_classes = n_rounds + 1, now
            colours = colours | {n: self._colour(n, colours) for n in open_ones}
        classes = sorted({colours[n] for n in open_ones})
        return _hash(str(n_rounds).encode(), colours[0], *classes).hex()

    def _without_circles(self) -> dict[int, bytes]:
        """Digests of the objects from which no circle is reached, the innermost first."""
        users: list[list[int]] = [[] for _ in self.forms]
        missing = [len(members) for members in self.parts]
        for number, members in enumerate(self.parts):
            for member in members:
                users[member].append(number)
        known: dict[int, bytes] = {}
        ready = [number for number, n in enumerate(missing) if not n]
        while ready:
            number = ready.pop()
            known[number] = self._colour(number, known)
            for user in users[number]:
                missing[user] -= 1
                if not missing[user]:
                    ready.append(user)
        return known

    def _colour(self, number: int, colours: dict[int, bytes]) -> bytes:
        form = self.forms[number]
        members = [colours[member] for member in self.parts[number]]
        return _hash(form.text, *(members if form.is_ordered else sorted(members)))


def _hash(text: bytes, *digests: bytes) -> bytes:
    digest = hashlib.sha256(len(text).to_bytes(8, "little") + text)
    for one in digests:
        digest.update(one)
    return digest.digest()
