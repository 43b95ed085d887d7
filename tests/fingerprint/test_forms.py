from __future__ import annotations

import logging
import math
import os
import random
import re
import subprocess
import sys
import threading
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, singledispatch
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import correctionlib.schemav2 as schema
import hist
import numba
import numpy as np
import pytest
import scipy.special
from coffea.lumi_tools import LumiMask

from intccms.fingerprint.digest import fingerprint, is_reproducible
from intccms.schema import FunctionSpec, ObjVar, WorkerEval


def digest(value: Any) -> str:
    answer = fingerprint(value)
    assert answer.unstable == ()
    return answer.digest


def all_differ(*values: Any) -> bool:
    return len({digest(value) for value in values}) == len(values)


def test_values_count_by_type_and_bits() -> None:
    assert all_differ(1, 1.0, True, "1", b"1", 1 + 0j, -0.0, 0.0, None, (), [], {}, set(), "", b"")
    assert all_differ((1, 2), [1, 2], (2, 1), {1, 2}, {1: 2}, ((1,), 2), (1, (2,)))
    assert digest({3, 1, "b", (2, "c")}) == digest({(2, "c"), "b", 1, 3})
    assert digest(float("nan")) == digest(float("nan"))
    assert all_differ(range(3), slice(3), Decimal(3), Fraction(3), datetime(2020, 1, 1), Path("3"))


def test_arrays_count_by_type_shape_and_bytes() -> None:
    ones = np.ones(6)
    assert all_differ(ones, ones.astype("f4"), ones.reshape(2, 3), ones * -1, np.float64(1.0))
    assert digest(np.asfortranarray(np.eye(3)[:2])) == digest(np.eye(3)[:2].copy())
    assert all_differ(np.array([1, None]), np.array([1, "a"], dtype=object))
    jagged = ak.Array([[1.0, 2.0], [], [3.0]])
    assert digest(jagged) == digest(ak.Array([[0.0], [1.0, 2.0], [], [3.0]])[1:])
    jets = ak.zip({"pt": jagged})
    assert all_differ(jagged, ak.Array([[1.0], [2.0], [3.0]]), jets, ak.with_name(jets, "Box"))


def correction(factor: float) -> correctionlib.CorrectionSet:
    output = schema.Variable(name="weight", type="real")
    one = schema.Correction(name="sf", version=1, inputs=[], output=output, data=factor)
    return correctionlib.CorrectionSet(schema.CorrectionSet(schema_version=2, corrections=[one]))


def test_what_analyses_hold_has_a_structure(tmp_path: Path) -> None:
    golden = tmp_path / "golden.json"
    golden.write_text('{"1": [[1, 5], [9, 10]]}')
    mask = LumiMask(str(golden))
    golden.write_text('{"1": [[1, 6], [9, 10]]}')
    assert all_differ(correction(1.0), correction(2.0), correction(1.0)["sf"], mask)
    assert digest(mask) != digest(LumiMask(str(golden)))
    assert all_differ(re.compile("a"), re.compile("a", re.IGNORECASE), re.compile("b"))
    regular = hist.axis.Regular
    assert all_differ(regular(3, 0, 1), regular(4, 0, 1), regular(3, 0, 1, name="x"))
    assert digest(hist.axis.StrCategory(["a"])) == digest(hist.axis.StrCategory(["a"]))
    assert all_differ(np.sqrt, np.cbrt, math.sqrt, ak.num, len, np, math, "".join, ",".join)
    assert all_differ(logging.getLogger("a"), threading.Lock(), os.environ)


def test_the_state_of_the_shared_generators_does_not_count() -> None:
    before = [digest(random.random), digest(np.random.normal)]
    random.random()
    np.random.normal()
    assert [digest(random.random), digest(np.random.normal)] == before


def test_compiled_functions_count_by_their_python_code() -> None:
    def double(x: float) -> float:
        return x * 2

    def triple(x: float) -> float:
        return x * 3

    for compiled in (
        numba.njit,
        numba.vectorize,
        numba.njit("f8(f8)"),
        numba.vectorize(["f8(f8)"]),
    ):
        one = compiled(double)
        before = digest(one)
        one(2.0)
        assert digest(one) == before == digest(compiled(double))
        assert digest(compiled(triple)) != before
    kinds = [numba.vectorize([f"{one}({one})"])(double) for one in ("f4", "f8")]
    assert all_differ(*kinds, numba.njit(double), numba.njit(fastmath=True)(double), double)


def test_functions_that_dispatch_count_by_what_they_have() -> None:
    def dispatching(answer: int) -> Any:
        function = singledispatch(repr)
        function.register(float, lambda _: answer)
        return function

    one = dispatching(1)
    before = digest(one)
    one(1.0)
    assert digest(one) == before == digest(dispatching(1))
    assert digest(dispatching(2)) != before


def test_what_a_property_would_compute_is_not_asked_for() -> None:
    class Lazy:
        @cached_property
        def number(self) -> int:
            raise AssertionError("asked")

    lazy = Lazy()
    space = {"LAZY": lazy, "__name__": "__main__"}
    exec("def function():\n    return LAZY.number.real", space)  # noqa: S102
    assert digest(space["function"])


def test_two_that_call_each_other_are_told_apart_wherever_one_begins() -> None:
    def ring(*values: int) -> Any:
        nodes: list[list[Any]] = [[value] for value in values]
        for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            node.append(following)
        return nodes[0]

    assert digest(ring(1, 2)) == digest(ring(1, 2, 1, 2))
    assert all_differ(ring(1, 2), ring(2, 1), ring(1), ring(1, 1, 2), ring(1, 2, 2), ring(1, 2, 3))


def test_sets_of_functions_in_circles_have_no_order() -> None:
    def family(order: int) -> Any:
        holder: dict[str, Any] = {}
        functions = [lambda: (holder, 1), lambda: (holder, 2), lambda: (holder, 3)]
        holder["all"] = set(functions[::order])
        return holder

    assert len({digest(family(order)) for order in (1, -1) for _ in range(5)}) == 1


def test_models_count_by_their_values_and_not_by_how_they_were_written() -> None:
    short = FunctionSpec(function=digest, use=[("Muon", "pt")])
    long = FunctionSpec(function=digest, use=(ObjVar("Muon", "pt"),), static_kwargs={})
    assert digest(short) == digest(long)
    assert digest(FunctionSpec(function=digest, use=[("Muon", "eta")])) != digest(short)
    assert digest(FunctionSpec(function=all_differ, use=short.use)) != digest(short)


def test_a_worker_evaluation_counts_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def called() -> None:
        raise AssertionError("the value was made")

    assert all_differ(WorkerEval(called), WorkerEval(lambda: os.environ["TOKEN"]))
    secret = WorkerEval(lambda: os.environ["TOKEN"])
    monkeypatch.setenv("TOKEN", "one")
    before = digest(secret)
    monkeypatch.setenv("TOKEN", "two")
    assert digest(secret) == before


def test_code_that_reaches_any_name_counts_them_all() -> None:
    source = "A = 1\nB = {}\ndef f():\n    return globals()['A'] + eval('B')\n"
    found = []
    for value in (1, 2):
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(source.replace("{}", str(value)), names)
        found.append(digest(names["f"]))
    assert len(set(found)) == 2


class Sealed:
    """It refuses to be taken apart; its pickle depends on the order of a set."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def __reduce_ex__(self, protocol: int) -> Any:
        if protocol < 5:
            raise TypeError("cannot be taken apart")
        return type(self), tuple(self.names)


def test_what_has_no_structure_is_named() -> None:
    sealed = Sealed("a")
    answer = fingerprint(lambda: sealed)
    assert len(answer.unstable) == 1
    assert answer.unstable[0].endswith("(Sealed)")
    stream = (number for number in range(3))
    assert fingerprint([stream]).unstable == ("list (generator)",)


def test_fresh_processes_judge_what_has_no_structure() -> None:
    assert not is_reproducible(Sealed("a"))  # the pickle only names the class: its code is unseen
    body = Path(__file__).read_text().split("class Sealed")[1].split("\n\n\ndef ")[0]
    code = f"""
from typing import Any
from intccms.fingerprint.digest import is_reproducible
class Sealed{body}
print(is_reproducible(Sealed("a")), is_reproducible(Sealed(*"abcdefgh")))
"""  # in a main program, as in a notebook, it is pickled by value
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    assert not is_reproducible(number for number in range(3))


def test_what_hides_code_never_has_the_same_fingerprint() -> None:
    hidden = np.frompyfunc(lambda x: x + 1, 1, 1)
    assert fingerprint(hidden).unstable == ("ufunc (ufunc)",)
    assert fingerprint(hidden).digest != fingerprint(hidden).digest
    assert digest(scipy.special.erf) != digest(np.sqrt)
