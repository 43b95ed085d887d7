"""How functions travel to workers: with the texts of the user's modules that they need.

So a worker runs the code that this process has, not what it finds in its own files.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any
from uuid import uuid4

import cloudpickle

from intccms.errors import OtherCodeError
from intccms.fingerprint.code import imports_in
from intccms.usercode.modules import MAIN, closure, is_users, serve

log = logging.getLogger(__name__)

LARGE_MB = 100.0
CACHED = type(lru_cache(len))
_PROCESS = uuid4().hex
_OPENING = threading.RLock()


class ByValue(tuple[Any, ...]):
    """Arguments whose functions and modules travel as they are in memory, not as their texts.

    For what was changed after it was loaded. What cannot be pickled must not be among it.
    """


class Parcel:
    """A function and the arguments that all items share; opened once where they are needed.

    Parameters
    ----------
    data
        What `pack` has made.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._content: tuple[Callable[..., Any], tuple[Any, ...]] | None = None

    @classmethod
    def pack(cls, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Parcel:
        """Pack, with the modules of the user that are needed, as this process has loaded them.

        Raises
        ------
        OtherCodeError
            If something that must travel by value cannot.
        """
        content, names = _pickled((function, tuple(arguments)), ())
        sources = closure(names)
        texts = {name: one for name, one in sources.items() if one.is_python}
        is_by_value = isinstance(arguments, ByValue)
        if is_by_value:
            content, _ = _by_value((function, tuple(arguments)), [*sources])
        data = cloudpickle.dumps(((_PROCESS, os.getpid()), texts, is_by_value, content))
        if len(data) > LARGE_MB * 1e6:
            log.warning("each worker gets %.0f MB of functions and settings", len(data) / 1e6)
        return cls(data)

    def open(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Give function and arguments; from now on this process imports the modules of these.

        Raises
        ------
        OtherCodeError
            If they cannot be loaded here.
        """
        with _OPENING:
            if self._content is None:
                process, texts, is_by_value, content = cloudpickle.loads(self.data)
                try:
                    if process != (_PROCESS, os.getpid()):
                        serve(texts, anew=is_by_value)
                    self._content = cloudpickle.loads(content)
                except Exception as error:
                    raise OtherCodeError(
                        f"a worker cannot load what it is to run: {type(error).__name__}: {error}"
                    ) from error
            return self._content

    def __reduce__(self) -> tuple[Any, ...]:
        """Go on as it came."""
        return Parcel, (self.data,)


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """Notes the modules that are named, and takes cached functions apart where they must be."""

    def __init__(self, file: io.BytesIO, by_value: tuple[str, ...]) -> None:
        super().__init__(file)
        self.by_value = {MAIN, *by_value}
        self.names: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        """See `pickle.Pickler`."""
        name = obj.__name__ if isinstance(obj, ModuleType) else getattr(obj, "__module__", None)
        for one in (name, type(obj).__module__):
            if isinstance(one, str):
                self.names.add(one)
        if isinstance(obj, FunctionType):
            self.names |= _late_imports(obj)
        if isinstance(obj, CACHED) and name in self.by_value:
            return _cached, (obj.cache_parameters(), obj.__wrapped__)
        return super().reducer_override(obj)


def _cached(parameters: dict[str, Any], function: Callable[..., Any]) -> Any:
    return lru_cache(**parameters)(function)


def _late_imports(function: FunctionType) -> set[str]:
    """Name what a function imports when it runs, from the top."""
    return {
        full
        for one in imports_in(function.__code__)
        if not one.level
        for full in (one.module, *(f"{one.module}.{name}" for name in one.names))
    }


def _pickled(thing: Any, by_value: tuple[str, ...]) -> tuple[bytes, set[str]]:
    file = io.BytesIO()
    packer = _Packer(file, by_value)
    packer.dump(thing)
    return file.getvalue(), packer.names


def _by_value(thing: Any, names: list[str]) -> tuple[bytes, set[str]]:
    with _registered(names):
        try:
            return _pickled(thing, tuple(names))
        except Exception as error:
            raise OtherCodeError(
                f"code of {', '.join(names)} was changed after it was loaded, and cannot be sent "
                f"to the workers as it is: {type(error).__name__}: {error}"
            ) from error


@contextmanager
def _registered(names: list[str]) -> Iterator[None]:
    modules = [sys.modules[name] for name in names if name in sys.modules and is_users(name)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
