"""Every setting of a configuration that a form can change, read from the pydantic models.

Pure: no widget here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from intccms import facility
from intccms.errors import ConfigError, InputError
from intccms.metrics.tables import Table
from intccms.schema import Config, load_config
from intccms.schema.base import KINDS, Model, alternatives, parameters_of
from intccms.schema.overrides import KEYWORDS, check_finite, inner_model, parse_override
from intccms.storage import write_text

_WORDS = {bool: "yes or no", int: "whole number", float: "number", str: "text", NoneType: "None"}

_MANY = 4  # edges; fewer are clearer as a list

LEAST_LUMI = 500.0  # in 1/pb: all of CMS is less in 1/fb

_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


@dataclass(frozen=True)
class Setting:
    """One leaf of a configuration.

    Parameters
    ----------
    key
        Dotted, as an override names it: ``channels.SR.observables.mtt.binning``.
    kind
        ``switch``: yes or no; ``choice``: one of `choices`; ``words``: text as it is typed;
        ``colour``: such as ``#907AD6``; ``names``: some of `choices`; ``yaml``: anything else, in
        YAML.
    wanted
        What may be given, for people: ``number, > 0``.
    choices
        The values of a choice; for other kinds some that are often given.
    function
        Of the user, that takes it as a keyword-only argument.
    """

    key: str
    kind: Literal["switch", "choice", "words", "colour", "names", "yaml"]
    value: Any
    description: str
    wanted: str
    choices: tuple[str, ...] = ()
    function: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """The last step of the key."""
        return self.key.rpartition(".")[2]


def settings_of(config: Config) -> list[Setting]:
    """Return all settings that are no functions, in the order of the configuration."""
    simulated = tuple(one.name for one in config.datasets.datasets if not one.is_data)
    known: dict[str, dict[str, Any]] = {
        "general.processes": {"kind": "names", "choices": tuple(config.datasets.processes)},
        "general.channels": {"kind": "names", "choices": tuple(c.name for c in config.channels)},
        "statistics.signals": {"kind": "names", "choices": simulated},
    }
    for one in config.channels:
        names = ("", *(part.name for part in one.observables))
        known[f"channels.{one.name}.fit_observable"] = {"kind": "choice", "choices": names}
    return [replace(one, **known.get(one.key, {})) for one in _of_model(config, "")]


def doubt(key: str, value: Any) -> str:
    """Return what to ask about a value that is valid, if anything.

    Examples
    --------
    >>> doubt("general.lumi", 59.7)
    'the unit is 1/pb: 59.7 is little; for 59.7/fb write 59700'
    """
    for lumi in value.values() if isinstance(value, Mapping) else (value,):
        if key.startswith("general.lumi") and _is_number(lumi) and lumi < LEAST_LUMI:
            return f"the unit is 1/pb: {lumi:g} is little; for {lumi:g}/fb write {1000 * lumi:g}"
    return ""


def yaml_text(value: Any) -> str:
    """Write a value in one line of YAML, as an override takes it.

    Examples
    --------
    >>> yaml_text(("signal", "data")), yaml_text(None), yaml_text(2.5), yaml_text("a: b")
    ('[signal, data]', 'null', '2.5', "'a: b'")
    >>> yaml_text((0.0, 0.5, 1.0, 1.5, 2.0))
    '0,2,4'
    """
    text = yaml.safe_dump(
        _equidistant(_plain(value)), default_flow_style=True, width=float("inf"), allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("...").strip()


def _equidistant(value: Any) -> Any:
    """Write many equidistant bin edges as ``low,high,nbins``."""
    if not isinstance(value, list) or len(value) < _MANY or not all(map(_is_number, value)):
        return value
    low, high, n_bins = value[0], value[-1], len(value) - 1
    edges = [low + (high - low) * i / n_bins for i in range(n_bins + 1)]
    return f"{low:g},{high:g},{n_bins}" if edges == value else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _of_model(model: Model, place: str) -> Iterator[Setting]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if name == KEYWORDS:
            yield from _of_arguments(getattr(model, "function", None), value, place)
        else:
            yield from _of_value(value, f"{place}{name}", field)


def _of_arguments(function: Any, values: Mapping[str, Any], place: str) -> Iterator[Setting]:
    """Give the arguments of a function of the user; those by keyword only go by their own names."""
    defaults = parameters_of(function)
    for name, value in filter(lambda pair: _is_plain(pair[1]), values.items()):
        default = defaults.get(name, value)
        kind: Any = "switch" if isinstance(default, bool) else "yaml"
        yield Setting(
            f"{place}{name}" if name in defaults else f"{place}{KEYWORDS}.{name}",
            kind if type(default) is not str else "words",
            value,
            _documented(function, name),
            "yes or no" if kind == "switch" else KINDS.get(type(default), "value"),
            function=function if name in defaults else None,
        )


def _documented(function: Any, name: str) -> str:
    """Return what a NumPy docstring says of an argument, in one line."""
    text = inspect.getdoc(function) or ""
    found = re.search(rf"^(?:\w+, )*{re.escape(name)}\b.*\n((?:[ \t]+.*\n?)+)", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _of_value(value: Any, key: str, field: FieldInfo) -> Iterator[Setting]:
    if isinstance(value, Model):
        yield from _of_model(value, f"{key}.")
    elif _holds_models(value):
        for step, entry in _entries(value):
            yield from _of_model(entry, f"{key}.{step}.")
    elif _is_plain(value) and _takes_plain(field.annotation):
        kind, choices = _kind(value, alternatives(field.annotation))
        yield Setting(key, kind, value, field.description or "", _wanted(field), choices)


def _kind(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, tuple[str, ...]]:
    """Give kind and choices of a value of one of these types; no choice, "", is None."""
    literals = [part for part in kinds if get_origin(part) is Literal]
    choices = tuple(str(one) for part in literals for one in get_args(part))
    others = set(kinds) - set(literals) - {NoneType}
    if isinstance(value, bool):
        return "switch", ()
    if literals and not others:
        return "choice", (*([""] if NoneType in kinds else []), *choices)
    return ("words" if others == {str} else "yaml"), choices


def _holds_models(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(entry, tuple) for entry in value.values()) and any(
            _holds_models(entry) for entry in value.values()
        )  # fmt: skip
    return isinstance(value, tuple) and bool(value) and all(isinstance(e, Model) for e in value)


def _entries(value: Any) -> Iterator[tuple[str, Model]]:
    """Give the parts of a list, or of a table of lists by year, with their steps in a key."""
    if isinstance(value, Mapping):
        for year, entries in value.items():
            before = "" if year is None else f"{year}."
            yield from ((f"{before}{step}", entry) for step, entry in _entries(entries))
        return
    for index, entry in enumerate(value):
        yield str(getattr(entry, "name", getattr(entry, "object", index))), entry


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    return value is None or isinstance(value, bool | int | float | str)


def _takes_plain(annotation: Any) -> bool:
    """Whether a value may be given as text: not so for functions and parts with functions."""
    return inner_model(annotation) is None and any(
        part in _WORDS or part is Any or get_origin(part) in (Literal, tuple, dict, list)
        for part in set(alternatives(annotation)) - {NoneType}
    )


def _wanted(field: FieldInfo) -> str:
    words = [_word(part) for part in alternatives(field.annotation)]
    bounds = [
        f"{sign} {getattr(entry, name):g}"
        for entry in (*field.metadata, *_constraints(field.annotation))
        for name, sign in _BOUNDS.items()
        if getattr(entry, name, None) is not None
    ]
    return ", ".join([" or ".join(dict.fromkeys(words)), *dict.fromkeys(bounds)])


def _word(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    kinds = {tuple: "list", list: "list", dict: "table"}
    return _WORDS.get(annotation) or kinds.get(get_origin(annotation) or annotation, "value")


def _constraints(annotation: Any) -> Iterator[Any]:
    """Give the bounds that stand within a type, such as those of a positive number."""
    if get_origin(annotation) is Annotated:
        for entry in get_args(annotation)[1:]:
            yield from entry.metadata if isinstance(entry, FieldInfo) else (entry,)
    for part in get_args(annotation):
        if get_origin(annotation) in (Union, UnionType, Annotated):
            yield from _constraints(part)


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
    config, changes, given
        The configuration as it is now, the settings that differ, by key, and those that differed
        from the start.

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
        self.given: dict[str, Any] = {}
        # called when values have changed otherwise than by typing
        self.on_replaced: Callable[[], None] = lambda: None
        self._earlier: list[tuple[set[str], dict[str, Any]]] = []
        pairs = overrides if isinstance(overrides, Mapping) else _parsed(overrides)
        if pairs:
            self.put(pairs)
        self.given, self._earlier = dict(self.changes), []

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
        before, keys = self.changes, set(changes)
        self.changes = {
            key: value
            for key, value in wanted.items()
            if not (given := _found(now, key)) or given != _found(self.originals, key)
        }
        self.config = config if self.changes else self.original
        if self.changes != before and (not self._earlier or self._earlier[-1][0] != keys):
            self._earlier.append((keys, before))  # what is typed into one field is one step
        return self.config

    def reset(self) -> None:
        """Take back all changes but those that were given from the start."""
        self._replace(self.given)

    def undo(self) -> None:
        """Take back the last step: what was typed into one field is one."""
        if self._earlier:
            *steps, (_, before) = self._earlier
            self._replace(before)
            self._earlier = steps

    def take_back(self, key: str) -> None:
        """Give one setting the value that it had from the start."""
        wanted = {**self.changes, key: self.given.get(key)}
        if key not in self.given:
            del wanted[key]
        self._replace(wanted)

    def is_edited(self, key: str) -> bool:
        """Whether a setting differs from what it was from the start."""
        return _found(self.changes, key) != _found(self.given, key)

    def _replace(self, changes: Mapping[str, Any]) -> None:
        """Change to these changes in one step, or raise and leave all as it is."""
        before, steps = self.changes, self._earlier
        self.changes = {}
        try:
            self.put(changes)
        except InputError:
            self.changes = before
            raise
        self._earlier = [*steps, (set(), before)]
        self.on_replaced()

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
        self._replace({str(key): value for key, value in table.items()})
        return self.config


def _parsed(overrides: Sequence[str]) -> dict[str, Any]:
    return dict(map(parse_override, overrides))


def _found(values: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    """Return the value of a setting or of an entry of a table, or nothing."""
    if key in values:
        return (values[key],)
    place, _, name = key.rpartition(".")
    table = values.get(place)
    return (table[name],) if isinstance(table, Mapping) and name in table else ()
