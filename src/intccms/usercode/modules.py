"""The user's modules: the text that was loaded of each, what stands in its file, what it needs.

Remembers what was loaded, for as long as the process lives, and imports modules from such texts:
so a module is made of exactly the text that was looked at, and workers need not have the files.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import marshal
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache, partial
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import resolve_name, spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import psutil
from pydantic import BaseModel

from intccms.usercode.homes import is_own

MAIN = "__main__"
PYC_HEADER = 16  # bytes before the code
MAGIC = re.compile(r"^[%!].*$", re.MULTILINE)  # lines of a cell that are not Python


@dataclass(frozen=True)
class Source:
    """The text of a module.

    Parameters
    ----------
    path
        Its file; of a package without one, where that would be.
    text
        For what is not made of text, such as a C extension, the digest of the file.
    is_python
        Whether it is text that can be run anew.
    """

    path: str
    text: bytes
    is_package: bool = False
    is_python: bool = True


@dataclass(frozen=True)
class _Seen:
    """What is known of a loaded module; no source: it was edited before it was looked at."""

    module: ModuleType
    source: Source | None


_seen: dict[str, _Seen] = {}


def is_users(name: str) -> bool:
    """Whether a module is the user's own: neither installed, nor ours, nor what we stand on."""
    return is_own(name) and name.partition(".")[0] not in _foundations()


@lru_cache(maxsize=1)
def _foundations() -> frozenset[str]:
    """Name the packages that this one needs; they may be installed in place, too."""
    try:
        needed = metadata.requires("intccms") or []
    except metadata.PackageNotFoundError:
        needed = []
    names = (re.match(r"[\w-]+", one) for one in needed)
    return frozenset(one.group().lower().replace("-", "_") for one in names if one)


def modules_in(thing: Any) -> set[str]:
    """Name the modules that functions and classes come from, in models and containers, too."""
    return {name for one in parts_of(thing) for name in _homes_of(one)}


def parts_of(thing: Any) -> Iterator[Any]:
    """Give all that is in models, containers and partial functions, and these."""
    visited: set[int] = set()
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) not in visited and not isinstance(one, str | bytes | int | float):
            visited.add(id(one))
            yield one
            waiting += _inner(one)


def _inner(thing: Any) -> list[Any]:
    if isinstance(thing, BaseModel):
        return [getattr(thing, name) for name in type(thing).model_fields]
    if isinstance(thing, Mapping):
        return list(thing.values())
    if isinstance(thing, Sequence | Set):
        return list(thing)
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if is_dataclass(thing) and not isinstance(thing, type):  # such as `WorkerEval`
        return [getattr(thing, one.name, None) for one in fields(thing)]
    return []


def _homes_of(value: Any) -> Iterator[str]:
    """Name the module that a value is or comes from."""
    own = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    for name in (own, type(value).__module__):
        if isinstance(name, str):
            yield name


def closure(names: Iterable[str]) -> dict[str, Source]:
    """Give the texts of the user's modules among `names`, and of all that these need.

    Imports inside functions count. Of a module that is loaded it is the text that was loaded; one
    that is not there is left out.
    """
    found: dict[str, Source] = {}
    visited: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in visited:
            continue
        visited.add(name)
        if name == MAIN:
            waiting += _needed_by_main()
            continue
        source = seen(name) or current(name) if is_users(name) else None
        if source is None:
            continue
        found[name] = source
        waiting += [*_parents(name), *imports_of(name, source)]
        if name in sys.modules:  # what was imported by a name made up at run time
            waiting += {one for value in _values(name) for one in _homes_of(value)}
    return found


def _values(name: str) -> list[Any]:
    return list(vars(sys.modules[name]).values())


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def _needed_by_main() -> set[str]:
    """Name what the cells of a notebook, or a script, import or got from elsewhere."""
    needed = {one for value in _values(MAIN) for one in _homes_of(value)} - {MAIN}
    for text in main_texts():
        needed |= imports_of(MAIN, Source("", text.encode()))
    return needed


def main_texts() -> list[str]:
    """Give the cells that were run in a notebook, or the text of the script."""
    main = vars(sys.modules[MAIN])
    cells = main.get("In")
    if isinstance(cells, list):
        return [MAGIC.sub("", one) for one in cells if isinstance(one, str)]
    with suppress(OSError, UnicodeDecodeError, TypeError):
        return [Path(main["__file__"]).read_text()] if main.get("__file__") else []
    return []


def imports_of(name: str, source: Source) -> set[str]:
    """Name all that a module may import, wherever the statement stands."""
    package = name if source.is_package else name.rpartition(".")[0]
    return set(_imports(source.text, package)) if source.is_python else set()


@lru_cache(maxsize=1024)
def _imports(text: bytes, package: str) -> frozenset[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError):  # more dots than there are packages
                module = resolve_name("." * node.level + (node.module or ""), package)
                found |= {module, *(f"{module}.{one.name}" for one in node.names)}
    return frozenset(found)


def current(name: str) -> Source | None:
    """Read what stands in the file of a module now; None if there is no such module."""
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    folders = list(getattr(loaded, "__path__", ()))
    if loaded is None:
        file, folders = _found(name)
    if file is None:
        init = Path(folders[0]) / "__init__.py" if folders else None
        return None if init is None else Source(str(init), _read(init) or b"", is_package=True)
    path = Path(file)
    text = _read(path)
    if text is None:
        is_namespace = bool(folders) and path.parent.is_dir()
        return Source(file, b"", is_package=True) if is_namespace else None
    if path.suffix != ".py":
        return Source(file, hashlib.sha256(text).digest(), is_python=False)
    return Source(file, text, is_package=bool(folders))


def _found(name: str) -> tuple[str | None, list[str]]:
    """Find a module that is not loaded, without loading the packages around it."""
    parent = name.rpartition(".")[0]
    folders = None
    if parent:
        around = current(parent)
        if around is None or not around.is_package:
            return None, []
        folders = [str(Path(around.path).parent)]
    # KeyError: a folder without __init__.py, below a package that is not loaded
    with suppress(ImportError, ValueError, KeyError):
        spec = PathFinder.find_spec(name, folders)
        if spec is not None:
            file = spec.origin if spec.has_location else None
            return file, list(spec.submodule_search_locations or ())
    inner = [Path(folder, name.rpartition(".")[2]) for folder in folders or ()]
    return None, [str(one) for one in inner if one.is_dir()]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def seen(name: str) -> Source | None:
    """Give the text that was loaded of a module; None if it is not loaded, or not known."""
    module = sys.modules.get(name)
    if module is None:
        return None
    known = _seen.get(name)
    if known is None or known.module is not module:
        source = current(name)
        if source is not None and not _was_loaded(module, source):
            source = None
        known = _seen[name] = _Seen(module, source)
    return known.source


def remember(name: str, source: Source) -> None:
    """Note the text that was loaded of a module."""
    _seen[name] = _Seen(sys.modules[name], source)


def _was_loaded(module: ModuleType, source: Source) -> bool:
    """Whether a module that was loaded by others was made of this text, as far as can be told.

    The file may have been edited since, and Python itself takes byte code for right that is as
    old as its text to the second.
    """
    spec = module.__spec__
    if not source.is_python or not isinstance(getattr(spec, "loader", None), SourceFileLoader):
        return True
    try:
        code = compile(source.text, source.path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    if _stale_cache(spec.cached if spec else None, source, code):
        return False
    codes = set(_functions(code))
    own = [one for one in _members(module) if one.__code__.co_filename == source.path]
    if any(one.__code__ not in codes for one in own):
        return False
    return not _is_younger(source.path) or _has_constants(module, source)


def _stale_cache(cached: str | None, source: Source, code: CodeType) -> bool:
    """Whether there is byte code that Python takes for that of this text, and which is not."""
    data = _read(Path(cached)) if cached else None
    if not data or len(data) <= PYC_HEADER:
        return False
    status = Path(source.path).stat()
    stamp = (0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    numbers = [int.from_bytes(data[i : i + 4], "little") for i in (4, 8, 12)]
    if tuple(numbers) != stamp or data[:4] != importlib.util.MAGIC_NUMBER:
        return False
    try:
        kept: Any = marshal.loads(data[PYC_HEADER:])  # noqa: S302 - Python's own cache
    except (ValueError, EOFError, TypeError):
        return False
    return kept is None or bool(kept != code)


def _functions(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _functions(constant)


def _members(module: ModuleType) -> Iterator[FunctionType]:
    """Give the functions that stand in a module, and in its classes."""
    for value in list(vars(module).values()):
        members = list(vars(value).values()) if isinstance(value, type) else [value]
        for one in members:
            if isinstance(one, FunctionType) and one.__module__ == module.__name__:
                yield one


def _is_younger(path: str) -> bool:
    """Whether a file was written while this process lived."""
    with suppress(OSError, psutil.Error):
        began_s: float = psutil.Process(os.getpid()).create_time()
        return Path(path).stat().st_mtime > began_s
    return True


def _has_constants(module: ModuleType, source: Source) -> bool:
    """Whether the plain constants at the top of a text are those of the module."""
    last: dict[str, Any] = {}
    for node in ast.parse(source.text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                last[node.targets[0].id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                last.pop(node.targets[0].id, None)
    return all(
        type(vars(module).get(name)) is not type(value) or vars(module)[name] == value
        for name, value in last.items()
        if value not in ([], {}, set())  # such as a table that others fill
    )


class _Loader(SourceFileLoader):
    """Knows the text, and uses no byte code that Python has kept."""

    def __init__(self, name: str, source: Source) -> None:
        super().__init__(name, source.path)
        self.text = source.text

    def get_data(self, path: str) -> bytes:
        """Give the text; other files of the package are read."""
        return self.text if path == self.path else super().get_data(path)

    def path_stats(self, path: str) -> Mapping[str, float]:
        """Refuse, so that no byte code is looked for."""
        raise OSError(path)


class Shelf(MetaPathFinder):
    """Finds modules among `sources`."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = dict(sources)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the signature is Python's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        source = self.sources.get(fullname)
        if source is None:
            return None
        folders = [str(Path(source.path).parent)] if source.is_package else None
        return spec_from_file_location(
            fullname,
            source.path,
            loader=_Loader(fullname, source),
            submodule_search_locations=folders,
        )


def forget(names: Iterable[str]) -> dict[str, ModuleType]:
    """Take modules away, so that they are imported anew; return those that were there."""
    gone = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    for name, module in gone.items():
        parent, _, child = name.rpartition(".")
        around = sys.modules.get(parent)  # ``from parent import child`` looks there first
        if around is not None and vars(around).get(child) is module:
            delattr(around, child)
    return gone


_shelf = Shelf({})


def serve(sources: Mapping[str, Source], *, anew: bool = False) -> None:
    """Let this process import these modules from now on, and no others of their names.

    Parameters
    ----------
    sources
        By name; those that were served before are taken away.
    anew
        Whether they are run again even if they were made of these very texts.
    """
    if not anew and _shelf.sources == sources:
        return
    forget({*_shelf.sources, *sources})
    _shelf.sources = dict(sources)
    if _shelf not in sys.meta_path:
        sys.meta_path.insert(0, _shelf)
