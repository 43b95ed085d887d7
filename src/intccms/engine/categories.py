"""Which words a correction of a correctionlib file knows for its inputs, as its JSON says. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Words", "known_words"]

Words = dict[str, frozenset[str] | None]


def known_words(content: str) -> dict[str, Words]:
    """Say which words each input of each correction may be.

    Parameters
    ----------
    content
        The JSON of a correction set.

    Returns
    -------
    dict
        By correction and input: the keys of all categories of that input. None: other words have
        an answer too, or how the input is used cannot be told. The inputs of a compound correction
        are those of its parts.
    """
    given = json.loads(content)
    single = {one["name"]: _words_of(one) for one in given.get("corrections") or ()}
    compound = {
        one["name"]: _joined([single[name] for name in one["stack"] if name in single])
        for one in given.get("compound_corrections") or ()
    }
    return single | compound


def _words_of(correction: Mapping[str, Any]) -> Words:
    found: dict[str, set[str]] = {}
    is_open: set[str] = set()
    for node in _nodes(correction["data"]):
        name = node.get("input")
        if node["nodetype"] == "category" and isinstance(name, str):
            found.setdefault(name, set()).update(str(entry["key"]) for entry in node["content"])
            if node.get("default") is not None:
                is_open.add(name)
        elif node["nodetype"] == "transform" and isinstance(name, str):
            is_open.add(name)  # what comes of the input is not what was given
    return {name: None if name in is_open else frozenset(keys) for name, keys in found.items()}


def _nodes(data: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all nodes of a tree; the content of a category stands in its entries."""
    if isinstance(data, list):
        for one in data:
            yield from _nodes(one)
    elif isinstance(data, Mapping):
        if "nodetype" in data:
            yield data
        for name in ("content", "value", "default", "rule"):
            yield from _nodes(data.get(name))


def _joined(several: list[Words]) -> Words:
    names = {name for words in several for name in words}
    found: Words = {}
    for name in names:
        sets = [words[name] for words in several if name in words]
        known = [one for one in sets if one is not None]
        found[name] = frozenset[str]().union(*known) if len(known) == len(sets) else None
    return found
