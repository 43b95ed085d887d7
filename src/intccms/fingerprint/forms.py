"""What an object consists of, one level deep, in words that mean the same in every process.

Code of the user is taken apart; that of installed packages is named with its version.
"""

from __future__ import annotations

import copyreg
import os
import pickletools
import random
import struct
import sys
import threading
import types
import warnings
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence
from dataclasses import dataclass, replace
from functools import lru_cache, singledispatch
from typing import Any

import cloudpickle
import numpy as np
from pydantic import BaseModel

from intccms.fingerprint.code import (
    Mark,
    Named,
    code_text,
    constants_of,
    globals_used,
    is_generator,
    patched,
    unforeseen,
    without_notes,
)
from intccms.usercode.homes import home

HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that Python code could have written
# Attributes of classes that say where, or that are made from the others.
CLASS_NOTES = {"_abc_impl", "__abstractmethods__", "__dict__", "__weakref__", "__signature__"}
CLASS_ADDRESS = {"__doc__", "__module__", "__qualname__", "__firstlineno__"}
# Of what `singledispatch` makes: beside its functions it has a cache.
DISPATCHER = singledispatch(repr).__code__  # type: ignore[attr-defined]
# The generators behind random.random and np.random.normal: each chunk seeds numpy's anew; of the
# other one the functions are named that draw from it.
SHARED_GENERATORS = (random.random.__self__, np.random.normal.__self__)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Form:
    """One level of an object.

    Parameters
    ----------
    text
        What it says itself.
    parts
        Objects that belong to it, in order.
    places
        Where each of them was found; empty: where the object itself was.
    is_ordered
        False for sets.
    is_structural
        False if the text is a pickle, which may differ between processes, or random.
    unforeseen
        What it uses that another call may find otherwise, and random generators.
    """

    text: bytes
    parts: tuple[Any, ...] = ()
    places: tuple[str, ...] = ()
    is_ordered: bool = True
    is_structural: bool = True
    unforeseen: tuple[str, ...] = ()
    unseeded: tuple[str, ...] = ()


def form_of(value: Any) -> Form:
    """Take `value` apart; what cannot be is pickled, and what hides code never has a form twice."""
    try:
        return _form(value)
    except Exception:  # noqa: BLE001 - a foreign object may refuse in any way
        return _pickled(value)


def _form(value: Any) -> Form:
    by_type = _BY_TYPE.get(type(value))
    if by_type:
        return by_type(value)
    if any(value is one for one in SHARED_GENERATORS):
        return _leaf("shared generator")
    if is_generator(value):
        return replace(_leaf("generator"), unseeded=(type(value).__name__,))
    by_name = _by_name(value)
    if by_name:
        return by_name
    for kind, form in _BY_KIND.items():
        if isinstance(value, kind):
            return form(value)
    return _numba(value) if type(value).__module__.partition(".")[0] == "numba" else _reduced(value)


def _text(*words: str) -> bytes:
    return "\0".join(words).encode("utf-8", "surrogatepass")


def _leaf(*words: str) -> Form:
    return Form(_text(*words))


def _by_name(value: Any) -> Form | None:
    """Form of what an installed package has under the name that it says."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    package = home(module)
    if package is None:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    is_c_type = isinstance(value, type) and not value.__flags__ & HEAP_TYPE
    return _leaf("installed", package, module, name) if found is value or is_c_type else None


def _is_installed(value: Any, name: str) -> bool:
    modules = list(sys.modules.items())
    return any(vars(one).get(name) is value and home(module) for module, one in modules)


def _sequence(value: list[Any] | tuple[Any, ...]) -> Form:
    return Form(type(value).__name__.encode(), tuple(value))


def _set(value: set[Any] | frozenset[Any]) -> Form:
    return Form(b"set", tuple(value), is_ordered=False)


def _mapping(value: Mapping[Any, Any]) -> Form:
    # in order: a dict of cuts gives another cutflow when they are swapped
    return Form(b"dict", tuple(one for item in value.items() for one in item))


def _named(value: Mapping[str, Any]) -> Form:
    names = sorted(value)
    return Form(_text("named", *names), tuple(value[name] for name in names))


def _function(value: types.FunctionType) -> Form:
    if value.__code__ is DISPATCHER:
        return Form(b"dispatch", (value.registry,))  # type: ignore[attr-defined]
    module = value.__globals__.get("__name__")
    package = home(module) if isinstance(module, str) else None
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    parts = {
        "defaults": value.__defaults__,
        "kwdefaults": value.__kwdefaults__ and Named(value.__kwdefaults__),
        "attributes": Named(value.__dict__),
        "cells": Named({name: _content(cell) for name, cell in cells}),
    }
    used = {} if package else globals_used(value)
    if not package and module != "__main__" and module in sys.modules:
        used |= patched(sys.modules[module])
    own = (value.__code__, *parts.values())
    where = f"{value.__module__}.{value.__qualname__}"
    places = [where] * len(own) + [f"{module}.{name}" for name in used]
    text = _text("function", package or "", *used)
    form = Form(text, (*own, *used.values()), tuple(places))
    if package:
        return form
    otherwise, unseeded = unforeseen(value)
    return replace(form, unforeseen=tuple(sorted(otherwise)), unseeded=tuple(sorted(unseeded)))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return Mark("empty cell")


def _module(value: types.ModuleType) -> Form:
    package = home(value.__name__)
    if package:
        return _leaf("module", package, value.__name__)
    return Form(b"module", (Named(without_notes(vars(value))),), (value.__name__,))


def _class(value: type) -> Form:
    kept = {
        name: attribute
        for name, attribute in vars(value).items()
        if name not in CLASS_NOTES | CLASS_ADDRESS
        and (not name.startswith("__pydantic_") or name == "__pydantic_fields__")
        and not name.startswith(("__dataclass_", "__static_attributes__"))
    }
    where = f"{value.__module__}.{value.__qualname__}"
    return Form(b"class", (type(value), value.__bases__, Named(kept)), (where,) * 3)


def _model(value: BaseModel) -> Form:
    # not its state: that knows which fields were given and which are defaults
    fields = {name: value.__dict__[name] for name in type(value).model_fields}
    fields |= value.__pydantic_extra__ or {}
    own = None if home(type(value).__module__) else value.__pydantic_private__
    return Form(b"model", (type(value), Named(fields), own))


def _array(value: np.ndarray[Any, Any]) -> Form:
    if value.dtype.hasobject or value.dtype.kind == "T":
        return Form(f"array {value.shape}".encode(), (value.dtype, value.tolist()))
    data = np.ascontiguousarray(value).tobytes()
    return Form(f"array {value.shape} ".encode() + data, (value.dtype,))


def _numba(value: Any) -> Form:
    """Form of a compiled function, container, type or jitclass by the public `__reduce__`."""
    if isinstance(value, MutableMapping | MutableSequence):  # numba.typed
        return _sequence(list(value.items() if isinstance(value, MutableMapping) else value))
    if hasattr(value, "jit_methods"):
        fields = [(name, str(one)) for name, one in value.struct.items()]
        code = (value.jit_methods, value.jit_props, value.jit_static_methods)
        return Form(b"jitclass", (fields, *(dict(one) for one in code)))
    if type(value).__module__.startswith("numba.core.types"):
        return _leaf("numba type", str(value))
    packed = value.__reduce_ex__(4)[1][0]
    states = dict(packed.states)
    states.pop("uuid", None)
    for signatures in ("sigs", "siglist", "typesigs"):
        # if it is not frozen, calls have added them
        kept = states.get(signatures) if states.get("frozen", True) else None
        states[signatures] = [str(one) for one in kept or ()]
    return Form(_text("numba", type(value).__qualname__), (Named(states),))


def _reduced(value: Any) -> Form:
    """Take an object apart as pickle would, without pickling the parts."""
    reducer = copyreg.dispatch_table.get(type(value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reduced = reducer(value) if reducer else value.__reduce_ex__(4)
    if isinstance(reduced, str):
        if not _is_installed(value, reduced):  # such as a ufunc around the user's function
            raise TypeError(f"{reduced} hides code of the user")
        return _leaf("global", type(value).__module__, reduced)
    make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    entries = None if pairs is None else [tuple(pair) for pair in pairs]
    members = (type(value), make, arguments, _state(state), list(items or ()), entries)
    return Form(b"object", members)


def _state(state: Any) -> Any:
    if type(state) is tuple:
        return tuple(_state(one) for one in state)
    if type(state) is dict and all(isinstance(name, str) for name in state):
        return Named({name: one for name, one in state.items() if name != "__doc__"})
    return state


def _pickled(value: Any) -> Form:
    try:
        data = cloudpickle.dumps(value)
        words = {word for _, word, _ in pickletools.genops(data) if isinstance(word, str)}
    except Exception:  # noqa: BLE001 - see `form_of`
        data, words = b"", set()
    modules = {one for word in words for one in word.split() if one in sys.modules}
    if not data or any(home(one) is None for one in modules - {"__main__"}):
        # the pickle only names code of the user, which may change: never the same again
        data = os.urandom(32)
    kind = type(value)
    return Form(_text("pickle", kind.__module__, kind.__qualname__, "") + data, is_structural=False)


def _nothing(value: Any) -> Form:
    return _leaf("without state", type(value).__qualname__, getattr(value, "__name__", ""))


_BY_TYPE: dict[type, Callable[[Any], Form]] = {
    type(None): lambda _: _leaf("None"),
    bool: lambda value: _leaf("bool", str(value)),
    int: lambda value: _leaf("int", hex(value)),
    float: lambda value: Form(b"float" + struct.pack("<d", value)),
    complex: lambda value: Form(b"complex" + struct.pack("<2d", value.real, value.imag)),
    str: lambda value: _leaf("str", value),
    bytes: lambda value: Form(b"bytes" + value),
    list: _sequence,
    tuple: _sequence,
    dict: _mapping,
    types.MappingProxyType: _mapping,
    set: _set,
    frozenset: _set,
    Named: _named,
    Mark: lambda value: _leaf("mark", value.text),
    types.FunctionType: _function,
    types.MethodType: lambda value: Form(b"method", (value.__self__, value.__func__)),
    types.CodeType: lambda value: Form(b"code" + code_text(value), tuple(constants_of(value))),
    staticmethod: lambda value: Form(b"staticmethod", (value.__func__,)),
    classmethod: lambda value: Form(b"classmethod", (value.__func__,)),
    property: lambda value: Form(b"property", (value.fget, value.fset, value.fdel)),
    np.ndarray: _array,
    np.memmap: _array,
    type(os.environ): lambda _: _leaf("environment"),  # `WorkerEval` may read it: never a value
    type(lru_cache(len)): lambda value: Form(b"wrapper", (value.__wrapped__,)),
    type(threading.Lock()): _nothing,
    type(threading.RLock()): _nothing,
    types.GetSetDescriptorType: _nothing,
    types.MemberDescriptorType: _nothing,
}
_BY_KIND: dict[type, Callable[[Any], Form]] = {
    types.ModuleType: _module,
    BaseModel: _model,
    type: _class,
}
