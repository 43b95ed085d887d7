"""A configuration that is being edited: its file, and what differs from it. Knows no widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from intccms import facility
from intccms.errors import ConfigError
from intccms.metrics.tables import Table
from intccms.schema import Config, load_config
from intccms.schema.loading.overrides import check_finite, parse_override
from intccms.storage import write_text
from intccms.widgets.settings import Setting, settings_of, yaml_text

__all__ = ["Draft"]


class Draft:
    """Settings that replace those of a configuration; at every moment the whole is valid.

    Parameters
    ----------
    source
        ``"module:name"``, a dict or a configuration, as `load_config` takes it.
    overrides
        Settings that differ from the start.

    Attributes
    ----------
    original, originals
        The configuration without changes, and its settings by key.
    config, changes
        The configuration as it is now, and the settings that differ, by key.

    Raises
    ------
    ConfigError
        If that does not validate.
    """

    def __init__(self, source: Any, overrides: Sequence[str] | Mapping[str, Any] = ()) -> None:
        self._source = source
        self.original = load_config(source)
        self.originals = {one.key: one.value for one in settings_of(self.original)}
        self.config = self.original
        self.changes: dict[str, Any] = {}
        pairs = overrides if isinstance(overrides, Mapping) else _parsed(overrides)
        if pairs:
            self.put(pairs)

    @property
    def settings(self) -> list[Setting]:
        """All settings with their values in the draft."""
        return settings_of(self.config)

    def put(self, changes: Mapping[str, Any]) -> Config:
        """Change settings, all or none of them.

        Parameters
        ----------
        changes
            New values by dotted key; the value of the file takes a change back.

        Returns
        -------
        Config
            The whole, validated.

        Raises
        ------
        InputError
            With the message for the field; the draft is then as before.
        """
        wanted = {**self.changes, **changes}
        config = load_config(self._source, wanted) if wanted else self.original
        name = config.general.facility
        if "general.facility" in changes and name and ":" not in name:  # a function of the user's
            facility.check(name)
        now = {one.key: one.value for one in settings_of(config)}
        self.changes = {
            key: value
            for key, value in wanted.items()
            if not (given := _found(now, key)) or given != _found(self.originals, key)
        }
        self.config = config if self.changes else self.original
        return self.config

    def reset(self) -> None:
        """Take all changes back."""
        self.config, self.changes = self.original, {}

    def put_text(self, key: str, text: str) -> Config:
        """Change one setting to a value in YAML, as it is typed; see `put`."""
        return self.put(_parsed([f"{key}={text}"]))

    def overrides(self) -> list[str]:
        """Return the changes as the command line and the parameter ``overrides`` take them."""
        return [f"{key}={yaml_text(value)}" for key, value in self.changes.items()]

    def diff(self) -> Table:
        """List what differs from the file."""
        now = {one.key: one.value for one in self.settings}
        rows = [["setting", "file", "draft"]]
        for key, given in self.changes.items():
            before, after = _found(self.originals, key), _found(now, key) or (given,)
            rows.append([key, yaml_text(*before) if before else "-", yaml_text(*after)])
        return Table("Changed settings", rows, is_text=True)

    def save(self, path: str | Path) -> None:
        """Write the changes as YAML, one setting a line."""
        write_text(path, "".join(f"{key}: {yaml_text(v)}\n" for key, v in self.changes.items()))

    def load(self, path: str | Path) -> Config:
        """Replace the changes by those of a file that `save` has written.

        Raises
        ------
        ConfigError
            If it cannot be read or a setting in it is not valid; the draft is then as before.
        """
        try:
            table = yaml.safe_load(Path(path).read_text()) or {}
            check_finite(table)
        except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"cannot read {path}: {' '.join(str(error).split())}") from None
        if not isinstance(table, dict):
            raise ConfigError(f"{path} holds no settings, one `key: value` a line")
        before, self.changes = self.changes, {}
        try:
            return self.put({str(key): value for key, value in table.items()})
        except ConfigError:
            self.changes = before
            raise


def _parsed(overrides: Sequence[str]) -> dict[str, Any]:
    return dict(map(parse_override, overrides))


def _found(values: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    """Return the value of a setting or of an entry of a table, or nothing."""
    if key in values:
        return (values[key],)
    place, _, name = key.rpartition(".")
    table = values.get(place)
    return (table[name],) if isinstance(table, Mapping) and name in table else ()
