from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numba
import numpy as np
import pytest
from coffea.analysis_tools import PackedSelection

from intccms.analysis.runner import run
from intccms.engine.calls import Caller, as_flat, selection_of
from intccms.errors import FunctionError, MissingColumnError
from intccms.schema import load_config
from tests.engine import small
from tests.engine.small import channel, function, observable

JETS, MUONS = ("Jet", None), ("Muon", None)


def with_observable(call: Callable[..., Any], *use: Any) -> dict[str, Any]:
    return small.config(channels=[channel("SR", [observable("x", call, *use)])])


def test_an_answer_for_too_few_events_names_its_key(few: Path) -> None:
    with pytest.raises(FunctionError, match=r"channels\.SR\.x: 300 events went in.*\(10,\)"):
        small.run(few, with_observable(lambda jets: ak.num(jets)[:10], JETS))


def test_a_jagged_answer_names_its_key(few: Path) -> None:
    with pytest.raises(FunctionError, match=r"channels\.SR\.x: one value per event.*var"):
        small.run(few, with_observable(lambda jets: jets.pt, JETS))


def test_a_missing_value_names_its_key(few: Path) -> None:
    with pytest.raises(FunctionError, match=r"channels\.SR\.x: one value per event"):
        small.run(few, with_observable(lambda jets: ak.firsts(jets.pt), JETS))


def test_no_answer_at_all_names_its_key(few: Path) -> None:
    with pytest.raises(FunctionError, match=r"channels\.SR\.x"):
        small.run(few, with_observable(lambda jets: None, JETS))


@pytest.mark.parametrize("answer", [ak.Array([{"x": 1}]), ["text"]])
def test_an_answer_that_is_no_number_names_its_key(answer: Any) -> None:
    with pytest.raises(FunctionError, match="here: .*number"):
        as_flat(answer, 1, "here")


def test_an_observable_that_is_not_a_number_names_its_key(few: Path) -> None:
    with pytest.raises(FunctionError, match=r"channels\.SR\.x: .*not a number"):
        small.run(few, with_observable(lambda met: met.pt * np.nan, ("PuppiMET", None)))


def test_a_weight_that_is_not_a_number_names_its_correction(few: Path) -> None:
    correction = {
        "name": "top_pt",
        "type": "event",
        "use_correctionlib": False,
        "nominal_function": lambda met: ak.where(met > 50, np.nan, 1.0),
        "args": [("PuppiMET", "pt")],
    }
    with pytest.raises(FunctionError, match=r"'top_pt': \d+ of 300 event weights are not finite"):
        small.run(few, small.config(corrections=[correction]))


def test_a_selection_that_is_not_boolean_names_its_key(few: Path) -> None:
    selection = function(lambda jets: ak.num(jets), JETS)
    with pytest.raises(FunctionError, match=r"channels\.SR: a selection returns booleans.*int64"):
        small.run(few, small.config(channels=[channel("SR", [plain()], selection)]))


def test_an_empty_packed_selection_names_its_key(few: Path) -> None:
    baseline = function(lambda jets: PackedSelection(), JETS)
    with pytest.raises(FunctionError, match="baseline_selection: .*holds no cut"):
        small.run(few, small.config(baseline_selection=baseline))


def plain() -> dict[str, Any]:
    return observable("met", lambda pt: pt, ("PuppiMET", "pt"))


def test_the_mask_is_the_last_named_entry() -> None:
    cuts = PackedSelection()
    cuts.add("first", np.array([True, False, True]))
    cuts.add("last", np.array([False, True, True]))
    assert selection_of(cuts, 3, "key").mask.tolist() == [False, True, True]


def test_a_constant_answer_holds_for_every_event() -> None:
    assert as_flat(1.5, 3, "key").tolist() == [1.5, 1.5, 1.5]


@pytest.mark.parametrize(
    "good",
    [
        lambda jets: ak.any(jets.pt > 40, axis=1),
        lambda jets: ak.argsort(jets.pt),
        lambda jets: jets.pt,
        lambda jets: (jets.pt > 40)[:, :1],
        lambda jets: ak.mask(jets.pt > 40, jets.eta > 0),
    ],
    ids=["one per event", "indices", "numbers", "too few", "missing"],
)
def test_a_mask_that_does_not_fit_names_its_collection(few: Path, good: Callable[..., Any]) -> None:
    masks = {"analysis": [{"object": "Jet", **function(good, JETS)}]}
    with pytest.raises(FunctionError, match="Jet"):
        small.run(few, small.config(good_object_masks=masks))


@pytest.mark.parametrize(
    "call", [lambda jets, mu: jets.no_such, lambda jets, mu: jets["no_such"]], ids=["attr", "item"]
)
def test_a_missing_branch_is_named_as_collection_and_field(
    few: Path, call: Callable[..., Any]
) -> None:
    with pytest.raises(MissingColumnError, match=r"channels\.SR\.x needs Jet\.no_such"):
        small.run(few, with_observable(call, JETS, ("PuppiMET", "pt")))


def test_the_missing_branch_is_that_of_the_collection_that_was_asked(few: Path) -> None:
    def call(muons: Any, jets: Any) -> Any:
        return jets[jets.pt > 30].no_such

    with pytest.raises(MissingColumnError, match=r"needs Jet\.no_such"):
        small.run(few, with_observable(call, MUONS, JETS))


def test_a_field_that_a_function_misses_in_its_own_record_is_its_own_fault(few: Path) -> None:
    def call(jets: Any) -> Any:
        return ak.zip({"a": jets.pt}).b

    with pytest.raises(FunctionError, match=r"channels\.SR\.x: AttributeError"):
        small.run(few, with_observable(call, JETS))


@pytest.mark.parametrize(
    ("ref", "text"),
    [
        (("Jet", "no_such"), "Jet has no field 'no_such'"),
        (("Jett", None), "'Jett'.*did you mean 'Jet'"),
        (("event", "no_such"), "'no_such'"),
    ],
)
def test_a_declared_column_that_is_not_there_is_named(few: Path, ref: Any, text: str) -> None:
    with pytest.raises(MissingColumnError, match=text):
        small.run(few, with_observable(lambda x: x, ref))


@numba.njit
def harder_than(pts: Any, threshold: float) -> Any:
    total = np.zeros(len(pts))
    for i, event in enumerate(pts):
        for pt in event:
            if pt > threshold:
                total[i] += pt
    return total


@pytest.mark.parametrize(
    ("call", "ref"),
    [
        (lambda pt: harder_than(pt, 40.0), ("Jet", "pt")),
        (lambda jets: harder_than(jets.pt, 40.0), JETS),
    ],
    ids=["column", "collection"],
)
def test_compiled_functions_get_columns_that_were_not_read_yet(
    few: Path, call: Callable[..., Any], ref: Any
) -> None:
    pt = small.load([few]).Jet.pt
    got = small.outcome(few, with_observable(call, ref))["nominal"]
    expected = small.filled(ak.sum(pt[pt > 40], axis=1), small.load([few]).genWeight)
    small.same(got, expected)


def fails(jets: ak.Array) -> ak.Array:
    raise ZeroDivisionError("mine")


def files(base: Path, few: Path) -> dict[str, Any]:
    target = base / "mc"
    target.mkdir()
    (target / "0.root").symlink_to(few)
    return {"base_dir": str(base), "executor": "iterative"}


def test_a_function_that_fails_stops_the_run_soon_and_shows_its_line(
    tmp_path: Path, few: Path
) -> None:
    tries: list[int] = []

    def fails_on_events(jets: ak.Array) -> ak.Array:
        tries.append(len(jets))
        return fails(jets) if len(jets) else ak.num(jets)

    configuration = with_observable(fails_on_events, JETS)
    configuration["general"] |= {**files(tmp_path, few), "chunk_size": 10}
    with pytest.raises(FunctionError, match=r"channels\.SR\.x: ZeroDivisionError: mine") as caught:
        run(load_config(configuration))
    assert len([n for n in tries if n]) == 3  # of 30 chunks
    note = "".join(caught.value.__notes__)
    assert re.search(r'test_calls\.py", line \d+, in fails\n', note)
    assert "intccms/engine/calls.py" in note or "raise ZeroDivisionError" in note


def test_memory_that_runs_out_is_not_blamed_on_the_function() -> None:
    def greedy() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        Caller(1).call(greedy, "key", [])


def test_the_seed_depends_on_dataset_file_and_first_entry() -> None:
    seeds = {
        Caller.of_chunk(*which).seed
        for which in (("a", "u", 0), ("b", "u", 0), ("a", "v", 0), ("a", "u", 1), ("a", "u", 0))
    }
    assert len(seeds) == 4


def test_only_a_function_that_draws_is_said_to_draw() -> None:
    caller = Caller(1)
    caller.call(lambda: np.random.default_rng(1).normal(), "key", [])
    assert not caller.drew
    caller.call(np.random.normal, "key", [])
    assert caller.drew
