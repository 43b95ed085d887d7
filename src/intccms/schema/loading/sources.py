"""From a dict, a module or a name to a validated configuration."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from intccms.errors import ConfigError, nearest
from intccms.schema.config import Config
from intccms.schema.loading.location import import_here
from intccms.schema.loading.overrides import apply_overrides
from intccms.schema.loading.problems import entry_name, explain
from intccms.usercode.reloading import note, refresh, refreshed

__all__ = ["load_config"]

log = logging.getLogger(__name__)

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
    places = [place for place, key in _keys(table) if key == "use_in_diff"]
    if not places:
        return ()
    return (f"'use_in_diff' is read and ignored (first in {places[0]}, {len(places)} in all)",)


def _keys(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key below a value with the place where it stands."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield place, str(key)
            yield from _keys(entry, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _keys(entry, f"{place}.{entry_name(entry) or index}")


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
