"""From pydantic's errors to one line: dotted path, what is wrong, the nearest valid key."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args, get_origin

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from intccms.errors import ConfigError, nearest
from intccms.redaction import is_secret
from intccms.schema.base import KeyProblem, Model, UnknownKey, alternatives, parameters_of
from intccms.schema.older import SPELLINGS
from intccms.schema.resolved import as_json

OTHER_SPELLINGS = {today: past for past, today in SPELLINGS.items()}
Steps = tuple[str, ...]  # of a dotted key

WORDS = {
    "a valid tuple": "a list",
    "a valid dictionary": "a table",
    "a valid number": "a number",
    "a valid integer": "a whole number",
    "a valid boolean": "True or False",
    "a valid string": "text",
}

LONGEST_VALUE = 60
KEYWORDS = "static_kwargs"  # hold the parameters of a function, which go by their own names, too


def inner_model(annotation: Any) -> type[Model] | None:
    """Return the first `Model` within a type such as ``tuple[Channel, ...]``, else None."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    models = (inner_model(part) for part in get_args(annotation))
    return next((model for model in models if model is not None), None)


def entry_name(entry: Any) -> str | None:
    """Return the name by which an entry of a list is addressed, if it has one."""
    for key in ("name", "object"):
        value = entry.get(key) if isinstance(entry, Mapping) else getattr(entry, key, None)
        if isinstance(value, str):
            return value
    return None


def explain(error: ValidationError, model: type[Model], raw: Any) -> str:
    """Return one line on the first problem, and how many more there are.

    Parameters
    ----------
    error
        What pydantic raised.
    model, raw
        What was validated against which model; used to name list entries and what is missing.
    """
    problems: dict[str, dict[str, str]] = {}
    details = error.errors(include_url=False)
    for detail in sorted(details, key=lambda entry: not isinstance(_cause(entry), UnknownKey)):
        path, wanted, instead = _problem(detail, model, raw)
        problems.setdefault(path, {}).setdefault(wanted, instead)
    path, texts = next(iter(problems.items()))
    line = " or ".join(texts).replace(" or should be", " or")
    parts = [f"{path}: " if path else "", line, next(iter(texts.values()))]
    n_more = len(problems) - 1
    return " ".join("".join(parts).split()) + (f" (and {n_more} more)" if n_more else "")


def _cause(detail: ErrorDetails) -> Any:
    return detail.get("ctx", {}).get("error")


def _problem(detail: ErrorDetails, model: type[Model], raw: Any) -> tuple[str, str, str]:
    """Return where it is, what is wanted, and what was given instead."""
    loc, cause = detail["loc"], _cause(detail)
    steps = _path(loc, raw)
    if isinstance(cause, KeyProblem):
        return ".".join([*steps, cause.key]), str(cause), ""
    if isinstance(cause, ValueError):
        return ".".join(steps), str(cause), ""
    if detail["type"] == "missing" and isinstance(loc[-1], str):
        field = _model_at(loc[:-1], model).model_fields.get(str(loc[-1]))
        meaning = "" if field is None or field.description is None else f": {field.description}"
        return ".".join([*steps, str(loc[-1])]), f"this key is required{meaning}", ""
    if detail["type"] in ("missing", "too_short", "too_long"):
        return ".".join(steps), "this list has the wrong number of entries", ""
    wanted = detail["msg"].replace("Input should be", "should be")
    for pydantic_word, word in WORDS.items():
        wanted = wanted.replace(pydantic_word, word)
    return ".".join(steps), wanted, f", not {_shown(loc, detail['input'])}"


def _shown(loc: tuple[int | str, ...], value: Any) -> str:
    if any(is_secret(part) for part in loc):
        return f"this {type(value).__name__}"
    text = repr(as_json(value))
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _path(loc: tuple[int | str, ...], raw: Any) -> list[str]:
    """Return the steps of `loc` that exist in `raw`, list entries by their names."""
    here, steps = raw, []
    for item in loc:
        if isinstance(here, Mapping):
            key = _key(here, item)
            if key is None:
                continue
            here = here[key]
            steps.append(str(key))
        elif isinstance(here, list | tuple) and isinstance(item, int) and item < len(here):
            here = here[item]
            steps.append(entry_name(here) or str(item))
        elif isinstance(here, Model) and isinstance(item, str) and hasattr(here, item):
            here = getattr(here, item)
            steps.append(item)
    return steps


def _key(table: Mapping[Any, Any], item: int | str) -> Any:
    for key in table:
        if key == item or str(key) == str(item):
            return key
    other = OTHER_SPELLINGS.get(str(item))
    return other if other in table else None


def _model_at(loc: tuple[int | str, ...], model: type[Model]) -> type[Model]:
    for item in loc:
        field = model.model_fields.get(str(item))
        inner = None if field is None else inner_model(field.annotation)
        model = model if inner is None else inner
    return model


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


def _table_values(annotation: Any) -> Any:
    """Return the type of the values of a free-form table, or None if it is no such table."""
    for part in alternatives(annotation):
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
        if inner is not None and inner in alternatives(field.annotation):
            yield from _settings(inner, f"{place}{name}.")


class _Setting:
    """One override on its way down to its place."""

    def __init__(self, root: type[Model], key: str, value: Any) -> None:
        self.root = root
        self.key = key
        self.value = value

    def into_model(self, table: dict[str, Any], model: type[Model], steps: Steps) -> None:
        """Go on within a part of the configuration that has named fields."""
        step, rest = steps[0], steps[1:]
        if step not in model.known_keys():
            settings = parameters_of(table.get("function"))
            if KEYWORDS not in model.model_fields or step not in settings:
                raise self._unknown(steps, (*model.known_keys(), *settings))
            step, rest = KEYWORDS, steps
        field = model.model_fields.get(model.older.spellings.get(step, step))
        if rest:
            if step not in table:
                _read_older(table, model)
            self._into(table, step, None if field is None else field.annotation, rest)
            return
        for other, meant in model.older.spellings.items():
            if step in (other, meant):  # the override wins over either spelling
                table.pop(other, None)
                table.pop(meant, None)
        table[step] = self.value

    def _into(self, holder: Any, at: Any, annotation: Any, steps: Steps) -> None:
        """Open what stands at `holder[at]` and go on with the remaining steps."""
        here = holder.get(at) if isinstance(holder, dict) else holder[at]
        values, model = _table_values(annotation), inner_model(annotation)
        if here is None and (values is not None or model in alternatives(annotation)):
            here = holder[at] = {}
        if here is None and model is not None:
            here = []
        if isinstance(here, list) and model is not None:
            names = [entry_name(entry) or str(index) for index, entry in enumerate(here)]
            keys: dict[str, Any] = {name: names.index(name) for name in names}
            self._into_entries(here, keys, model, steps, is_closed=True)
        elif isinstance(here, dict) and values is not None:
            is_closed = inner_model(values) is not None  # corrections by year
            keys = {str(key): key for key in here}
            self._into_entries(here, keys, values, steps, is_closed=is_closed)
        elif isinstance(here, dict) and model is not None:
            self.into_model(here, model, steps)
        else:
            known = self.key.removesuffix("." + ".".join(steps))
            raise ConfigError(f"{self.key}: {known!r} has no settings inside; give it as a whole")

    def _into_entries(
        self, entries: Any, keys: dict[str, Any], annotation: Any, steps: Steps, *, is_closed: bool
    ) -> None:
        """Go on in an entry of a list or a table; one that is closed has only those of `keys`."""
        name, rest = _joined(keys, steps)
        if is_closed and name not in keys:
            raise self._unknown(steps, keys)
        key = keys.get(name, name)
        if rest:
            self._into(entries, key, annotation, rest)
        else:
            entries[key] = self.value

    def _unknown(self, steps: Steps, known: Iterable[str]) -> ConfigError:
        hint = nearest(steps[0], known)
        elsewhere = [path for path in _settings(self.root) if path.endswith(f".{steps[-1]}")]
        if elsewhere and "did you mean" not in hint:
            hint = f"did you mean {elsewhere[0]!r}?"
        return ConfigError(f"{self.key}: unknown key {steps[0]!r}; {hint}")


def _joined(names: Iterable[str], steps: Steps) -> tuple[str, tuple[str, ...]]:
    """Split off the first name; names may hold dots."""
    for n_steps in range(len(steps), 0, -1):
        name = ".".join(steps[:n_steps])
        if name in names:
            return name, steps[n_steps:]
    return steps[0], steps[1:]
