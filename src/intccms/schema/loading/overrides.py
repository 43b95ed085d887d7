"""Settings of the command line and of notebooks, put into a configuration before validation."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml

from intccms.errors import ConfigError, nearest
from intccms.schema.base import KeyProblem, Model
from intccms.schema.loading.problems import entry_name, inner_model

__all__ = ["apply_overrides", "check_finite", "parse_override"]

EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+")


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``key=value`` and read the value as YAML.

    >>> parse_override("general.processes=[signal, data]")
    ('general.processes', ['signal', 'data'])
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"an override is written key=value, not {text!r}")
    try:
        return key.strip(), _yaml(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ConfigError(f"{key.strip()}: the value is not YAML: {reason}") from None


def _yaml(text: str) -> Any:
    value = yaml.safe_load(text)
    check_finite(value)
    # YAML 1.1 reads 1e5 as text, which no physicist means.
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(text.strip()) else value


def check_finite(value: Any, outside: tuple[int, ...] = ()) -> None:
    """Refuse a value that holds itself, as an alias of YAML makes it.

    Raises
    ------
    ValueError
        If it does.
    """
    if isinstance(value, Mapping | list | tuple):
        if id(value) in outside:
            raise ValueError("an alias stands in what it is an alias of")
        for entry in (*value.values(), *value) if isinstance(value, Mapping) else value:
            check_finite(entry, (*outside, id(value)))


def apply_overrides(
    raw: Mapping[str, Any] | Model,
    overrides: Sequence[str] | Mapping[str, Any],
    model: type[Model],
) -> dict[str, Any]:
    """Return a copy of a configuration dict with settings replaced.

    Containers are copied, functions and other objects are shared with the original.

    Raises
    ------
    ConfigError
        If an override names no setting; the text names the nearest one.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"overrides are a list, e.g. [{overrides!r}], not a text")
    table: dict[str, Any] = _copy(raw)
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(parse_override, overrides)
    for key, value in pairs:
        _Setting(model, key, value).into_model(table, model, tuple(key.split(".")))
    return table


def _copy(value: Any) -> Any:
    if isinstance(value, Model):
        return {name: _copy(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        if set(value) == {None}:  # a validated list that holds for all years
            return _copy(value[None])
        return {key: _copy(entry) for key, entry in value.items()}
    is_tuple = type(value) is tuple and any(isinstance(e, Mapping | list | Model) for e in value)
    if is_tuple or isinstance(value, list):
        return [_copy(entry) for entry in value]
    return value


def _read_older(table: dict[str, Any], model: type[Model]) -> None:
    """Bring an older spelling into the fields; one that is wrong is left to the validation."""
    with suppress(KeyProblem):
        ready = _copy(model.prepare(dict(table)))
        table.clear()
        table.update(ready)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return tuple(part for a in get_args(annotation) for part in _alternatives(a))
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    return (annotation,)


def _table_values(annotation: Any) -> Any:
    """Return the type of the values of a free-form table, or None if it is no such table."""
    for part in _alternatives(annotation):
        if part is Any:
            return Any
        if get_origin(part) is dict:
            return get_args(part)[1]
    return None


def _settings(model: type[Model], place: str = "") -> Iterator[str]:
    """Yield the dotted path of every setting that stands in no list."""
    for name, field in model.model_fields.items():
        yield f"{place}{name}"
        inner = inner_model(field.annotation)
        if inner is not None and inner in _alternatives(field.annotation):
            yield from _settings(inner, f"{place}{name}.")


class _Setting:
    """One override on its way down to its place."""

    def __init__(self, root: type[Model], key: str, value: Any) -> None:
        self.root = root
        self.key = key
        self.value = value

    def into_model(self, table: dict[str, Any], model: type[Model], steps: tuple[str, ...]) -> None:
        """Go on within a part of the configuration that has named fields."""
        step, rest = steps[0], steps[1:]
        if step not in model.known_keys():
            raise self._unknown(steps, model.known_keys())
        field = model.model_fields.get(model.spellings.get(step, step))
        if rest:
            if step not in table:
                _read_older(table, model)
            self._into(table, step, None if field is None else field.annotation, rest)
            return
        for other, meant in model.spellings.items():
            if step in (other, meant):  # the override wins over either spelling
                table.pop(other, None)
                table.pop(meant, None)
        table[step] = self.value

    def _into(self, holder: Any, at: Any, annotation: Any, steps: tuple[str, ...]) -> None:
        """Open what stands at `holder[at]` and go on with the remaining steps."""
        here = holder.get(at) if isinstance(holder, dict) else holder[at]
        values, model = _table_values(annotation), inner_model(annotation)
        if here is None and (values is not None or model in _alternatives(annotation)):
            here = holder[at] = {}
        if here is None and model is not None:
            here = []
        if isinstance(here, list) and model is not None:
            self._into_list(here, model, steps)
        elif isinstance(here, dict) and values is not None:
            self._into_table(here, values, steps)
        elif isinstance(here, dict) and model is not None:
            self.into_model(here, model, steps)
        else:
            known = self.key.removesuffix("." + ".".join(steps))
            raise ConfigError(f"{self.key}: {known!r} has no settings inside; give it as a whole")

    def _into_list(self, entries: list[Any], model: type[Model], steps: tuple[str, ...]) -> None:
        names = [entry_name(entry) or str(index) for index, entry in enumerate(entries)]
        name, rest = self._found(names, steps)
        index = names.index(name)
        if not rest:
            entries[index] = self.value
            return
        self._into(entries, index, model, rest)

    def _into_table(self, table: dict[Any, Any], values: Any, steps: tuple[str, ...]) -> None:
        keys = {str(key): key for key in table}
        is_closed = inner_model(values) is not None  # corrections by year
        name, rest = self._found(list(keys), steps) if is_closed else _joined(keys, steps)
        key = keys.get(name, name)
        if not rest:
            table[key] = self.value
            return
        self._into(table, key, values, rest)

    def _found(self, names: Sequence[str], steps: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        name, rest = _joined(names, steps)
        if name not in names:
            raise self._unknown(steps, names)
        return name, rest

    def _unknown(self, steps: tuple[str, ...], known: Iterable[str]) -> ConfigError:
        hint = nearest(steps[0], known)
        elsewhere = [path for path in _settings(self.root) if path.endswith(f".{steps[-1]}")]
        if elsewhere and "did you mean" not in hint:
            hint = f"did you mean {elsewhere[0]!r}?"
        return ConfigError(f"{self.key}: unknown key {steps[0]!r}; {hint}")


def _joined(names: Iterable[str], steps: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Split off the first name; names may hold dots."""
    for n_steps in range(len(steps), 0, -1):
        name = ".".join(steps[:n_steps])
        if name in names:
            return name, steps[n_steps:]
    return steps[0], steps[1:]
