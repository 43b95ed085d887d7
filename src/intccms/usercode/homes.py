"""Whose code a module is: the user's, or that of an installed package with a version."""

from __future__ import annotations

import sys
import sysconfig
from contextvars import ContextVar
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

WITH_VERSIONS = ContextVar("WITH_VERSIONS", default=True)  # whether those of packages count

INSTALLED = {"site-packages", "dist-packages"}
OURS = ("intccms", "chunkcolumns")  # their versions and digests are part of a key anyway


def home(module: str) -> str | None:
    """Package and version that a module belongs to; None: it is the user's own code.

    Parameters
    ----------
    module
        Full name. What is not under ``site-packages`` nor Python's own library is the user's,
        also if it was installed in place.
    """
    found = _home(module)
    return found if found is None or WITH_VERSIONS.get() else found.partition(" ")[0]


@lru_cache(maxsize=4096)
def _home(module: str) -> str | None:
    kind = _kind(module)
    return _distribution(module.partition(".")[0]) if kind == "installed" else kind


def is_own(module: str) -> bool:
    """Whether a module is the user's own code; quick, as no version is asked for."""
    return _kind(module) is None


@lru_cache(maxsize=16384)
def _kind(module: str) -> str | None:
    top = module.partition(".")[0]
    if top in OURS:
        return top
    if top == "__main__":
        return None
    place = _place(module)
    if place is None:
        return "python" if top in sys.stdlib_module_names else None
    if INSTALLED & set(place.parts):
        return "installed"
    is_python = any(place.resolve().is_relative_to(one) for one in _libraries())
    return "python" if is_python else None


@lru_cache(maxsize=1)
def _libraries() -> tuple[Path, ...]:
    """Give the folders of Python's own library."""
    names = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    return tuple(Path(folder).resolve() for folder in names)


def _place(module: str) -> Path | None:
    """File or folder of a module or, if it has none, of the package around it."""
    name = module
    while name:
        loaded = sys.modules.get(name)
        if loaded is not None and (found := _file(loaded)):
            return Path(found)
        name = name.rpartition(".")[0]
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    return Path(places[0]) if places and places[0] else None


def _file(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return file or next(iter(getattr(module, "__path__", ())), None)


@lru_cache(maxsize=1024)
def _distribution(top: str) -> str:
    try:
        return f"{top} {metadata.version(top)}"
    except metadata.PackageNotFoundError:
        names = sorted(set(metadata.packages_distributions().get(top, ())))
        return " ".join([top, *(f"{name} {metadata.version(name)}" for name in names)])
