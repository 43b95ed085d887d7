from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from intccms.reading.columns import ReadMeter
from intccms.reading.events import ChunkEvents
from intccms.reading.source import open_source

FILES = ["nano_dy", "nano_tt_v12", "NanoAODv5_sample"]
CROSS_REFERENCES = [
    ("Muon", "matched_jet"),
    ("Electron", "matched_photon"),
    ("Jet", "matched_gen"),
    ("FatJet", "subjets"),
    ("GenPart", "parent"),
    ("GenPart", "children"),
    ("GenPart", "distinctParent"),
]


class Schema(NanoAODSchema):
    error_missing_event_ids = False


def events(
    path: Path, start: int = 0, stop: int = 40, meter: ReadMeter | None = None
) -> ChunkEvents:
    meter = ReadMeter() if meter is None else meter
    return open_source(str(path), "Events").events(start, stop, meter, {"dataset": "mc"})


@pytest.fixture(scope="module", params=FILES)
def path(request: pytest.FixtureRequest, shared_data: Path) -> Path:
    return shared_data / f"nano/{request.param}.root"


@pytest.fixture(scope="module")
def nano(shared_data: Path) -> Path:
    return shared_data / "nano/nano_dy.root"


@pytest.fixture(scope="module")
def reference(path: Path) -> Any:
    """What coffea makes of the entries 7 to 40."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cross-references that it cannot make
        factory = NanoEventsFactory.from_root(
            {str(path): "Events"}, entry_start=7, entry_stop=40, schemaclass=Schema
        )
        return factory.events()


def read(array: ak.Array, *, without_global: bool = False) -> Any:
    """Materialize; global indices are those of other events after a cut."""
    fields = [name for name in ak.fields(array) if not (without_global and name.endswith("G"))]
    return ak.materialize(array[fields] if fields else array)


def is_same(one: Any, other: Any) -> bool:
    same = ak.array_equal(one, other, equal_nan=True, check_parameters=False)
    return type(one) is type(other) and one.type.content.is_equal_to(other.type.content) and same


def test_there_is_all_that_coffea_gives(path: Path, reference: Any) -> None:
    chunk = events(path, 7, 40)
    assert len(chunk) == 33
    assert sorted(chunk.fields) == sorted(reference.fields)
    for name in reference.fields:
        assert is_same(read(chunk[name]), read(reference[name])), name


def test_a_cut_before_reading_gives_what_a_cut_afterwards_gives(path: Path, reference: Any) -> None:
    index = np.arange(1, 33, 3)
    chunk = events(path, 7, 40).narrowed(index)
    assert len(chunk) == len(index)
    for name in reference.fields:
        expected = read(reference[name][index], without_global=True)
        assert is_same(read(chunk[name], without_global=True), expected), name


def test_columns_that_were_read_before_a_cut_are_cut(path: Path, reference: Any) -> None:
    whole, index = events(path, 7, 40), np.arange(0, 33, 2)
    read(whole["Jet"])
    expected = read(reference["Jet"][index], without_global=True)
    assert is_same(read(whole.narrowed(index)["Jet"], without_global=True), expected)


def test_a_second_cut_counts_from_the_first(path: Path, reference: Any) -> None:
    first, second = np.arange(0, 33, 2), np.arange(3, 12)
    chunk = events(path, 7, 40).narrowed(first).narrowed(second)
    expected = read(reference["Jet"][first][second], without_global=True)
    assert is_same(read(chunk["Jet"], without_global=True), expected)


def test_cross_references_lead_to_the_same_objects(path: Path, reference: Any) -> None:
    index = np.arange(2, 33, 4)
    n_checked = 0
    for collection, name in CROSS_REFERENCES:
        try:
            expected = getattr(reference[collection], name).pt
        except AttributeError:  # the file lacks the branch with the index
            continue
        whole = events(path, 7, 40)
        assert ak.array_equal(getattr(whole[collection], name).pt, expected)
        assert ak.array_equal(getattr(whole[collection][index], name).pt, expected[index])
        cut = whole.narrowed(index)
        assert ak.array_equal(getattr(cut[collection], name).pt, expected[index])
        n_checked += 1
    assert n_checked > 4


def test_cross_references_outlive_the_events(nano: Path) -> None:
    muons = events(nano).Muon
    expected = ak.to_list(events(nano).Muon.matched_jet.pt)
    assert ak.to_list(muons.matched_jet.pt) == expected


def test_objects_behave_as_particles(nano: Path) -> None:
    muons = events(nano).Muon
    pairs = muons[ak.num(muons) == 2]
    assert ak.all((pairs[:, 0] + pairs[:, 1]).mass > 0)
    assert ak.all(events(nano).Jet.charge == 0)  # NanoAOD has none, coffea fills it in


def test_nothing_is_read_before_it_is_touched(nano: Path) -> None:
    meter = ReadMeter()
    chunk = events(nano, meter=meter)
    muons = chunk.Muon
    assert meter.columns == {}
    assert len(muons.pt) == 40
    ak.sum(muons.pt)
    assert set(meter.columns) == {"nMuon", "Muon_pt"}
    assert meter.read_s >= meter.decompress_s > 0
    assert meter.n_requests == 2


def test_a_column_is_read_once(nano: Path) -> None:
    meter = ReadMeter()
    chunk = events(nano, meter=meter)
    ak.sum(chunk.Jet.pt)
    ak.sum(chunk.Muon.matched_jet.pt)
    cut = chunk.narrowed(np.arange(5))
    ak.sum(cut.Jet.pt)
    n_requests = meter.n_requests
    ak.sum(chunk.narrowed(np.arange(7)).Jet.pt)
    assert meter.n_requests == n_requests
    assert set(meter.columns) == {"nJet", "Jet_pt", "nMuon", "Muon_jetIdx"}


def test_where_no_event_is_left_nothing_is_read(nano: Path) -> None:
    meter = ReadMeter()
    none = events(nano, meter=meter).narrowed(np.arange(0))
    assert ak.to_list(none.Jet.pt) == []
    assert ak.to_list(ak.sum(none.Muon.matched_jet.pt, axis=1)) == []
    assert none.Jet.pt.type == events(nano).Jet.pt[:0].type
    assert sum(meter.columns.values()) == 0


def test_unknown_names_are_errors(nano: Path) -> None:
    chunk = events(nano)
    with pytest.raises(KeyError, match="no collection or column 'Muno'"):
        chunk["Muno"]
    with pytest.raises(AttributeError, match="Muno"):
        _ = chunk.Muno


def test_the_metadata_are_those_that_were_given(nano: Path) -> None:
    assert events(nano).metadata == {"dataset": "mc", "version": "latest"}
    assert events(nano).narrowed(np.arange(3)).metadata["dataset"] == "mc"


def test_a_behaviour_that_somebody_registered_stays(
    nano: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intccms.reading import events as module

    class Mine(ak.Array):
        pass

    monkeypatch.setitem(ak.behavior, ("*", "Muon"), Mine)
    module._register_behaviors()
    assert ak.behavior["*", "Muon"] is Mine
