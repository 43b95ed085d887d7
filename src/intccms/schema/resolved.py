"""A configuration as plain values that JSON can hold, without secrets."""

from collections.abc import Iterator, Mapping
from typing import Any

from intccms.redaction import HIDDEN, is_secret, redacted
from intccms.schema.base import Model, Sys, WorkerEval

ON_WORKER = "<evaluated on the worker>"


def as_json(value: Any) -> Any:
    """Return a value of a configuration in terms that JSON knows.

    Functions become ``module:qualname``; what is evaluated on the worker, and what stands
    under a key such as ``secret`` or ``token``, becomes a fixed text.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Model):
        return {name: as_json(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, list | tuple | set | frozenset):
        entries = [as_json(entry) for entry in value]
        return sorted(entries, key=str) if isinstance(value, set | frozenset) else entries
    return _named(value)


def _table(table: Mapping[Any, Any]) -> Any:
    if set(table) == {None}:  # corrections that hold for all years
        return as_json(table[None])
    return {
        str(key): HIDDEN
        if is_secret(key) and not isinstance(value, WorkerEval | Mapping)
        else as_json(value)
        for key, value in table.items()
    }


def _named(value: Any) -> Any:
    if isinstance(value, WorkerEval):
        return ON_WORKER
    if isinstance(value, Sys):
        return "Sys()"
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return as_json(value.tolist())
    if callable(value):
        return _function_name(value)
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _function_name(function: Any) -> str:
    wrapped = getattr(function, "func", None)  # functools.partial
    if callable(wrapped):
        return f"partial({_function_name(wrapped)})"
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that holds no others, with its dotted place; entries go by their names.

    Parameters
    ----------
    value
        A configuration, or what JSON can hold.
    place
        Where it stands.

    Examples
    --------
    >>> dict(leaves({"a": [{"name": "x", "b": 1}, {"b": 2}], "c": []}))
    {'a.x.name': 'x', 'a.x.b': 1, 'a.1.b': 2}
    """
    if isinstance(value, Model):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        entries = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, list | tuple):
        entries = [(_name(entry) or str(index), entry) for index, entry in enumerate(value)]
    else:
        yield place, value
        return
    for name, entry in entries:
        yield from leaves(entry, f"{place}.{name}" if place else name)


def _name(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, Mapping) else getattr(entry, "name", None)
