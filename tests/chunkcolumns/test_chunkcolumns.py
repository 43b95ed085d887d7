"""Columns and collections answer as the awkward arrays that they stand for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from chunkcolumns import Collection, Column, Pick, as_chunk_array, as_column, plain
from intccms.engine.objects import from_events
from tests.engine.small import chunk


@pytest.fixture(scope="module")
def events(few: Path) -> Any:
    return chunk(few)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "compare": lambda jet, mu: jet.pt > 30,
    "scalar": lambda jet, mu: 1 - jet.pt * 2.5,
    "numpy scalar": lambda jet, mu: jet.pt * np.float64(2),
    "float32 scalar": lambda jet, mu: jet.pt > np.float32(30),
    "integers": lambda jet, mu: mu.charge * 2,
    "divided integers": lambda jet, mu: mu.charge / 2,
    "ufunc": lambda jet, mu: np.hypot(jet.pt, abs(jet.eta)),
    "and": lambda jet, mu: (jet.pt > 30) & ~(jet.eta > 0),
    "event and objects": lambda jet, mu: ak.num(mu) + jet.pt,
    "numpy and objects": lambda jet, mu: np.asarray(ak.num(mu)) * jet.pt,
    "jagged mask": lambda jet, mu: jet[jet.pt > 30].eta,
    "event mask": lambda jet, mu: jet.pt[ak.num(jet) > 2],
    "index": lambda jet, mu: jet.pt[np.array([3, 1, 1])],
    "slice": lambda jet, mu: jet[:10].pt,
    "first": lambda jet, mu: jet.pt[ak.num(jet) > 0][:, 0],
    "last": lambda jet, mu: jet[ak.num(jet) > 0][:, -1].phi,
    "first two": lambda jet, mu: jet.pt[:, :2],
    "num": lambda jet, mu: ak.num(jet),
    "count": lambda jet, mu: ak.count(jet.pt, axis=-1),
    "any": lambda jet, mu: ak.any(jet.pt > 60, axis=1),
    "all": lambda jet, mu: ak.all(jet.pt > 60, axis=1),
    "how many": lambda jet, mu: ak.sum(jet.pt > 60, axis=1),
    "sum": lambda jet, mu: ak.sum(jet.pt, axis=1),
    "largest": lambda jet, mu: ak.fill_none(ak.max(jet.pt, axis=1), 0),
    "firsts": lambda jet, mu: ak.fill_none(ak.firsts(jet.pt), -1),
    "flat": lambda jet, mu: ak.flatten(jet.pt),
    "there and back": lambda jet, mu: ak.unflatten(
        ak.to_numpy(ak.flatten(jet.pt)) * 2, ak.num(jet.pt)
    ),
    "other counts": lambda jet, mu: ak.unflatten(ak.flatten(jet.pt), 1 * ak.num(jet.pt)),
    "broadcast": lambda jet, mu: ak.broadcast_arrays(ak.num(jet), jet.pt)[0],
    "type": lambda jet, mu: ak.values_astype(jet.pt, np.float64),
    "where": lambda jet, mu: ak.where(jet.pt > 30, jet.eta, 0),
    "sort": lambda jet, mu: jet[ak.argsort(jet.pt)].eta,
    "vector": lambda jet, mu: (jet + jet).mass,
    "behaviour": lambda jet, mu: jet.px,
    "two collections": lambda jet, mu: jet.metric_table(mu),
    "distance": lambda jet, mu: jet.delta_r(jet),
    "with field": lambda jet, mu: ak.with_field(jet, jet.pt * 2, "pt").pz,
    "one field more": lambda jet, mu: ak.with_field(jet, jet.pt * 2, "twice").twice,
    "zip": lambda jet, mu: ak.zip({"a": jet.pt, "b": jet.eta}).b,
    "pad": lambda jet, mu: ak.fill_none(ak.pad_none(jet, 2)[:, 1].pt, 0),
    "argmax": lambda jet, mu: jet[ak.argmax(jet.pt, axis=1, keepdims=True)].eta,
    "taken record": lambda jet, mu: jet[jet.eta > 0][ak.num(jet[jet.eta > 0]) > 1].pz,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_answer_is_that_of_awkward(events: Any, name: str) -> None:
    function = FUNCTIONS[name]
    expected = ak.Array(function(events["Jet"], events["Muon"]))
    got = plain(function(as_chunk_array(events["Jet"]), as_chunk_array(events["Muon"])))
    assert ak.array_equal(ak.Array(got), expected, dtype_exact=True, check_parameters=False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_events_that_come_more_than_once_have_the_answer_of_awkward(events: Any, name: str) -> None:
    function, rows = FUNCTIONS[name], np.random.default_rng(4).integers(0, 300, 2000)
    expected = ak.Array(function(events["Jet"][rows], events["Muon"][rows]))
    jets, muons = (as_chunk_array(events[name]).taken(Pick(rows)) for name in ("Jet", "Muon"))
    got = plain(function(jets, muons))
    assert ak.array_equal(ak.Array(got), expected, dtype_exact=True, check_parameters=False)


def test_what_is_computed_of_repeated_events_is_computed_of_each_once(events: Any) -> None:
    rows = Pick(np.repeat(np.flatnonzero(ak.num(events["Jet"]) > 0), 50))
    some = rows.then(Pick(np.flatnonzero(np.arange(len(rows)) % 3 > 0)))
    jets, met = (as_chunk_array(events[name]).taken(some) for name in ("Jet", "PuppiMET"))
    for column in (ak.num(jets) > 2, ak.any(jets.pt > met.pt, axis=1), jets.eta[:, -1] * met.pt):
        assert len(column) == len(some)
        assert len(column._source) <= len(events["Jet"])
    kept = jets[jets.pt > 40]
    assert len(kept) == len(some)
    assert "_lists" not in kept.__dict__


def test_events_of_different_rows_are_not_mixed_up(events: Any) -> None:
    pt = as_chunk_array(events["PuppiMET"]).pt
    rows = [np.arange(300).repeat(5), np.tile(np.arange(300), 5)]
    one, two = (pt.taken(Pick(index)) for index in rows)
    expected = events["PuppiMET"].pt[rows[0]] - events["PuppiMET"].pt[rows[1]]
    assert ak.array_equal(plain(one - two), expected, check_parameters=False)


@pytest.mark.parametrize("name", ["Jet", "Muon", "FatJet", "PuppiMET"])
def test_every_field_is_the_same(events: Any, name: str) -> None:
    collection = as_chunk_array(events[name])
    assert isinstance(collection, Collection)
    assert isinstance(collection, type(events[name]))
    assert collection.fields == events[name].fields
    for field in collection.fields:
        expected = getattr(events[name], field)
        got = plain(getattr(collection, field))
        assert ak.array_equal(got, expected, equal_nan=True, check_parameters=False)


def test_common_operations_leave_a_column(events: Any) -> None:
    jets = as_chunk_array(events["Jet"])
    for name in ("jagged mask", "event mask", "num", "any", "flat", "there and back"):
        assert isinstance(FUNCTIONS[name](jets, as_chunk_array(events["Muon"])), Column), name


@pytest.mark.parametrize("where", [(slice(None), 0), 10**6, "depth", np.array([10**6])])
def test_what_awkward_refuses_is_refused_in_its_words(events: Any, where: Any) -> None:
    jets = events["Jet"]
    with pytest.raises(Exception, match=".") as expected:
        jets[where]
    with pytest.raises(type(expected.value)):
        as_chunk_array(jets)[where]


def test_jagged_arrays_of_other_lengths_are_refused(events: Any) -> None:
    jets, muons = as_chunk_array(events["Jet"]), as_chunk_array(events["Muon"])
    with pytest.raises(ValueError, match="broadcast"):
        jets.pt + muons.pt


def test_a_column_that_is_set_is_set_in_the_copy_of_one_function_only(events: Any) -> None:
    jets = from_events(events)["Jet"]
    copy = jets.__copy__()
    copy["pt"] = jets.pt * 2
    assert ak.all(copy.pt == 2 * jets.pt)
    assert ak.all(copy[copy.pt > 100].pt > 100)
    assert ak.array_equal(plain(jets.pt), events["Jet"].pt, check_parameters=False)


def test_columns_can_be_pickled(events: Any) -> None:
    pt = as_chunk_array(events["Jet"]).pt
    assert ak.array_equal(pickle.loads(pickle.dumps(pt)), plain(pt))


def test_other_arrays_stay_what_they_are() -> None:
    for array in (ak.Array([1, None]), ak.Array(["a"]), ak.Array([[[1]], []]), 3, None):
        assert as_column(array) is array
        assert as_chunk_array(array) is array
