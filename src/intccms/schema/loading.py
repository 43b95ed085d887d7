"""Which file a configuration module is: what stands in the working directory wins."""

import importlib
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

import intccms
from intccms.errors import ConfigError, nearest
from intccms.schema.config import Config
from intccms.schema.overrides import apply_overrides, explain
from intccms.schema.resolved import leaves
from intccms.usercode.reloading import note, refresh, refreshed

log = logging.getLogger(__name__)


def examples_folder() -> Path:
    """Folder of the examples that come with this package: the checkout, or what was installed."""
    installed = Path(intccms.__file__).parent / "examples"
    return installed if installed.is_dir() else Path(intccms.__file__).resolve().parents[2]


def import_here(name: str) -> ModuleType:
    """Import a module by its place.

    It is looked for in the working directory, then along Python's path, then in the directories
    above the working directory (a notebook may stand below the analysis), then among the examples
    of this package. A folder without ``__init__.py`` counts as a package: Python alone would
    prefer a package of the same name from anywhere else.

    Parameters
    ----------
    name
        Full name, such as ``example_opendata.configs.configuration``.

    Raises
    ------
    ConfigError
        If a module that is not the user's own was imported under its first name.
    ImportError
        If there is no such module.
    """
    parts = name.split(".")
    folders = dict.fromkeys(one for one in _folders() if _file_in(one, parts) is not None)
    if not folders:
        return importlib.import_module(name)  # built in, or a library: nothing to look for
    folder, *others = folders
    if others:
        log.warning(
            "the configuration %s is that in %s; another of this name in %s is not used",
            name, folder, others[0],
        )  # fmt: skip
    _forget_others(parts[0], folder)
    if str(folder) not in sys.path and not (folder == Path.cwd() and "" in sys.path):
        # what is not in the working directory must not hide what Python finds by itself
        sys.path.insert(0 if folder == Path.cwd() else len(sys.path), str(folder))
    importlib.invalidate_caches()
    if parts[0] not in sys.modules and _is_plain_folder(folder / parts[0]):
        spec = ModuleSpec(parts[0], None, is_package=True)
        spec.submodule_search_locations = [str(folder / parts[0])]
        sys.modules[parts[0]] = importlib.util.module_from_spec(spec)
    return importlib.import_module(name)


def _folders() -> Iterator[Path]:
    """Yield where a configuration may be, the first wins."""
    here = Path.cwd()
    yield here
    yield from (Path(one).resolve() for one in sys.path if one and Path(one).is_dir())
    yield from here.parents
    yield examples_folder()


def _file_in(folder: Path, parts: list[str]) -> Path | None:
    base = folder.joinpath(*parts)
    places = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((one for one in places if one.is_file()), None)


def _is_plain_folder(place: Path) -> bool:
    return place.is_dir() and not (place / "__init__.py").exists()


def _forget_others(top: str, folder: Path) -> None:
    """Drop modules of the same name that were imported from another place."""
    loaded = sys.modules.get(top)
    if loaded is None:
        return
    places = [*getattr(loaded, "__path__", ()), getattr(loaded, "__file__", None) or ""]
    ours = {folder / top, folder / f"{top}.py", folder / top / "__init__.py"}
    if any(one and Path(one).resolve() in {own.resolve() for own in ours} for one in places):
        return
    if top in sys.stdlib_module_names or any("site-packages" in str(one) for one in places):
        raise ConfigError(
            f"{folder / top} has the name of a module of Python or of an installed package; "
            "give it another name"
        )
    for name in [one for one in sys.modules if one == top or one.startswith(f"{top}.")]:
        del sys.modules[name]


Source = str | Mapping[str, Any] | Config | ModuleType


def load_config(source: Source, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """Return the validated configuration with all cross-checks done.

    Parameters
    ----------
    source
        ``"module:name"`` (the module is imported, from the working directory too; the name
        defaults to ``config``), a module with a `config`, a dict, or a configuration.
    overrides
        Settings that replace those of the source: ``["general.run_statistics=False"]`` with
        values in YAML, or a dict from dotted keys to values. Entries of a list are addressed
        by their name. The source is not changed.

    Notes
    -----
    Modules of the user that were edited since they were imported are loaded again first, with all
    that depends on them; a warning names them.

    Raises
    ------
    ConfigError
        With one line that names the setting, what is wrong and the nearest valid key; or the
        module of which `source` holds an older version.
    """
    raw, file = _raw(source)
    if isinstance(raw, Config) and not overrides:
        note(raw)
        return raw
    table = apply_overrides(raw, overrides, Config)
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        raise ConfigError(explain(error, Config, table)) from None
    config.set_file(file)
    for one in (*config.notes, *_ignored_keys(table)):
        log.warning("%s", one)
    note(raw)
    note(config, [source.partition(":")[0]] if isinstance(source, str) else [], like=raw)
    return config


def _ignored_keys(table: Mapping[str, Any]) -> tuple[str, ...]:
    ignored = [place for place, _ in leaves(table) if place.endswith(".use_in_diff")]
    if not ignored:
        return ()
    first = ignored[0].rpartition(".")[0]
    return (f"'use_in_diff' is read and ignored (first in {first}, {len(ignored)} in all)",)


def _raw(source: Source) -> tuple[Mapping[str, Any] | Config, str | None]:
    """Return what is to be validated, and the file that it was read from."""
    if isinstance(source, str):
        module_name, _, name = source.partition(":")
        refresh([module_name])
        _import(module_name)
        refresh([module_name])  # once it is known what it needs
        module = sys.modules[module_name]
        return _attribute(module, name or "config"), module.__file__
    if isinstance(source, ModuleType):
        refresh([source.__name__])
        source = sys.modules.get(source.__name__, source)
        return _attribute(source, "config"), source.__file__
    if isinstance(source, Config | Mapping):
        refreshed(source)
        return source, source.file if isinstance(source, Config) else None
    raise ConfigError(
        f"a configuration is a dict, a module or 'module:name', not {type(source).__name__}"
    )


def _attribute(module: ModuleType, name: str) -> Mapping[str, Any] | Config:
    table = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    if name not in table:
        known = [key for key, value in table.items() if isinstance(value, Mapping | Config)]
        raise ConfigError(
            f"module {module.__name__!r} has no {name!r}; {nearest(name, known or table)}"
        )
    value = table[name]
    if not isinstance(value, Mapping | Config):
        kind = type(value).__name__
        raise ConfigError(f"{module.__name__}:{name} is a {kind}, not a configuration dict")
    return value


def _import(name: str) -> ModuleType:
    """Import a module, from the working directory if it is there (it then stays on the path)."""
    if not name or name.startswith("."):
        raise ConfigError(f"a configuration is named 'module:name', not {name!r}")
    try:
        return import_here(name)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any error of the user's module
        raise ConfigError(_import_problem(name, error)) from error


def _import_problem(name: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
        return (
            f"no module {name!r} (searched from {Path.cwd()}); a configuration is named "
            "'module:name', e.g. example_opendata.configs.configuration:config"
        )
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
        text = error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        inside = [frame for frame in frames if not _is_machinery(frame.filename)]
        last = (inside or frames)[-1]
        place = f"{last.filename}, line {last.lineno}"
    return f"configuration module {name!r} raised {type(error).__name__}: {text} ({place})"


def _is_machinery(filename: str) -> bool:
    return (
        filename.startswith("<frozen")
        or filename == __file__
        or f"{os.sep}importlib{os.sep}" in filename
    )
