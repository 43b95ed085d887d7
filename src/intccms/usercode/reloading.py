"""Loading edited modules again, with all that depends on them; nothing is half loaded.

Changes the modules of this process, and the names that a notebook's cells imported from them.
"""

from __future__ import annotations

import ast
import importlib
import logging
import sys
import traceback
import weakref
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from importlib.machinery import SourceFileLoader
from importlib.util import resolve_name
from types import FunctionType, ModuleType
from typing import Any

from intccms.errors import ConfigError
from intccms.usercode import imported_files
from intccms.usercode.homes import is_own
from intccms.usercode.modules import (
    MAIN,
    Shelf,
    Source,
    closure,
    current,
    forget,
    imports_of,
    is_users,
    main_texts,
    modules_in,
    parts_of,
    remember,
    seen,
)

log = logging.getLogger(__name__)

_reloaded: set[str] = set()  # modules of which there was an older version in this process

_packages: dict[str, str] = {}  # versions of packages when they were first looked at

Space = dict[str, Any]


def edited(names: Iterable[str]) -> list[str]:
    """Name the modules among `names`, and among what they need, whose files were edited since.

    A file that the body of a module has read is one of its files.
    """
    return sorted(
        name
        for name in closure(names)
        if name in sys.modules
        and (seen(name) is None or seen(name) != current(name) or imported_files.has_changed(name))
    )


def check_packages(names: Iterable[str]) -> None:
    """See that the installed packages that modules use are those that were loaded.

    Raises
    ------
    ConfigError
        If another version of one was installed since.
    """
    needed = {
        one.partition(".")[0]
        for name, source in closure(names).items()
        for one in imports_of(name, source)
    }
    for top in sorted(needed - sys.stdlib_module_names):
        if top not in sys.modules or is_own(top):
            continue
        with suppress(metadata.PackageNotFoundError):
            now = metadata.version(top)
            before = _packages.setdefault(top, now)
            if now != before:
                raise ConfigError(
                    f"{top} {now} was installed after {before} was loaded: restart the kernel"
                )


def refresh(names: Iterable[str]) -> None:
    """Load again what was edited of the modules `names` and of what they need.

    Raises
    ------
    ConfigError
        If it cannot be loaded; then all modules are what they were.
    """
    names = list(names)
    check_packages(names)
    changed = edited(names)
    if not changed:
        return
    fixed = [name for name in changed if not _is_text(name)]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)}: edited, and cannot be loaded again: restart the kernel"
        )
    again = _dependents(changed, closure(names))
    spaces = _load_again(again)
    _reloaded.update(spaces)
    for name in set(sys.modules) - set(again):
        if is_users(name):  # `__main__` is
            _rebind(name, spaces)
    rest = sorted(set(again) - set(changed))
    more = f", with what depends on it: {', '.join(rest)}" if rest else ""
    log.warning("edited and loaded again: %s%s", ", ".join(changed), more)


def _is_text(name: str) -> bool:
    loader = getattr(sys.modules[name].__spec__, "loader", None)
    source = current(name)
    is_namespace = getattr(sys.modules[name], "__file__", None) is None
    return is_namespace or (
        isinstance(loader, SourceFileLoader) and (source is None or source.is_python)
    )


def _dependents(changed: Iterable[str], known: Mapping[str, Source]) -> list[str]:
    """Name the modules that need one of these, at any depth, and these.

    What a function imports counts among `known`; of other modules it is what they hold: a program
    that runs is not loaded again because it will import something.
    """
    loaded = [
        name for name in list(sys.modules) if name != MAIN and is_users(name) and _is_text(name)
    ]
    needs = {name: _holds(name) for name in loaded}
    for name, source in known.items():
        if name in needs:
            needs[name] |= imports_of(name, source)
    found = set(changed)
    while True:
        more = {
            name
            for name in needs
            if name not in found
            and _is_text(name)
            and (needs[name] & found or any(name.startswith(f"{package}.") for package in found))
        }
        if not more:
            return sorted(found)
        found |= more


def _holds(name: str) -> set[str]:
    """Name the modules of which a module has something under a name."""
    found = set()
    for value in list(vars(sys.modules[name]).values()):
        own = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        # Python puts a module into the package around it: no need of the package
        if isinstance(own, str) and not own.startswith(f"{name}."):
            found.add(own)
    return found - {name}


def _load_again(names: list[str]) -> dict[str, Space]:
    """Import modules anew; return what stood in the old ones."""
    sources = {name: source for name in names if (source := current(name)) is not None}
    for name, source in sources.items():
        try:
            compile(source.text, source.path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            text = getattr(error, "msg", None) or error
            raise ConfigError(
                f"module {name!r} was edited and is not Python: {text} "
                f"({source.path}, line {line}); nothing was loaded again"
            ) from None
    before = set(sys.modules)
    old = forget(names)
    read_before = imported_files.forget(names)
    shelf = Shelf(sources)
    importlib.invalidate_caches()
    sys.meta_path.insert(0, shelf)
    try:
        for name in sources:
            importlib.import_module(name)
    except (Exception, SystemExit) as error:
        _put_back(old, before)
        imported_files.put_back(read_before)
        raise ConfigError(_failure(name, error, sources)) from error
    finally:
        sys.meta_path.remove(shelf)
    for name, source in sources.items():
        remember(name, source)
    return {name: vars(module) for name, module in old.items()}


def _failure(name: str, error: BaseException, sources: Mapping[str, Source]) -> str:
    """Say what happened, at the innermost line of the modules that were to be loaded."""
    names = {source.path: one for one, source in sources.items()}
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename in names:
            name, place = names[frame.filename], f" ({frame.filename}, line {frame.lineno})"
    text = " ".join(str(error).split())
    return (
        f"module {name!r} cannot be loaded again after an edit: {type(error).__name__}: {text}"
        f"{place}; nothing was loaded again"
    )


def _put_back(old: Mapping[str, ModuleType], before: set[str]) -> None:
    for name in set(sys.modules) - before:  # it may hold on to what is given up
        if is_users(name):
            del sys.modules[name]
    sys.modules.update(old)
    for name, module in old.items():
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], child, module)


def older_module(value: Any) -> str | None:
    """Name the module of which a function, class or module is an older version, if it is one."""
    if not _reloaded:
        return None
    if isinstance(value, FunctionType):
        name = value.__globals__.get("__name__")
        is_old = value.__globals__ is not _space(name)
    elif isinstance(value, ModuleType):
        name = value.__name__
        is_old = sys.modules.get(name) is not value
    elif isinstance(value, type):
        name = value.__module__
        is_old = name in _reloaded and _is_old_class(value)
    else:
        return None
    return name if is_old and name in _reloaded else None


def _space(name: Any) -> Space | None:
    module = sys.modules.get(name) if isinstance(name, str) else None
    return None if module is None else vars(module)


def _is_old_class(kind: type) -> bool:
    own = [
        one
        for one in list(vars(kind).values())
        if isinstance(one, FunctionType) and one.__module__ == kind.__module__
    ]
    if own:
        return any(older_module(one) for one in own)
    return "<" not in kind.__qualname__ and _found(kind) is not kind


def _found(value: Any) -> Any:
    """Give what stands now under the name that a function or a class says."""
    found: Any = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found


def _successor(value: Any) -> Any:
    """Give what stands now in the place of an older function, class or module; None if nothing."""
    if isinstance(value, ModuleType):
        return sys.modules.get(value.__name__)
    new = None if "<" in value.__qualname__ else _found(value)
    if new is None and isinstance(value, FunctionType):  # a lambda that has a name
        names = [name for name, one in value.__globals__.items() if one is value]
        new = (_space(value.__module__) or {}).get(names[0]) if names else None
    return new


def _rebind(module: str, spaces: Mapping[str, Space]) -> None:
    """Let names of a module that stays mean what they mean in the new modules."""
    names = vars(sys.modules[module])
    for name, value in list(names.items()):
        if older_module(value) is not None and (new := _successor(value)) is not None:
            names[name] = new
    for origin, (name, imported) in _imported_names(module, spaces):
        new_space = _space(origin)
        if new_space is None or imported not in new_space or name not in names:
            continue
        if names[name] is spaces[origin].get(imported):
            names[name] = new_space[imported]


def _imported_names(module: str, spaces: Mapping[str, Space]) -> list[tuple[str, tuple[str, str]]]:
    """List what ``from … import …`` brought: origin, name here, name there."""
    if module == MAIN:
        texts, package = main_texts(), ""
    else:
        source = seen(module)
        texts = [] if source is None or not source.is_python else [source.text.decode()]
        is_package = source is not None and source.is_package
        package = module if is_package else module.rpartition(".")[0]
    found = []
    for text in texts:
        with suppress(SyntaxError, ValueError, ImportError):
            for node in ast.walk(ast.parse(text)):
                if not isinstance(node, ast.ImportFrom):
                    continue
                origin = resolve_name("." * node.level + (node.module or ""), package)
                for one in node.names if origin in spaces else ():
                    names = spaces[origin] if one.name == "*" else [one.name]
                    found += [(origin, (one.asname or name, name)) for name in names]
    return found


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
