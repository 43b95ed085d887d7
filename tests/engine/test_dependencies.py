from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numba
import numpy as np
import pytest
import vector
from coffea.analysis_tools import PackedSelection

from intccms.engine.objects import Objects, from_events
from intccms.engine.tracing import NONE, CutOrigins, mark, trace
from intccms.schema import FunctionSpec, ObjVar
from tests.engine import configuration as cc
from tests.engine import small

MUONS, JETS, MET = ObjVar("Muon"), ObjVar("Jet"), ObjVar("PuppiMET")
JET_PT, MET_PT = ObjVar("Jet", "pt"), ObjVar("PuppiMET", "pt")
TOUCHED = frozenset(
    {JET_PT, ObjVar("Jet", "mass"), ObjVar("Muon", "pt"), ObjVar("Muon", "eta"), MET_PT}
)
USE = (MUONS, JETS, MET)


@pytest.fixture(scope="module")
def objects(few: Path) -> Objects:
    everything = from_events(small.chunk(few))
    usual = (ak.num(everything["Muon"]) >= 1) & (ak.num(everything["Jet"]) >= 1)
    return everything.take(np.flatnonzero(usual)[:64])


def traced(objects: Objects, call: Callable[..., Any], *use: ObjVar, **static: Any) -> CutOrigins:
    inputs = [mark(objects.column(ref), ref, TOUCHED, NONE) for ref in use]
    functor = FunctionSpec(function=call, use=use, static_kwargs=static)
    return trace(functor, inputs, TOUCHED)


def names(origins: frozenset[ObjVar]) -> set[str]:
    return {f"{ref.obj}.{ref.field}" for ref in origins}


def test_cuts_of_the_baseline_carry_their_own_columns(objects: Objects) -> None:
    found = traced(objects, cc.signal_region, MUONS, JETS, ObjVar("FatJet"), MET)
    assert {name: names(origins) for name, origins in found.conjuncts.items()} == {
        "hard_jet": {"Jet.pt"},
        "fat": set(),
        "lepton_ht": {"Muon.pt", "PuppiMET.pt"},
    }


def test_what_decides_a_collection_marks_all_of_it(objects: Objects) -> None:
    ref = ObjVar("Muon", "phi")
    phi = mark(objects.column(ref), ref, TOUCHED, frozenset({JET_PT}))
    found = trace(FunctionSpec(function=ak.num, use=(ref,)), [phi], TOUCHED)
    assert found.origins == {JET_PT}


def test_an_untouched_column_has_no_origin(objects: Objects) -> None:
    assert traced(objects, lambda jets: ak.sum(jets.eta, axis=1), JETS).origins == NONE


def test_untouched_cuts_are_those_that_nothing_changed_reaches(objects: Objects) -> None:
    found = traced(objects, cc.signal_region, MUONS, JETS, ObjVar("FatJet"), MET)
    assert found.untouched(frozenset({JET_PT})) == ("fat", "lepton_ht")


def nested(muons: Any, jets: Any, met: Any) -> PackedSelection:
    cuts = PackedSelection()
    cuts.add("jet", ak.any(jets.pt > 60, axis=1))
    cuts.add("muon", ak.any(muons.pt > 30, axis=1))
    cuts.add("objects", cuts.all("jet", "muon"))
    cuts.add("met", met.phi > 0)
    cuts.add("not_all", ak.num(jets) > 3)
    cuts.add("all", cuts.all("objects", "met"))
    return cuts


def test_nested_conjunctions_come_down_to_plain_cuts(objects: Objects) -> None:
    found = traced(objects, nested, *USE)
    assert {name: names(origins) for name, origins in found.conjuncts.items()} == {
        "jet": {"Jet.pt"},
        "muon": {"Muon.pt"},
        "met": set(),
    }


def test_a_last_cut_that_is_no_conjunction_stands_alone(objects: Objects) -> None:
    def call(jets: Any) -> PackedSelection:
        cuts = PackedSelection()
        cuts.add("eta", ak.all(jets.eta < 2, axis=1))
        cuts.add("either", cuts.all("eta") | ak.any(jets.pt > 60, axis=1))
        return cuts

    found = traced(objects, call, JETS)
    assert set(found.conjuncts) == {"either"}
    assert names(found.origins) == {"Jet.pt"}


def test_a_conjunction_of_another_selection_is_not_taken_apart(objects: Objects) -> None:
    def call(jets: Any) -> PackedSelection:
        inner = PackedSelection()
        inner.add("a", ak.num(jets) > 1)
        inner.add("b", ak.any(jets.pt > 50, axis=1))
        outer = PackedSelection()
        outer.add("a", ak.any(jets.pt > 90, axis=1))
        outer.add("all", inner.all("a", "b"))
        return outer

    found = traced(objects, call, JETS)
    assert set(found.conjuncts) == {"all"}
    assert JET_PT in found.origins


def any_of(jets: Any) -> PackedSelection:
    cuts = PackedSelection()
    cuts.add("eta", ak.all(jets.eta < 2, axis=1))
    cuts.add("pt", ak.any(jets.pt > 60, axis=1))
    cuts.add("last", cuts.any("eta", "pt"))
    return cuts


def required(jets: Any) -> PackedSelection:
    cuts = PackedSelection()
    cuts.add("eta", ak.all(jets.eta < 2, axis=1))
    cuts.add("pt", ak.any(jets.pt > 60, axis=1))
    cuts.add("last", cuts.require(eta=True, pt=False))
    return cuts


@pytest.mark.parametrize("call", [any_of, required])
def test_other_combinations_count_as_depending_on_everything(
    objects: Objects, call: Callable[..., Any]
) -> None:
    found = traced(objects, call, JETS)
    assert JET_PT in found.origins
    assert not found.untouched(frozenset({JET_PT}))


def test_the_cuts_of_a_dead_selection_are_not_those_of_the_next(objects: Objects) -> None:
    def one(jets: Any, last: str) -> PackedSelection:
        cuts = PackedSelection()
        cuts.add("a", ak.num(jets) > 1)
        cuts.add("b", ak.any(jets.pt > 50, axis=1))
        cuts.add("last", cuts.all("a", "b") if last == "all" else ~cuts.all("b"))
        return cuts

    def call(jets: Any) -> PackedSelection:
        one(jets, "all")  # freed; its place in memory may be taken by the next
        return one(jets, "not")

    assert set(traced(objects, call, JETS).conjuncts) == {"last"}


# Soundness: whatever a function does, a column that changes its answer is in the traced set.


@numba.njit
def _count(pts: Any) -> Any:
    out = np.zeros(len(pts), dtype=np.int64)
    for i, event in enumerate(pts):
        for pt in event:
            out[i] += pt > 40
    return out


def loop(muons: Any, jets: Any, met: Any) -> Any:
    return np.array([sum(pt for pt in event) for event in jets.pt])


def in_place(muons: Any, jets: Any, met: Any) -> Any:
    mask = ak.to_numpy(met.pt > 50)
    mask &= ak.to_numpy(ak.any(jets.pt > 60, axis=1))
    mask |= ak.to_numpy(ak.any(muons.charge > 0, axis=1))
    return mask


def into_out(muons: Any, jets: Any, met: Any) -> Any:
    total = np.zeros(len(jets))
    np.add(total, ak.to_numpy(ak.sum(jets.pt, axis=1)), out=total)
    return total + met.phi


def copied_into(muons: Any, jets: Any, met: Any) -> Any:
    total = np.zeros(len(jets))
    np.copyto(total, ak.to_numpy(met.pt))
    return total + met.phi


def added_at(muons: Any, jets: Any, met: Any) -> Any:
    total = np.zeros(len(jets))
    np.add.at(total, np.arange(len(jets)), ak.to_numpy(met.pt))
    return total + met.phi


def assigned(muons: Any, jets: Any, met: Any) -> Any:
    total = np.array(met.phi)
    total[ak.to_numpy(met.pt) > 30] = 0
    return total


def listed(muons: Any, jets: Any, met: Any) -> Any:
    return np.array(ak.num(jets[jets.pt > 40]).to_list()) > 1


def listed_by_function(muons: Any, jets: Any, met: Any) -> Any:
    cuts = PackedSelection()
    cuts.add("jets", np.array(ak.to_list(ak.num(jets[jets.pt > 40]))) > 1)
    return cuts


def branches(muons: Any, jets: Any, met: Any) -> Any:
    return met.phi if ak.mean(jets.pt) > 100 else met.phi * 0


def compared(muons: Any, jets: Any, met: Any) -> Any:
    return met.phi * ak.array_equal(jets.pt > 20, jets.pt > 0)


def with_own_field(muons: Any, jets: Any, met: Any) -> Any:
    jets = ak.with_field(jets, jets.pt * 2, "twice")
    return ak.sum(jets.twice, axis=1)


def set_field(muons: Any, jets: Any, met: Any) -> Any:
    jets["twice"] = jets.pt * 2
    return ak.sum(jets.twice, axis=1)


def own_vectors(muons: Any, jets: Any, met: Any) -> Any:
    parts = {"pt": jets.pt, "eta": jets.eta, "phi": jets.phi, "mass": jets.mass}
    return ak.sum(ak.zip(parts, with_name="PtEtaPhiMLorentzVector"), axis=1).x


def by_vector(muons: Any, jets: Any, met: Any) -> Any:
    found = vector.zip({"pt": jets.pt, "eta": jets.eta, "phi": jets.phi, "mass": jets.mass})
    return ak.max(found.E, axis=1, mask_identity=False, initial=0)


def flattened(muons: Any, jets: Any, met: Any) -> Any:
    scaled = ak.unflatten(ak.flatten(jets.pt) * 2, ak.num(jets))
    return ak.sum(scaled, axis=1)


def converted(muons: Any, jets: Any, met: Any) -> Any:
    return np.asarray(met.pt) + np.asarray(ak.sum(jets.eta, axis=1))


def from_numpy(muons: Any, jets: Any, met: Any) -> Any:
    return ak.from_numpy(ak.to_numpy(met.pt) * 2)


def packed(muons: Any, jets: Any, met: Any) -> Any:
    cuts = PackedSelection()
    cuts.add_multiple({"a": ak.num(jets) > 1, "b": ak.any(jets.pt > 50, axis=1)})
    cuts.add("all", cuts.all())
    return cuts


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "numba": lambda muons, jets, met: _count(jets.pt),
    "asarray": converted,
    "float": lambda muons, jets, met: met.phi * float(ak.sum(met.pt)),
    "math": lambda muons, jets, met: met.phi * math.sqrt(ak.max(met.pt)),
    "python loop": loop,
    "branch": branches,
    "comparison": compared,
    "flatten": flattened,
    "from_numpy": from_numpy,
    "delta_r": lambda muons, jets, met: ak.min(
        jets.delta_r(jets.nearest(muons)), axis=1, mask_identity=False
    ),
    "nearest": lambda muons, jets, met: ak.sum(muons.nearest(jets).phi, axis=1),
    "metric_table": lambda muons, jets, met: ak.sum(
        ak.any(muons.metric_table(jets) < 1, axis=2), axis=1
    ),
    "matched slice": lambda muons, jets, met: ak.sum(
        jets[ak.argmax(jets.pt, axis=1, keepdims=True)].phi, axis=1
    ),
    "four vectors": lambda muons, jets, met: jets.sum(axis=1).mass,
    "vector sum": lambda muons, jets, met: (
        (ak.pad_none(jets, 2)[:, 0] + ak.pad_none(jets, 2)[:, 1]).px
    ),
    "vector property": lambda muons, jets, met: ak.sum(jets.px, axis=1),
    "cartesian": lambda muons, jets, met: ak.num(
        ak.cartesian({"m": muons[muons.pt > 30], "j": jets})
    ),
    "combinations": lambda muons, jets, met: ak.sum(
        ak.combinations(jets, 2, fields=["a", "b"]).b.pt, axis=1
    ),
    "np.where": lambda muons, jets, met: np.where(met.pt > 50, met.phi, 0),
    "ak.where": lambda muons, jets, met: ak.where(ak.num(muons[muons.eta > 1]) > 0, met.phi, 0),
    "sliced events": lambda muons, jets, met: ak.sum(ak.mask(jets, met.pt > 50).eta, axis=1),
    "sorted": lambda muons, jets, met: ak.fill_none(
        ak.firsts(jets[ak.argsort(jets.pt, ascending=False)].eta), 0
    ),
    "in place": in_place,
    "out": into_out,
    "copyto": copied_into,
    "at": added_at,
    "assigned": assigned,
    "list": listed,
    "to_list": listed_by_function,
    "field": with_own_field,
    "item": set_field,
    "own vectors": own_vectors,
    "vector.zip": by_vector,
    "several cuts": packed,
    "stack": lambda muons, jets, met: np.max(
        np.stack([ak.to_numpy(met.pt), ak.to_numpy(met.phi)]), axis=0
    ),
    "reduce": lambda muons, jets, met: np.logical_and.reduce([met.pt > 30, met.phi > 0]),
    "two fields": lambda muons, jets, met: ak.sum(jets[["eta", "pt"]].pt, axis=1),
    "string index": lambda muons, jets, met: ak.sum(jets["mass"], axis=1),
    "keyword": lambda muons, jets, met: ak.sum(array=jets.pt, axis=1),
    "reflected": lambda muons, jets, met: 100 - met.pt,
    "power": lambda muons, jets, met: met.pt**2 % 7 // 2,
    "length": lambda muons, jets, met: np.ones(len(jets)) * met.pt,
}


def answer(objects: Objects, call: Callable[..., Any]) -> dict[str, Any]:
    value = call(*(objects[ref.obj] for ref in USE))
    if isinstance(value, PackedSelection):
        return {name: value.all(name).tolist() for name in value.names}
    return {"": ak.to_list(value)}


@pytest.fixture(scope="module")
def nudged(objects: Objects) -> dict[ObjVar, Objects]:
    moved = {}
    rng = np.random.default_rng(5)
    for ref in TOUCHED:
        column = objects.column(ref)
        factors = rng.uniform(0.3, 3.0, ak.count(column, axis=None))
        counts = ak.num(column) if column.ndim > 1 else None
        values = column * (factors if counts is None else ak.unflatten(factors, counts))
        moved[ref] = objects.with_column(ref, values)
    return moved


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_column_that_changes_the_answer_is_found(
    objects: Objects, nudged: dict[ObjVar, Objects], name: str
) -> None:
    call = FUNCTIONS[name]
    found = traced(objects, call, *USE)
    before = answer(objects, call)
    last = list(before)[-1]
    cuts = {**found.conjuncts, last: found.origins}
    moving = {ref for ref in TOUCHED if answer(nudged[ref], call)[last] != before[last]}
    assert moving, "the function depends on something"
    assert names(frozenset(moving)) <= names(found.origins)
    for ref, cut in ((r, c) for r in TOUCHED for c in cuts if c in before):
        if answer(nudged[ref], call)[cut] != before[cut]:
            assert ref in cuts[cut], f"{cut} depends on {ref}"


TIGHT = {
    "np.where": {"PuppiMET.pt"},
    "nearest": {"Jet.pt", "Jet.mass", "Muon.pt", "Muon.eta"},
    "sorted": {"Jet.pt"},
    "in place": {"Jet.pt", "PuppiMET.pt"},
    "flatten": {"Jet.pt", "Jet.mass"},  # as `ak.num` takes the whole collection
    "string index": {"Jet.mass"},
    "two fields": {"Jet.pt"},
    "field": {"Jet.pt", "Jet.mass"},
}


@pytest.mark.parametrize("name", TIGHT)
def test_common_operations_are_followed(objects: Objects, name: str) -> None:
    assert names(traced(objects, FUNCTIONS[name], *USE).origins) == TIGHT[name]


def test_a_function_that_catches_everything_cannot_hide_what_it_reads(objects: Objects) -> None:
    def call(jets: Any) -> Any:
        try:
            return ak.num(jets) * float(ak.sum(jets.pt))
        except Exception:  # noqa: BLE001 - as users write
            return ak.num(jets)

    assert traced(objects, call, JETS).origins == TOUCHED


def test_static_arguments_reach_the_function(objects: Objects) -> None:
    def call(jets: Any, field: str) -> Any:
        return ak.sum(jets[field], axis=1)

    assert names(traced(objects, call, JETS, field="mass").origins) == {"Jet.mass"}


def test_selections_of_other_threads_are_left_alone(objects: Objects) -> None:
    inside, may_end = threading.Event(), threading.Event()
    seen: list[Any] = []

    def elsewhere() -> None:
        inside.wait(10)
        cuts = PackedSelection()
        cuts.add("a", np.array([True, False]))
        cuts.add("all", cuts.all("a"))
        seen.append(cuts.all("all"))
        may_end.set()

    def call(jets: Any) -> PackedSelection:
        cuts = PackedSelection()
        cuts.add("pt", ak.any(jets.pt > 50, axis=1))
        inside.set()
        may_end.wait(10)
        return cuts

    other = threading.Thread(target=elsewhere)
    other.start()
    found = traced(objects, call, JETS)
    other.join()
    assert type(seen[0]) is np.ndarray
    assert seen[0].tolist() == [True, False]
    assert set(found.conjuncts) == {"pt"}


def test_tracing_leaves_packed_selection_as_it_was(objects: Objects) -> None:
    before = (PackedSelection.add, PackedSelection.all)
    traced(objects, nested, *USE)
    assert (PackedSelection.add, PackedSelection.all) == before
