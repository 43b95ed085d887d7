"""What a function finds under the global names that it uses."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import resolve_name
from types import FunctionType, ModuleType
from typing import Any

from intccms.fingerprint.bytecode import Import, names_used
from intccms.usercode.homes import home

__all__ = ["Mark", "Named", "globals_used", "without_notes"]

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
    names, imports = names_used(function.__code__)
    known = function.__globals__
    used = {}
    for chain in sorted(names):
        depth, value = _looked_up(known, chain)
        used[".".join(chain[:depth])] = value
    for one in sorted(imports):
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
