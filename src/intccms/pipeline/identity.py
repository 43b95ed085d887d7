"""What a run was made of, by the place in the configuration: settings, functions, files. Reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from intccms.fingerprint.digest import fingerprint
from intccms.schema import Config
from intccms.schema.base import Model

__all__ = ["code_of", "leaves"]

DIGITS = 16  # of a digest


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


def code_of(config: Config) -> dict[str, str]:
    """Digest every function of a configuration by structure, every file it names by content.

    Returns
    -------
    dict
        Place to hexadecimal digits. A function has the same in every process, whatever its name,
        its file and the comments in it; one that has no such form is left out.
    """
    found: dict[str, str] = {}
    for place, value in leaves(config):
        if callable(value):
            digest = fingerprint(value)
            if not digest.unstable:
                found[place] = digest.digest[:DIGITS]
        elif isinstance(value, str) and (place.endswith(".file") or ".static_kwargs." in place):
            path = config.general.input_path(value)
            if path.is_file():
                found[place] = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
    return found
