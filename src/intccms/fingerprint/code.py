"""What a code object does, the names that it looks up, and what these stand for.

No file, line, comment or docstring. Names tell also what an answer depends on besides code, inputs
and files: clocks, generators that nobody seeds, other programs, modules looked up by a string.
"""

from __future__ import annotations

import builtins
import dis
import json
import random
import sys
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import resolve_name
from inspect import getattr_static
from operator import attrgetter
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from intccms.usercode.homes import home

KEPT_CODES = 4096  # of which the instructions are remembered: each look goes through them all
NO_EFFECT = {"NOP", "CACHE", "EXTENDED_ARG"}
GLOBAL_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTE_LOADS = {"LOAD_ATTR", "LOAD_METHOD"}
LOCAL_LOADS = {"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF", "LOAD_CLASSDEREF"}
BEFORE_CALL = {"PRECALL", "PUSH_NULL"}
# What the body of a class says about where it was written.
CLASS_NOTES = {"__doc__", "__qualname__", "__module__", "__firstlineno__", "__static_attributes__"}
CODE_NOTES = 0x4000000  # the flag that there is a docstring, from Python 3.13 on


class Import(NamedTuple):
    """An import statement inside a function."""

    level: int  # number of leading dots
    module: str
    names: tuple[str, ...] = ()  # of ``from module import …``
    is_alias: bool = False  # ``import a.b as c``, which does not give ``a``


class Chain(NamedTuple):
    """A name that a function looks up, and the attributes that it reads from it."""

    root: str  # a global name, or what the function itself imports
    attributes: tuple[str, ...]
    is_import: bool
    ending: str  # "()": called without arguments; "=": the last attribute is set


def code_text(code: CodeType) -> bytes:
    """Instructions with names and jumps spelled out, so that no table's order matters.

    A constant is only a place: `constants_of` gives them in the same order. Those that no
    instruction loads, as a docstring, do not count.
    """
    kept = _instructions(code)
    lines = [_line(one, kept) for one in kept]
    signature = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount]
    names = [code.co_varnames, code.co_cellvars, code.co_freevars]
    table = code.co_exceptiontable.hex()
    head = [signature, names, code.co_flags & ~CODE_NOTES, table]
    return json.dumps([head, lines]).encode()


def constants_of(code: CodeType) -> list[Any]:
    """Constants that are loaded, in the order of the instructions."""
    return [one.argval for one in _instructions(code) if one.opcode in dis.hasconst]


def imports_in(code: CodeType) -> set[Import]:
    """Give the import statements of a function; those in nested code, too."""
    imports: set[Import] = set()
    for one in _nested(code):
        kept = _instructions(one)
        for place, instruction in enumerate(kept):
            if instruction.opname == "IMPORT_NAME":
                level, names = (before.argval for before in kept[place - 2 : place])
                is_alias = not names and kept[place + 1].opname == "IMPORT_FROM"
                imports.add(Import(level or 0, instruction.argval, tuple(names or ()), is_alias))
    return imports


def chains(code: CodeType, *, nested: bool = True) -> Iterator[Chain]:
    """Yield what a function, or the body of a module, reads, calls and sets; in nested code, too.

    ``helpers.cuts.PT`` gives the root ``helpers`` and two attributes.
    """
    imported: dict[str, str] = {}
    for one in _nested(code) if nested else (code,):
        kept = _instructions(one)
        if one.co_name != "<module>":
            imported |= _local_imports(kept)
        for place, instruction in enumerate(kept):
            name, is_import = instruction.argval, instruction.opname in LOCAL_LOADS
            if is_import and name in imported:
                name = imported[name]
            elif instruction.opname not in GLOBAL_LOADS:
                continue
            attributes = tuple(_attributes(kept[place + 1 :]))
            after = kept[place + 1 + len(attributes) :]
            ending = ""
            if after and after[0].opname == "STORE_ATTR":
                attributes, ending = (*attributes, after[0].argval), "="
            call = next((one for one in after if one.opname not in BEFORE_CALL), None)
            if call is not None and call.opname == "CALL" and call.arg == 0:
                ending = "()"
            yield Chain(name, attributes, is_import, ending)


def _local_imports(kept: Sequence[dis.Instruction]) -> dict[str, str]:
    """Return the full names of what is imported within a function, by local name."""
    found: dict[str, str] = {}
    module, name = "", ""
    for instruction in kept:
        if instruction.opname == "IMPORT_NAME":
            module = instruction.argval
            name = module.partition(".")[0]
        elif instruction.opname == "IMPORT_FROM":
            name = f"{module}.{instruction.argval}"
            if module.endswith(f".{instruction.argval}"):  # import a.b as c
                name = module
        elif instruction.opname.startswith("STORE_") and name:
            found[instruction.argval], name = name, ""
    return found


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _attributes(following: Sequence[dis.Instruction]) -> Iterator[str]:
    for instruction in following:
        if instruction.opname not in ATTRIBUTE_LOADS:
            return
        yield instruction.argval


@lru_cache(maxsize=KEPT_CODES)
def _instructions(code: CodeType) -> tuple[dis.Instruction, ...]:
    """Instructions that have an effect, as compiled: what the interpreter specialised is undone."""
    kept = [one for one in dis.get_instructions(code) if one.opname not in NO_EFFECT]
    notes = {
        place
        for place, one in enumerate(kept)
        if one.opname == "STORE_NAME" and one.argval in CLASS_NOTES
    }
    return tuple(one for place, one in enumerate(kept) if not {place, place + 1} & notes)


def _line(one: dis.Instruction, kept: Sequence[dis.Instruction]) -> list[Any]:
    if one.opcode in dis.hasconst:
        return [one.opname]
    if one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
        return [one.opname, bisect_left(kept, one.argval, key=attrgetter("offset"))]
    if one.opcode in dis.hasname:  # the text has the flags that share the argument's bits
        return [one.opname, one.argrepr]
    return [one.opname, one.arg]


# Functions that can reach any global name.
REACH_ALL = {"globals", "eval", "exec"}
# What Python says of a module itself; any other ``__name__`` is the user's.
NOTES = {
    *("__name__", "__file__", "__doc__", "__builtins__", "__spec__", "__loader__", "__package__"),
    *("__path__", "__cached__", "__annotations__", "__warningregistry__", "__all__", "__dict__"),
    *("__builtin__", "__IPYTHON__"),
}


@dataclass(frozen=True)
class Mark:
    """Stands for a value that does not count, or that is not there."""

    text: str


class Named(dict[str, Any]):
    """Values by name, whose order does not count: attributes and global names."""


def globals_used(function: FunctionType) -> dict[str, Any]:
    """Values of the global names, attributes of the user's modules and imports in a function.

    A name of which only attributes are read, and which is a module of the user, gives these.
    """
    known = function.__globals__
    names = {
        (one.root, *(one.attributes[:-1] if one.ending == "=" else one.attributes))
        for one in chains(function.__code__)
        if not one.is_import
    }
    used = {}
    for chain in sorted(names):
        depth, value = _looked_up(known, chain)
        used[".".join(chain[:depth])] = value
    for one in sorted(imports_in(function.__code__)):
        used |= _imported(known, one)
    return used


def _looked_up(known: Mapping[str, Any], chain: tuple[str, ...]) -> tuple[int, Any]:
    """Value of a global name, through the user's modules to the attribute that is read."""
    name = chain[0]
    if name in NOTES:
        return 1, Mark(name)
    if name not in known:
        if name in REACH_ALL:
            return 1, Named(without_notes(known))
        return 1, Mark("built in" if hasattr(builtins, name) else "absent")
    value, depth = known[name], 1
    while depth < len(chain) and isinstance(value, ModuleType) and not home(value.__name__):
        value = getattr(value, chain[depth], Mark("absent"))
        depth += 1
    return depth, value


def _imported(known: Mapping[str, Any], wanted: Import) -> dict[str, Any]:
    """Modules, or the names from one, that a function imports when it runs."""
    name = "." * wanted.level + wanted.module
    package = known.get("__package__") or str(known.get("__name__", "")).rpartition(".")[0]
    try:
        full = resolve_name(name, package)
        if installed := home(full):
            return {f"import {full}": Mark(installed)}
        module = import_module(full)
    except Exception:  # noqa: BLE001 - the function would fail here in its own way
        return {f"import {name}": Mark("absent")}
    if not wanted.names:
        top = full if wanted.is_alias else full.partition(".")[0]
        return {f"import {top}": sys.modules[top], f"import {full}": module}
    found: dict[str, Any] = {}
    for one in wanted.names:
        if not hasattr(module, one):
            found |= _imported(known, Import(0, f"{full}.{one}", is_alias=True))
        else:
            found[f"import {full}.{one}"] = getattr(module, one)
    return found


def without_notes(names: Mapping[str, Any]) -> dict[str, Any]:
    """Drop ``__file__`` and its like, which say where a module is."""
    return {name: value for name, value in names.items() if name not in NOTES}


NAMES = {
    *("time.time", "time.time_ns", "time.ctime", "time.asctime", "time.localtime", "time.gmtime"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
    *("datetime.date.today", "os.urandom", "os.getrandom", "os.getpid", "os.getloadavg"),
    *("os.system", "os.popen", "uuid.uuid1", "uuid.uuid4", "uuid.getnode", "sys.modules"),
    *("importlib.import_module", "importlib.reload", "builtins.__import__", "builtins.input"),
    *("threading.Thread", "gc.get_objects"),
}
MODULES = {
    *("socket", "subprocess", "multiprocessing", "concurrent.futures", "requests", "httpx"),
    *("urllib.request", "http.client", "aiohttp", "sqlite3"),
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


def unforeseen(function: FunctionType) -> tuple[set[str], set[str]]:
    """Name what a function uses that another call may find otherwise.

    Returns
    -------
    tuple
        Clocks, other programs and their like; random generators that nobody seeds.
    """
    otherwise: set[str] = set()
    unseeded: set[str] = set()
    for chain in chains(function.__code__):
        otherwise.update(_patched(function.__globals__, chain))
        for name in _names(function.__globals__, chain):
            if name in NAMES or _is_in(name, MODULES):
                otherwise.add(name)
            if name in MADE_OF:
                if chain.ending == "()":
                    unseeded.add(name)
            elif name in DRAWS or ("." in name and _is_in(name, RANDOM)):
                unseeded.add(name)
    return otherwise, unseeded


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
        value = _attribute(value, name)
    where = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if isinstance(value, ModuleType | type) and isinstance(where, str) and home(where):
        yield f"{'.'.join((chain.root, *chain.attributes))} is set"


def _attribute(value: Any, name: str) -> Any:
    """Give an attribute; what a property of an object would compute is not asked for."""
    get = getattr if isinstance(value, ModuleType | type) else getattr_static
    return get(value, name, None)


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
        value = None if value is None else _attribute(value, attribute)
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
