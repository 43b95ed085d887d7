"""What a mask asks of each object alone is split off, for objects that lack it are never good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.engine.objects import Objects, from_events
from intccms.engine.tracing import NONE, mark, needed
from intccms.schema import FunctionSpec, ObjVar
from tests.engine import small

JET_PT = ObjVar("Jet", "pt")
JET_ETA = ObjVar("Jet", "eta")
EACH_ALONE: dict[str, Callable[..., Any]] = {
    "and": lambda pt, eta: (abs(eta) < 2) & (pt > 30),
    "several": lambda pt, eta: (pt > 30) & ((eta < 2) & (eta > -2)) & ~(pt > 90),
    "numpy": lambda pt, eta: np.logical_and(np.abs(eta) < 2, pt > 30),
    "nothing moves": lambda pt, eta: abs(eta) < 2,
}
NOT_ALONE: dict[str, Callable[..., Any]] = {
    "or": lambda pt, eta: (abs(eta) < 2) | (pt > 30),
    "all moves": lambda pt, eta: pt > 30,
    "compared with others": lambda pt, eta: (abs(eta) < 2) & (pt > ak.max(pt, axis=1) / 2),
    "counted": lambda pt, eta: (abs(eta) < 2) & (pt > 30) & (ak.num(eta) > 2),
    "sliced": lambda pt, eta: (abs(eta) < 2) & (pt >= ak.fill_none(ak.firsts(pt), 0)),
    "not followed": lambda pt, eta: (abs(eta) < 2) & (np.asarray(ak.flatten(pt)).max() > 30),
    "fails": lambda pt, eta: pt.nothing,
}


@pytest.fixture(scope="module")
def objects(few: Path) -> Objects:
    return from_events(small.chunk(few))


def asked(objects: Objects, call: Callable[..., Any]) -> list[Any]:
    use = (JET_PT, JET_ETA)
    changed = frozenset({JET_PT})
    inputs = [mark(objects.column(ref), ref, changed, NONE) for ref in use]
    return needed(FunctionSpec(function=call, use=use), inputs, changed)


@pytest.mark.parametrize("name", EACH_ALONE)
def test_what_a_mask_asks_of_each_object_is_split_off(objects: Objects, name: str) -> None:
    central = abs(objects.column(JET_ETA)) < 2
    together = asked(objects, EACH_ALONE[name])
    assert together
    assert ak.array_equal(
        np.logical_and.reduce([np.asarray(ak.flatten(one)) for one in together]),
        ak.flatten(central),
    )


@pytest.mark.parametrize("name", NOT_ALONE)
def test_a_mask_that_looks_at_other_objects_is_left_whole(objects: Objects, name: str) -> None:
    assert asked(objects, NOT_ALONE[name]) == []
