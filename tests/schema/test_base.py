from __future__ import annotations

import cloudpickle
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from intccms.schema import FunctionSpec, ObjVar, Sys, WorkerEval
from intccms.schema.base import Args, Edges, Year, as_refs, duplicates

EDGES = TypeAdapter(Edges)


def test_a_plain_pair_means_the_same_as_an_objvar() -> None:
    pairs = FunctionSpec(function=len, use=[("Muon", "pt"), ("Muon", None)])
    assert pairs.use == (ObjVar("Muon", "pt"), ObjVar("Muon"))
    assert all(isinstance(ref, ObjVar) for ref in pairs.use)


def test_one_reference_may_stand_without_a_list() -> None:
    assert as_refs(("Jet", "pt")) == (ObjVar("Jet", "pt"),)


def test_no_references_may_be_written_as_none() -> None:
    assert FunctionSpec(function=len, use=None, static_kwargs=None).use == ()


@pytest.mark.parametrize("use", ["Muon", [("Muon",)], [("Muon", 3)], [("a", "b", "c")], 7])
def test_what_is_no_reference_is_refused(use: object) -> None:
    with pytest.raises(ValidationError, match="Muon|reference"):
        FunctionSpec(function=len, use=use)


def test_a_functor_needs_a_function() -> None:
    with pytest.raises(ValidationError, match="callable"):
        FunctionSpec(function="len")


def test_models_are_frozen() -> None:
    functor = FunctionSpec(function=len)
    with pytest.raises(ValidationError, match="frozen"):
        functor.use = ()


def test_args_hold_references_literals_and_sys() -> None:
    args = TypeAdapter(Args).validate_python([("Jet", "pt"), Sys(), "medium", 2, 0.5, True])
    assert args == (ObjVar("Jet", "pt"), Sys(), "medium", 2, 0.5, True)


def test_args_hold_one_sys_at_most() -> None:
    with pytest.raises(ValidationError, match="at most one Sys"):
        TypeAdapter(Args).validate_python([Sys(), Sys()])


def test_args_hold_nothing_else() -> None:
    with pytest.raises(ValidationError, match="reference"):
        TypeAdapter(Args).validate_python([("Jet", "pt"), object()])


def test_equal_bins_are_exact() -> None:
    edges = EDGES.validate_python("200,3000,20")
    assert edges == tuple(200.0 + 2800.0 * i / 20 for i in range(21))
    assert edges[-1] == 3000.0


@pytest.mark.parametrize("given", [[0, 1, 3.5], (0, 1, 3.5), np.array([0, 1, 3.5]).tolist()])
def test_edges_may_be_listed(given: object) -> None:
    assert EDGES.validate_python(given) == (0.0, 1.0, 3.5)


@pytest.mark.parametrize(
    "given",
    [
        "1,2",
        "a,b,3",
        "0,1,2.5",
        "0,10,0",
        "10,0,5",
        [1],
        [1, 1],
        [2, 1],
        [0, float("nan")],
        [0, "1"],
    ],
)
def test_edges_that_are_none_are_refused(given: object) -> None:
    with pytest.raises(ValidationError, match="bin"):
        EDGES.validate_python(given)


def test_numpy_arrays_are_read_as_lists() -> None:
    assert FunctionSpec(function=len, static_kwargs=None).static_kwargs == {}


def test_a_year_may_be_a_number() -> None:
    assert TypeAdapter(Year).validate_python(2017) == "2017"


def test_worker_eval_shows_nothing_and_resolves_on_demand() -> None:
    secret = WorkerEval(lambda: "hunter2")
    assert "hunter2" not in f"{secret!r} {secret}"
    assert secret.resolve() == "hunter2"


def test_worker_eval_takes_a_function_only() -> None:
    with pytest.raises(TypeError, match="not a str"):
        WorkerEval("hunter2")


@pytest.mark.parametrize("value", [Sys(), ObjVar("Muon", "pt"), ObjVar("Muon")])
def test_markers_survive_pickling(value: object) -> None:
    again = cloudpickle.loads(cloudpickle.dumps(value))
    assert again == value
    assert type(again) is type(value)


def test_worker_eval_survives_pickling() -> None:
    value = cloudpickle.loads(cloudpickle.dumps(WorkerEval(lambda: 3)))
    assert value.resolve() == 3


def test_duplicates_are_named_once() -> None:
    assert duplicates(["a", "b", "a", "a", "b"]) == ["a", "b"]
