"""What makes the answer of a function depend on more than its code, its inputs and files.

It is told by the names that the function uses: clocks, generators that nobody seeds, other
programs, modules that are looked up by a string.
"""

from __future__ import annotations

import builtins
import random
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from intccms.fingerprint.bytecode import Chain, chains
from intccms.usercode.homes import home

__all__ = ["is_generator", "patched", "unforeseen", "unseeded"]

NAMES = {
    *("time.time", "time.time_ns", "time.ctime", "time.asctime", "time.localtime", "time.gmtime"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
    *("datetime.date.today", "os.urandom", "os.getrandom", "os.getpid", "os.getloadavg"),
    *("os.system", "os.popen", "uuid.uuid1", "uuid.uuid4", "uuid.getnode", "sys.modules"),
    *("importlib.import_module", "importlib.reload", "builtins.__import__", "builtins.input"),
    *("threading.Thread", "gc.get_objects"),
}
MODULES = {"socket", "subprocess", "multiprocessing", "concurrent.futures", "requests", "httpx"} | {
    "urllib.request",
    "http.client",
    "aiohttp",
    "sqlite3",
}
RANDOM = {"random", "secrets", "cupy.random", "tensorflow.random"}  # modules
DRAWS = {  # from the generator of a package
    *("torch.rand", "torch.randn", "torch.randint", "torch.randperm", "torch.normal"),
    *("torch.bernoulli", "torch.multinomial", "torch.rand_like", "torch.randn_like"),
}
MADE_OF = {  # without a seed: of what the system gives
    *("numpy.random.default_rng", "numpy.random.RandomState", "numpy.random.SeedSequence"),
    *("numpy.random.PCG64", "numpy.random.PCG64DXSM", "numpy.random.MT19937"),
    *("numpy.random.Philox", "numpy.random.SFC64", "random.Random", "random.SystemRandom"),
}
GENERATORS = (np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)


def unforeseen(function: FunctionType) -> Iterator[str]:
    """Name what a function uses that another call may find otherwise."""
    for chain in chains(function.__code__):
        for name in _names(function.__globals__, chain):
            if name in NAMES or _is_in(name, MODULES):
                yield name
        yield from _patched(function.__globals__, chain)


def unseeded(function: FunctionType) -> Iterator[str]:
    """Name the random generators that a function draws from, and that nobody seeds."""
    for chain in chains(function.__code__):
        for name in _names(function.__globals__, chain):
            if name in MADE_OF:
                is_drawn = chain.ending == "()"
            else:
                is_drawn = name in DRAWS or ("." in name and _is_in(name, RANDOM))
            if is_drawn:
                yield name


def is_generator(value: Any) -> bool:
    """Say whether an object is a generator of random numbers of the user's own."""
    return isinstance(value, GENERATORS) and value is not np.random.normal.__self__  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)
def patched(module: ModuleType) -> dict[str, Any]:
    """Return what the body of a module of the user sets in installed packages, with its values."""
    loader = getattr(module, "__loader__", None)
    code_of = getattr(loader, "get_code", None)
    try:
        code = None if code_of is None else code_of(module.__name__)
    except (ImportError, OSError, SyntaxError, ValueError):  # its file is gone, or half written
        code = None
    found: dict[str, Any] = {}
    for chain in chains(code, nested=False) if code is not None else ():
        for name in _patched(vars(module), chain):
            value: Any = vars(module)[chain.root]
            for attribute in chain.attributes:
                value = getattr(value, attribute, None)
            found[name] = value
    return found


def _patched(known: Mapping[str, Any], chain: Chain) -> Iterator[str]:
    if chain.ending != "=":
        return
    value = sys.modules.get(chain.root) if chain.is_import else known.get(chain.root)
    for name in chain.attributes[:-1]:
        value = getattr(value, name, None)
    where = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if isinstance(value, ModuleType | type) and isinstance(where, str) and home(where):
        yield f"{'.'.join((chain.root, *chain.attributes))} is set"


def _is_in(name: str, modules: set[str]) -> bool:
    return name in modules or any(name.startswith(f"{module}.") for module in modules)


def _names(known: Mapping[str, Any], chain: Chain) -> Iterator[str]:
    """Yield the full names of what a chain of attributes comes by in installed modules."""
    path, value = chain.root, None
    if not chain.is_import:
        value = known.get(chain.root, getattr(builtins, chain.root, None))
        path = _full_name(value) or ""
        if path:
            yield path
    for attribute in chain.attributes:
        value = None if value is None else getattr(value, attribute, None)
        path = f"{path}.{attribute}"
        full = _full_name(value)
        if path[0] != ".":
            yield path
        if full:
            path = full
            yield full
    if chain.is_import and not chain.attributes:
        yield path


def _full_name(value: Any) -> str | None:
    if isinstance(value, ModuleType):
        return value.__name__ if home(value.__name__) else None
    name = getattr(value, "__qualname__", None)
    module = getattr(value, "__module__", None)
    if getattr(value, "__self__", None) is random.random.__self__:  # type: ignore[attr-defined]
        module, name = "random", value.__name__
    if not (isinstance(name, str) and isinstance(module, str) and home(module)):
        return None
    return f"{module}.{name}"
