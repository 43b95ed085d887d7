"""Functions whose answers cannot be foreseen are named; the others are not."""

from __future__ import annotations

import datetime
import importlib
import os
import random
import secrets
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime as moment
from pathlib import Path
from random import gauss
from time import time as now
from typing import Any

import awkward as ak
import numpy as np
import pytest
from numpy.random import default_rng

from intccms.fingerprint.digest import fingerprint

OWN = np.random.default_rng(1)
OLDER = np.random.RandomState(1)
PYTHONS = random.Random(1)


def imports_a_clock(x: Any) -> Any:
    import time as clock

    return x * clock.time()


def imports_a_function(x: Any) -> Any:
    from time import time

    return x * time()


def imports_the_network(x: Any) -> Any:
    import urllib.request

    return x * len(urllib.request.urlopen("http://127.0.0.1").read())


def sets_a_package(x: Any) -> Any:
    np.OWN_CONSTANT = 3  # type: ignore[attr-defined]
    return x


def imports_a_generator(x: Any) -> Any:
    import random as lots

    return x + lots.gauss(0, 1)


def generator_by_default(x: Any, rng: Any = np.random.default_rng(2)) -> Any:  # noqa: B008
    return x + rng.normal()


def nested(x: Any) -> Any:
    return [float(one) * time.time() for one in x]


UNFORESEEN: dict[str, Callable[[Any], Any]] = {
    "time.time": lambda x: x * time.time(),
    "time.time ": lambda x: x * now(),
    "datetime.datetime.now": lambda x: x * moment.now().hour,
    "datetime.datetime.now ": lambda x: x * datetime.datetime.now().hour,  # noqa: DTZ005
    "os.urandom": lambda x: x * os.urandom(1)[0],
    "os.getpid": lambda x: x * os.getpid(),
    "uuid.uuid4": lambda x: x * uuid.uuid4().int,
    "importlib.import_module": lambda x: importlib.import_module("json"),
    "builtins.__import__": lambda x: __import__("json"),
    "sys.modules": lambda x: sys.modules["json"],
    "socket.gethostname": lambda x: x * len(socket.gethostname()),
    "subprocess.run": lambda x: subprocess.run(["true"], check=True),
    "time.time  ": imports_a_clock,
    "time.time   ": imports_a_function,
    "time.time    ": nested,
    "urllib.request.urlopen": imports_the_network,
    "np.OWN_CONSTANT is set": sets_a_package,
}
UNSEEDED: dict[str, Callable[[Any], Any]] = {
    "random.random": lambda x: x * random.random(),
    "random.gauss": lambda x: x * gauss(0, 1),
    "random.gauss ": imports_a_generator,
    "secrets.randbelow": lambda x: x * secrets.randbelow(3),
    "Generator": lambda x: x * OWN.normal(),
    "RandomState": lambda x: x * OLDER.normal(),
    "Random": lambda x: x * PYTHONS.random(),
    "Generator ": generator_by_default,
    "numpy.random.default_rng": lambda x: x * np.random.default_rng().normal(),
    "numpy.random.default_rng ": lambda x: x * default_rng().normal(),
    "numpy.random.PCG64": lambda x: np.random.Generator(np.random.PCG64()).normal(),
}
FORESEEN: dict[str, Callable[[Any], Any]] = {
    "numpy's global generator": lambda x: x * np.random.normal(size=len(x)),
    "a seed of its own": lambda x: x * np.random.default_rng(4).normal(),
    "a seed from the events": lambda x: np.random.default_rng(seed=int(x[0])).normal(),
    "a seeded generator of Python's": lambda x: random.Random(4).random(),
    "a stopwatch": lambda x: x * 0 + len(str(time.perf_counter())) * 0,
    "environment and paths": lambda x: (os.environ.get("HOME"), os.path.join("a", "b")),  # noqa: PTH118
    "awkward": lambda x: ak.sum(ak.Array(x)),
    "dates": lambda x: datetime.date(2017, 1, 1).year * x,
}


@pytest.mark.parametrize("what", UNFORESEEN)
def test_what_another_call_may_find_otherwise_is_named(what: str) -> None:
    found = fingerprint(UNFORESEEN[what])
    assert any(f"({what.strip()})" in name for name in found.unforeseen)
    assert all(name.startswith(__name__) for name in found.unforeseen)


@pytest.mark.parametrize("what", UNSEEDED)
def test_generators_that_nobody_seeds_are_named(what: str) -> None:
    function = UNSEEDED[what]
    (name,) = fingerprint(function).unseeded
    assert name.startswith(__name__)
    assert name.endswith(f"({what.strip()})")


def test_the_state_of_a_generator_does_not_count() -> None:
    before = fingerprint(UNSEEDED["Generator"])
    OWN.normal()
    assert fingerprint(UNSEEDED["Generator"]) == before


@pytest.mark.parametrize("what", FORESEEN)
def test_what_can_be_foreseen_is_not_named(what: str) -> None:
    found = fingerprint(FORESEEN[what])
    assert (found.unforeseen, found.unseeded, found.unstable) == ((), (), ())


def test_a_helper_is_named_itself() -> None:
    def calls(x: Any) -> Any:
        return nested(x)

    (name,) = fingerprint(calls).unforeseen
    assert name == f"{__name__}.nested (time.time)"


@pytest.mark.parametrize("text", [None, "def f(:"], ids=["gone", "half written"])
def test_a_module_whose_file_cannot_be_read_keeps_its_structure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    path = tmp_path / f"left_{'gone' if text is None else 'half'}.py"
    path.write_text("def f(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    function = importlib.import_module(path.stem).f
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    found = fingerprint(function)
    assert (found.unstable, found.unforeseen) == ((), ())
    assert fingerprint(function) == found
