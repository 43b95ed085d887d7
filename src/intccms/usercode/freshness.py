"""Whether a configuration is of the modules as they are: what it was made from is noted."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from intccms.errors import ConfigError
from intccms.usercode.modules import closure, is_users, modules_in, parts_of
from intccms.usercode.reloading import check_packages, edited, older_module, refresh

__all__ = ["check_current", "note", "refreshed"]

Versions = dict[str, "weakref.ref[ModuleType]"]

# By id, what a configuration was made from; what can be forgotten is, as soon as it is gone.
_made: dict[int, tuple[Any, Versions]] = {}


def note(thing: Any, names: Iterable[str] = (), *, like: Any = None) -> None:
    """Remember of which modules a configuration is, as they are now.

    Parameters
    ----------
    thing
        The configuration.
    names
        Modules that it was made from, beside those of what it holds.
    like
        Another that it was made from.
    """
    roots = {*names, *_roots(thing), *_roots(like)}
    versions = {
        name: weakref.ref(sys.modules[name]) for name in closure(roots) if name in sys.modules
    }
    key, kept = id(thing), thing
    if hasattr(type(thing), "__weakref__"):
        kept = None
        weakref.finalize(thing, _made.pop, key, None)
    _made[key] = (kept, versions)


def refreshed(thing: Any) -> None:
    """Load again what was edited of the modules of a configuration.

    Raises
    ------
    ConfigError
        If it is of an older version of one, or that cannot be loaded.
    """
    refresh(_roots(thing))
    _refuse(_older(thing))


def check_current(thing: Any) -> None:
    """See that a configuration, or a processor, is what the modules say, in their files too.

    Raises
    ------
    ConfigError
        If a module was edited since.
    """
    roots = _roots(thing)
    _refuse({*_older(thing), *edited(roots)})
    check_packages(roots)


def _refuse(names: set[str]) -> None:
    if names:
        raise ConfigError(
            f"{', '.join(sorted(names))}: edited since this configuration was made; make it again "
            "(run the cells from the one that imports or loads it)"
        )


def _roots(thing: Any) -> set[str]:
    """Name the modules of its functions, and those that hold it or a part of it by a name."""
    _, versions = _made.get(id(thing), (None, {}))
    holders = _holders()
    return {
        *versions,
        *modules_in(thing),
        *(holders[id(one)] for one in parts_of(thing) if id(one) in holders),
    }


def _holders() -> dict[int, str]:
    """Say of containers and models in which of the user's modules they have a name."""
    return {
        id(value): name
        for name, module in list(sys.modules.items())
        if is_users(name)
        for value in list(vars(module).values())
        if isinstance(value, dict | list) or hasattr(type(value), "model_fields")
    }


def _older(thing: Any) -> set[str]:
    """Name the modules of which a configuration, or what it holds, is an older version."""
    _, versions = _made.get(id(thing), (None, {}))
    found = {name for name, module in versions.items() if sys.modules.get(name) is not module()}
    return found | {name for one in parts_of(thing) if (name := older_module(one)) is not None}
