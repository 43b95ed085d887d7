"""Whatever a derived column is made of, later functions see what plain awkward has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import pytest

from chunkcolumns import Pick, plain
from intccms.engine.calls import Caller, Level, with_derived
from intccms.engine.objects import Objects
from intccms.errors import FunctionError, MissingColumnError
from intccms.schema import Config, DerivedColumn
from intccms.schema.base import ObjVar
from intccms.schema.physics import ObjectMasks

SEEDS = range(4)
Draw = np.random.Generator
Counts = Any  # how many values each event has, where it has lists


def numbers(rng: Draw, n: int) -> np.ndarray:
    return rng.normal(50, 50, n).astype(rng.choice(["f4", "f8", "i4", "i8", "i2"]))


def words(rng: Draw, n: int) -> ak.Array:
    return ak.Array(rng.choice(["", "a", "bc"], n + 1).tolist())[:n]


def jagged(rng: Draw, counts: Counts) -> ak.Array:
    return ak.unflatten(numbers(rng, counts.sum()), counts)


def some(rng: Draw, n: int) -> np.ndarray:
    return rng.random(n) < 0.6


def lists(rng: Draw, counts: Counts, make: Callable[[Draw, int], Any]) -> ak.Array:
    return ak.unflatten(make(rng, int(counts.sum())), counts)


def nested(rng: Draw, n: int) -> ak.Array:
    return jagged(rng, rng.poisson(1.5, n))


def with_gaps(rng: Draw, counts: Counts) -> ak.Array:
    """Make lists whose values do not stand end to end in memory."""
    twice = jagged(rng, np.repeat(counts, 2))
    return twice[2 * np.arange(len(counts))]


# The answer of a function for events of which each has so many objects.
KINDS: dict[str, Callable[[Draw, Counts], Any]] = {
    "numbers": lambda rng, counts: numbers(rng, len(counts)),
    "a column": lambda rng, counts: ak.Array(numbers(rng, len(counts))),
    "every third": lambda rng, counts: numbers(rng, 3 * len(counts))[::3],
    "booleans": lambda rng, counts: some(rng, len(counts)),
    "lists": jagged,
    "lists of booleans": lambda rng, counts: lists(rng, counts, some),
    "lists with gaps": with_gaps,
    "nested lists": lambda rng, counts: lists(rng, counts, nested),
    "a matrix": lambda rng, counts: numbers(rng, 2 * len(counts)).reshape(-1, 2),
    "strings": lambda rng, counts: words(rng, len(counts)),
    "lists of strings": lambda rng, counts: lists(rng, counts, words),
    "missing numbers": lambda rng, counts: ak.mask(
        numbers(rng, len(counts)), some(rng, len(counts))
    ),
    "lists of missing numbers": lambda rng, counts: lists(
        rng, counts, lambda rng, n: ak.mask(numbers(rng, n), some(rng, n))
    ),
    "missing lists": lambda rng, counts: ak.mask(jagged(rng, counts), some(rng, len(counts))),
    "first or none": lambda rng, counts: ak.firsts(jagged(rng, counts)),
    "padded": lambda rng, counts: ak.pad_none(jagged(rng, counts), 2),
    "records": lambda rng, counts: ak.zip(
        {"a": numbers(rng, len(counts)), "b": some(rng, len(counts))}
    ),
    "records of lists": lambda rng, counts: ak.zip(
        {"a": jagged(rng, counts), "b": numbers(rng, len(counts))}, depth_limit=1
    ),
    "lists of records": lambda rng, counts: lists(
        rng,
        counts,
        lambda rng, n: ak.zip({"a": numbers(rng, n), "b": nested(rng, n)}, depth_limit=1),
    ),
    "momenta": lambda rng, counts: lists(
        rng,
        counts,
        lambda rng, n: ak.zip(
            {name: abs(numbers(rng, n)) / 50 for name in ("pt", "eta", "phi", "mass")},
            with_name="PtEtaPhiMLorentzVector",
        ),
    ),
}
# Collections that a column may join; the empty name is a new one.
HOSTS = ("", "MET", "Jet")


def events_of(rng: Draw, n: int) -> dict[str, ak.Array]:
    counts = rng.poisson(2, n)
    jet = {"pt": jagged(rng, counts), "eta": jagged(rng, counts)}
    met = {"pt": numbers(rng, n), "phi": numbers(rng, n)}
    return {"MET": ak.zip(met), "Jet": ak.zip(jet), "number": ak.Array(np.arange(n))}


def objects_of(events: dict[str, ak.Array]) -> Objects:
    def fetch(name: str) -> ak.Array:
        if name not in events:
            raise MissingColumnError(name)
        return events[name]

    return Objects(fetch, len(events["number"]))


def attached(objects: Objects, host: str, made: Any) -> Objects:
    """Let a function give the column `made`."""
    one = {"names": "made", "collections": host or "Made", "use": (ObjVar("number"),)}
    ghosts = (DerivedColumn(function=lambda _: made, **one),)
    config = Config.model_construct(ghost_observables=ghosts, good_object_masks=ObjectMasks())
    return with_derived(Level(objects, objects), config, Caller(1).evaluate).objects


def by_awkward(events: dict[str, ak.Array], host: str, made: Any) -> ak.Array:
    if not host:
        return ak.zip({"made": ak.Array(made)}, depth_limit=1)
    return ak.with_field(events[host], ak.Array(made), "made")


def same(got: Any, wanted: Any) -> None:
    got = ak.Array(plain(got))
    options = {"check_parameters": False, "check_regular": False}
    assert ak.array_equal(got, wanted, **options), (got.type, wanted.type)


def chosen(rng: Draw, n: int) -> np.ndarray:
    """Choose events, as a mask does, or in another order, or with repetitions."""
    kind = rng.integers(3)
    if kind == 0:
        return np.flatnonzero(rng.random(n) < rng.choice([0.0, 0.5, 1.0]))
    return (
        rng.permutation(n)[: n // 2 + 1] if kind == 1 else rng.permutation(np.arange(n).repeat(3))
    )


WHERE = [
    (kind, host)
    for kind in KINDS
    for host in HOSTS
    if host != "Jet" or kind not in ("a matrix", "padded")  # has not one value for each jet
]


@pytest.mark.parametrize(("kind", "host"), WHERE)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_column_follows_its_events(seed: int, kind: str, host: str) -> None:
    rng = np.random.default_rng([seed, *kind.encode(), *host.encode()])
    n = int(rng.choice([0, 1, 7, 40]))
    events = events_of(rng, n)
    counts = ak.to_numpy(ak.num(events["Jet"])) if host == "Jet" else rng.poisson(1.5, n)
    made = KINDS[kind](rng, counts)
    wanted = by_awkward(events, host, made)
    objects, name = attached(objects_of(events), host, made), host or "Made"
    whole, column = ObjVar(name), ObjVar(name, "made")
    index = np.arange(n)
    for _ in range(4):
        objects, wanted = objects.take(Pick(index)), wanted[index]
        if rng.random() < 0.7:  # what is looked at is kept
            same(objects.column(column), wanted.made)
        for field in wanted.fields:
            same(getattr(objects.column(whole), field), wanted[field])
        if rng.random() < 0.7:
            same(objects.column(whole), wanted)
        keep = some(rng, len(wanted))
        same(objects.kept(keep).column(column), wanted.made[keep])
        same(objects.column(whole)[keep].made, wanted.made[keep])
        same(objects.column(whole)[1:].made, wanted.made[1:])
        if host == "Jet":
            good, order = wanted.pt > 50, ak.argsort(wanted.eta)
            same(objects.column(whole)[good].made, wanted.made[good])
            same(objects.column(whole)[order].made, wanted.made[order])
            same(objects.column(whole)[:, :1].made, wanted[:, :1].made)
        index = chosen(rng, len(wanted))


@pytest.mark.parametrize("kind", ["lists", "nested lists", "lists of strings", "padded"])
def test_lists_that_are_not_those_of_the_objects_are_refused_by_name(kind: str) -> None:
    rng = np.random.default_rng(1)
    events = events_of(rng, 40)
    counts = ak.to_numpy(ak.num(events["Jet"])) + 1
    made = KINDS[kind](rng, counts)
    with pytest.raises(FunctionError, match=r"\(made\): made is .*, which does not fit"):
        attached(objects_of(events), "Jet", made)


UNIONS = {
    "of numbers and lists": ak.Array([1, [2.0, 3.0]]),
    "inside lists": ak.Array([[1, "a"], []]),
    "in a record": ak.Array([{"a": 1}, {"a": "b"}]),
}


@pytest.mark.parametrize("made", UNIONS.values(), ids=UNIONS)
def test_a_column_of_several_kinds_is_refused_by_name(made: ak.Array) -> None:
    events = events_of(np.random.default_rng(1), 2)
    with pytest.raises(FunctionError, match=r"\(made\): made is .*union.*one kind"):
        attached(objects_of(events), "", made)


@pytest.mark.parametrize(
    ("made", "reason"),
    [(0.5, "no array"), (np.zeros(3), "3 entries for 2 events"), (None, "no array")],
    ids=["a number", "too many", "nothing"],
)
def test_what_is_no_column_is_refused_by_name(made: Any, reason: str) -> None:
    events = events_of(np.random.default_rng(1), 2)
    with pytest.raises(FunctionError, match=rf"\(made\): made .*{reason}"):
        attached(objects_of(events), "", made)
