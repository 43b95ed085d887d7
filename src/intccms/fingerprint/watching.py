"""What functions look at while they run besides their arrays: files and environment variables.

Python tells an audit hook of each file that is opened. What is opened by imports, by installed
packages of their own files or while columns are read does not count.
"""

from __future__ import annotations

import gc
import hashlib
import os
import site
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from types import FrameType, FunctionType, TracebackType
from typing import Any

from intccms.errors import FunctionError
from intccms.fingerprint.digest import content_digest, named_files, texts_in
from intccms.usercode.homes import home

ABSENT = "absent"
SYSTEM = ("/proc/", "/sys/", "/dev/")  # say how the machine is, and never the same
# Events of Python's audit hooks that tell of what nobody can look at again.
BEYOND = {
    "socket.connect": "the network",
    "socket.getaddrinfo": "the network",
    "socket.gethostbyname": "the network",
    "socket.gethostname": "the name of the host",
    "subprocess.Popen": "another program",
    "os.system": "another program",
    "os.posix_spawn": "another program",
    "os.exec": "another program",
    "os.fork": "another process",
    "sqlite3.connect": "a database",
}
# Modules that look around for Python itself: for sources, compiled code, libraries, cores.
ITS_OWN = {
    *("importlib", "_frozen_importlib", "_frozen_importlib_external", "zipimport"),
    *("ctypes", "inspect", "linecache", "platform", "tokenize"),
}
IMPORTING = ("_frozen_importlib", "importlib._bootstrap")
FOR_USERS = ("importlib.resources", "pkgutil")  # but these read what the user asks for
REMOTE = {"root", "xroot", "s3", "gs", "dav", "davs"}  # libraries read there without a word
# Kinds of files that libraries open without telling Python.
OPENED_UNSEEN = {".parquet", ".feather", ".arrow", ".onnx", ".pt", ".h5", ".ubj", ".model"}
LARGE_BYTES = 1_000_000_000  # above, a file counts by size and time
CACHE_KIND = type(lru_cache(len))


@dataclass(frozen=True)
class Inputs:
    """What functions have looked at, in a form that can be looked at again.

    Parameters
    ----------
    files
        Digests of the content by path; of a folder, of the names in it.
    variables
        By name of an environment variable, salt and digest: the value may be a secret.
    beyond
        What was looked at and cannot be again.
    """

    files: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    beyond: dict[str, None] = field(default_factory=dict)

    def __or__(self, other: Inputs) -> Inputs:
        """Both."""
        return Inputs(
            self.files | other.files,
            self.variables | other.variables,
            self.beyond | other.beyond,
        )

    @property
    def current(self) -> Inputs:
        """What still is as it was."""
        files = {path: then for path, then in self.files.items() if _state(path) == then}
        variables = {
            name: then
            for name, then in self.variables.items()
            if _matches(name, then, os.environ.get(name))
        }
        return Inputs(files, variables)

    @property
    def is_current(self) -> bool:
        """Whether all that was looked at still is as it was."""
        return self.current == self

    def unlike(self, environment: Mapping[str, str]) -> set[str]:
        """Name the environment variables that had other values than they have in `environment`."""
        return {
            name
            for name, then in self.variables.items()
            if not _matches(name, then, environment.get(name))
        }

    def to_json(self) -> dict[str, dict[str, str]]:
        """Return what `from_json` reads; what is beyond is never kept."""
        return {"files": dict(self.files), "variables": dict(self.variables)}

    @classmethod
    def from_json(cls, kept: Mapping[str, dict[str, str]]) -> Inputs:
        """Read what `to_json` has given."""
        return cls(dict(kept["files"]), dict(kept["variables"]))


@dataclass
class _Memory:
    """What one function has looked at in this process, and which files have changed since."""

    function: Callable[[], Any]
    inputs: Inputs = field(default_factory=Inputs)
    stale: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)  # in its arguments, so that keys know of them
    at_hand: dict[str, str] = field(default_factory=dict)  # as constants: libraries may open them
    at_hand_now: dict[str, str] = field(default_factory=dict)

    @property
    def found(self) -> Inputs:
        """What keys do not know of; what has changed only an error can tell of, see `Watch`."""
        less = self.named | self.stale
        files = {path: then for path, then in self.inputs.files.items() if path not in less}
        return replace(self.inputs, files=files)


class _Thread(threading.local):
    watch: Watch | None = None

    def __init__(self) -> None:
        self.called: set[int] = set()  # since `begin`, by id


_thread = _Thread()
_memories: dict[int, _Memory] = {}  # by id of a function that has looked at something


class Watch:
    """Takes down what a function looks at, in the block of a ``with`` statement.

    Parameters
    ----------
    function, key
        Of the user, and where it stands in the configuration.
    kwargs
        Its arguments besides arrays; keys count the files that they name by content.
    """

    def __init__(self, function: Any, key: str, kwargs: Mapping[str, Any] | None = None) -> None:
        self._function, self._key, self._kwargs = function, key, kwargs or {}

    def __enter__(self) -> Watch:
        """Begin."""
        _install()
        self._before, _thread.watch = _thread.watch, self
        _thread.called.add(id(self._function))
        function = self._function
        if isinstance(function, FunctionType) and home(function.__module__ or "") is not None:
            return self
        if id(function) not in _memories or _memories[id(function)].function() is not function:
            with unwatched():
                self._look_through()
        return self

    def _look_through(self) -> None:
        memory = self._memory()
        texts = [one for one in texts_in(self._function) if "\0" not in str(one)]
        folders = [Path(one) for one in texts if Path(one).is_absolute() and Path(one).is_dir()]
        names = [one for one in texts if "." in str(one) and not Path(one).is_absolute()]
        joined = [folder / name for folder in folders for name in names]
        # of names that are made up when it runs
        kinds = {"." + str(one).rpartition(".")[2] for one in names} & OPENED_UNSEEN
        joined += [one for folder in folders for one in folder.iterdir() if one.suffix in kinds]
        files = {
            path for path in named_files([*texts, *joined]) if not path.startswith(_installed())
        }
        memory.at_hand = {path: _state(path) for path in files}
        memory.at_hand_now = dict(memory.at_hand)
        for text in texts:
            scheme, separator, _ = str(text).partition("://")
            if separator and scheme in REMOTE:
                self.went_beyond(f"a file at {scheme}://")

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        """End.

        Raises
        ------
        FunctionError
            If a file that the function once read has changed, and it goes on with what it has
            kept of the old content.
        """
        _thread.watch = self._before
        memory = _memories.get(id(self._function))
        if error is None and memory is not None and memory.stale and memory.function():
            raise FunctionError(
                f"{self._key}: {min(memory.stale)} has changed since it was read in this process, "
                "and what was kept of it is still in use: restart the kernel, or read it at each "
                "call"
            )

    def opened(self, path: str) -> None:
        """Take down a file or folder, in the state in which it is opened."""
        memory = self._memory()
        memory.stale.discard(path)
        memory.named.update({path}.intersection(named_files(self._kwargs)))
        memory.inputs.files[path] = _state(path)

    def looked_up(self, name: str, value: str | None) -> None:
        """Take down an environment variable."""
        salt = os.urandom(8).hex()
        self._memory().inputs.variables[name] = f"{salt}:{_salted(salt, name, value)}"

    def went_beyond(self, what: str) -> None:
        """Take down what cannot be looked at again."""
        self._memory().inputs.beyond[f"{self._key} ({what})"] = None

    def _memory(self) -> _Memory:
        return _memory_of(self._function)


def _same(function: Any) -> Any:
    return function


def _memory_of(function: Any) -> _Memory:
    memory = _memories.get(id(function))
    if memory is None or memory.function() is not function:
        alive: Callable[[], Any] = partial(_same, function)
        with suppress(TypeError):  # of some kinds there are none
            alive = weakref.ref(function)
        memory = _memories[id(function)] = _Memory(alive)
    return memory


@contextmanager
def unwatched() -> Iterator[None]:
    """Let what is opened in the block not count."""
    before, _thread.watch = _thread.watch, None
    try:
        yield
    finally:
        _thread.watch = before


def inputs_of(function: Any) -> Inputs:
    """Return what a function has looked at since it came to this process."""
    memory = _memories.get(id(function))
    return Inputs() if memory is None or memory.function() is not function else memory.found


def adopt(function: Any, inputs: Inputs) -> None:
    """Take over what a function has looked at elsewhere, where its answer is taken over."""
    memory = _memory_of(function)
    memory.inputs = memory.inputs | inputs


def begin() -> None:
    """Begin a chunk, for which `known_inputs` is asked at its end."""
    _thread.called.clear()


def known_inputs() -> Inputs:
    """Return what the functions have looked at that were called since `begin`.

    What others have looked at and is as it was then counts, too: they may share what they read.
    """
    known, opened, at_hand = Inputs(), set[str](), dict[str, str]()
    for number, memory in list(_memories.items()):
        if memory.function() is None:
            _memories.pop(number, None)
        elif number in _thread.called:
            known, at_hand = known | memory.found, at_hand | memory.at_hand
        else:
            known = known | memory.found.current
        opened |= {*memory.inputs.files}
    files = {path: then for path, then in at_hand.items() if path not in opened}
    # of what was not seen to be opened nobody knows when it was
    unclear = {path for path, then in files.items() if _state(path) != then}
    beyond = {f"{path}, which has changed since this process began": None for path in unclear}
    return replace(known, files=known.files | files, beyond=known.beyond | beyond)


def refresh() -> None:
    """Let functions read again what has changed: results that they keep in caches are dropped."""
    changed = False
    for memory in list(_memories.values()):
        for path, then in memory.inputs.files.items():
            if path not in memory.stale and _state(path) != then:
                memory.stale.add(path)
                changed = True
        now = {path: _state(path) for path in memory.at_hand_now}
        changed |= now != memory.at_hand_now
        memory.at_hand_now = now
    if changed:
        for one in gc.get_objects():
            if type(one) is CACHE_KIND and home(one.__module__ or "") is None:
                one.cache_clear()


def _state(path: str) -> str:
    with unwatched():
        try:
            if Path(path).is_dir():
                names = "\n".join(sorted(one.name for one in Path(path).iterdir()))
                return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()
            if not Path(path).is_file():
                return ABSENT
            about = Path(path).stat()
            if about.st_size > LARGE_BYTES:
                return f"{about.st_size} bytes of {about.st_mtime_ns}"
            return content_digest(path)
        except OSError:
            return ABSENT


def _salted(salt: str, name: str, value: str | None) -> str:
    text = ABSENT if value is None else f"={value}"
    return hashlib.sha256(f"{salt}/{name}/{text}".encode("utf-8", "surrogatepass")).hexdigest()


def _matches(name: str, then: str, value: str | None) -> bool:
    salt, _, digest = then.partition(":")
    return _salted(salt, name, value) == digest


@cache
def _install() -> None:
    """Begin to listen, once in a process."""
    sys.addaudithook(_hook)
    kind = type(os.environ)
    get = kind.__getitem__

    def getitem(self: Any, key: Any) -> Any:
        watch = _thread.watch
        if watch is not None and self is os.environ and isinstance(key, str) and _by_user():
            with unwatched():
                watch.looked_up(key, self.get(key))
        return get(self, key)

    kind.__getitem__ = getitem  # type: ignore[method-assign]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    watch = _thread.watch
    if watch is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if _is_read(mode, flags):
            _opened(watch, path)
    elif event in ("os.listdir", "os.scandir"):
        _opened(watch, arguments[0] if arguments[0] is not None else ".")
    elif event in BEYOND:
        with unwatched():
            if not _by_python():
                watch.went_beyond(BEYOND[event])


def _is_read(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return "r" in mode or "+" in mode
    return isinstance(flags, int) and flags & os.O_ACCMODE != os.O_WRONLY


def _opened(watch: Watch, path: Any) -> None:
    if isinstance(path, int):
        return
    with unwatched():
        name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - see `content_digest`
        if name.startswith(SYSTEM) or name.startswith(_installed()) or _by_python():
            return
        watch.opened(name)


@cache
def _installed() -> tuple[str, ...]:
    """Folders of Python and of installed packages, which count by their versions."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {*map(sysconfig.get_path, names), site.getusersitepackages()}
    return tuple(f"{folder}{os.sep}" for folder in folders)


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _modules() -> Iterable[str]:
    """Name the modules of the functions that are running, the innermost first, up to the kit's."""
    for frame in _frames():
        name = str(frame.f_globals.get("__name__", ""))
        if name == __name__:
            continue
        if name.startswith(("intccms.", "chunkcolumns.")):
            return
        yield name


def _by_python() -> bool:
    """Say whether Python itself, or a compiler's cache, is at work and not the user's code."""
    is_own = False
    for name in _modules():
        if name in IMPORTING or name.startswith(FOR_USERS):
            return name in IMPORTING
        is_own |= name.partition(".")[0] in ITS_OWN
        is_own |= name == "numba.core.caching" or name.startswith("joblib.externals")
        if home(name) is None:
            break
    return is_own


def _by_user() -> bool:
    """Say whether it is code of the user that looks up a variable."""
    for name in _modules():
        if name not in ("os", "_collections_abc", "collections.abc"):
            return home(name) is None
    return False
