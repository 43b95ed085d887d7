from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.engine.objects import Objects, dtype_of, event_seeds, from_events
from intccms.schema import ObjVar
from tests.engine import small


@pytest.fixture(scope="module")
def objects(few: Path) -> Objects:
    return from_events(small.chunk(few))


def seeds(path: Path, start: int, stop: int) -> list[int]:
    return from_events(small.chunk(path, start, stop)).column(ObjVar("event", "seed")).to_list()


def test_seeds_are_the_same_for_any_chunking(few: Path) -> None:
    assert seeds(few, 0, 120) + seeds(few, 120, 300) == seeds(few, 0, 300)


def test_seeds_differ_between_events(few: Path) -> None:
    assert len(set(seeds(few, 0, 300))) == 300


def test_seeds_are_those_of_splitmix64() -> None:
    def mix(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    expected = 0
    for part in (1, 2, 3):
        expected = mix((expected + part + 0x9E3779B97F4A7C15) % 2**64)
    assert event_seeds([1], [2], ak.Array([3])).tolist() == [expected]


def test_event_names_the_top_level_columns(objects: Objects) -> None:
    assert objects.column(ObjVar("event", "run")).to_list() == [1] * 300
    assert objects.column(ObjVar("event", None)).to_list() == list(range(300))


def test_a_reference_without_field_gives_the_collection(objects: Objects) -> None:
    jets = objects.column(ObjVar("Jet", None))
    assert {"pt", "eta", "btagDeepB"} <= set(jets.fields)
    assert jets.to_list() == objects["Jet"].to_list()


def test_collections_have_the_behaviours_of_nanoevents(objects: Objects) -> None:
    jets, muons = objects["Jet"], objects["Muon"]
    assert ak.all(jets.delta_r(jets) == 0)
    assert jets.nearest(muons).pt.ndim == 2


def test_taken_events_keep_their_behaviours(objects: Objects) -> None:
    taken = objects.take(np.array([5, 2, 2]))
    assert taken["Jet"].px.to_list() == objects["Jet"].px[[5, 2, 2]].to_list()


def test_a_replaced_column_keeps_its_data_type(objects: Objects) -> None:
    doubled = objects.column(ObjVar("Jet", "pt")) * np.float64(2)
    column = objects.with_column(ObjVar("Jet", "pt"), doubled).column(ObjVar("Jet", "pt"))
    assert dtype_of(column) == np.float32
    assert np.array_equal(small.flat(column), 2 * small.flat(objects["Jet"].pt))


def test_a_replaced_column_leaves_the_original_alone(objects: Objects) -> None:
    before = objects.column(ObjVar("PuppiMET", "pt")).to_list()
    objects.with_column(ObjVar("PuppiMET", "pt"), np.zeros(300))
    assert objects.column(ObjVar("PuppiMET", "pt")).to_list() == before


def test_a_top_level_column_can_be_replaced(objects: Objects) -> None:
    moved = objects.with_column(ObjVar("event", "genWeight"), ak.Array(np.ones(300)))
    assert moved.column(ObjVar("event", "genWeight")).to_list() == [1.0] * 300


def test_functions_get_the_event_number_and_the_seed(few: Path) -> None:
    seen: dict[str, Any] = {}

    def call(run: ak.Array, seed: ak.Array) -> ak.Array:
        seen.update(run=run, seed=seed)
        return ak.values_astype(run, float)

    what = small.observable("x", call, ("event", "run"), ("event", "seed"))
    small.run(few, small.config(channels=[small.channel("SR", [what])]))
    assert seen["run"].to_list() == [1] * 300
    assert len(set(seen["seed"].to_list())) == 300
