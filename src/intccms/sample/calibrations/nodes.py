"""The few shapes of correctionlib's schema that the corrections of the sample are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from correctionlib import schemav2

__all__ = ["Node", "binning", "category", "correction", "formula"]

Node = dict[str, Any] | float


def category(name: str, contents: Mapping[str, Node] | Mapping[int, Node]) -> Node:
    """Choose by the value of a string or an integer."""
    content = [{"key": key, "value": value} for key, value in contents.items()]
    return {"nodetype": "category", "input": name, "content": content}


def binning(edges: Mapping[str, Sequence[float]], content: Sequence[Node]) -> Node:
    """Choose by bin of one or more inputs; what lies outside gets the nearest bin."""
    axes = {"inputs": list(edges), "edges": [list(axis) for axis in edges.values()]}
    return {"nodetype": "multibinning", **axes, "content": list(content), "flow": "clamp"}


def formula(expression: str, *names: str) -> Node:
    """Compute from the named inputs, which the expression calls x, y and z."""
    table: dict[str, Any] = {"nodetype": "formula", "expression": expression}
    return table | {"parser": "TFormula", "variables": list(names)}


def correction(name: str, inputs: str, data: Node) -> schemav2.Correction:
    """Make a correction whose inputs are named in one string: reals, ``systematic:string`` …."""
    variables = [name_type.partition(":") for name_type in inputs.split()]
    return schemav2.Correction.model_validate(
        {
            "name": name,
            "version": 1,
            "inputs": [{"name": n, "type": kind or "real"} for n, _, kind in variables],
            "output": {"name": "weight", "type": "real"},
            "data": data,
        }
    )
