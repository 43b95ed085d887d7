from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from intccms.reading import source as module
from intccms.reading.columns import ReadMeter
from intccms.reading.source import forget, open_source

N = 100


def table() -> dict[str, Any]:
    jets = ak.unflatten(np.arange(2 * N, dtype=np.float32), np.full(N, 2))
    return {
        "run": np.ones(N, dtype=np.uint32),
        "nJet": ak.values_astype(ak.num(jets), np.int32),
        "Jet_pt": jets,
        "Jet_eta": jets / 1000,
        "Jet_phi": jets / 2000,
        "Jet_mass": jets / 10,
        "weight": np.arange(N, dtype=np.float64),
    }


@pytest.fixture
def ttree(tmp_path: Path) -> Path:
    with uproot.recreate(tmp_path / "a.root") as file:
        columns = {name: column for name, column in table().items() if name != "nJet"}
        jets = {
            name.removeprefix("Jet_"): columns.pop(name) for name in list(columns) if "_" in name
        }
        file.mktree("Events", {**columns, "Jet": ak.zip(jets)})
    return tmp_path / "a.root"


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    columns = {
        name: pa.array(ak.to_list(column), pa.large_list(pa.float32()))
        if name.startswith("Jet")
        else pa.array(np.asarray(column))
        for name, column in table().items()
    }
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path, row_group_size=30)
    return path


def read(path: Path, start: int, stop: int, meter: ReadMeter | None = None) -> Any:
    meter = ReadMeter() if meter is None else meter
    return open_source(str(path), "Events").events(start, stop, meter, {"dataset": "mc"})


def test_a_file_stays_open(ttree: Path) -> None:
    assert open_source(str(ttree), "Events") is open_source(str(ttree), "Events")
    assert open_source(str(ttree), "Events").n_events == N


def test_a_file_that_is_forgotten_is_opened_anew(ttree: Path) -> None:
    before = open_source(str(ttree), "Events")
    forget(str(ttree), "Events")
    assert open_source(str(ttree), "Events") is not before


def test_few_files_stay_open(ttree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_FILES", 2)
    monkeypatch.setattr(module, "COLLECTED_FILES", 1)
    names = [ttree.with_name(f"{i}.root") for i in range(3)]
    for name in names:
        name.write_bytes(ttree.read_bytes())
    first = open_source(str(names[0]), "Events")
    for name in names[1:]:
        open_source(str(name), "Events")
    assert open_source(str(names[0]), "Events") is not first


def test_files_of_one_layout_share_their_forms(ttree: Path) -> None:
    other = ttree.with_name("b.root")
    other.write_bytes(ttree.read_bytes())
    assert read(ttree, 0, 5).forms is read(other, 0, 5).forms


def test_another_type_is_another_layout(ttree: Path, tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "b.root") as file:
        file.mktree("Events", {"run": np.ones(3, dtype=np.int64)})
    with uproot.recreate(tmp_path / "c.root") as file:
        file.mktree("Events", {"run": np.ones(3, dtype=np.uint32)})
    layouts = {open_source(str(tmp_path / f"{x}.root"), "Events").layout for x in "abc"}
    assert len(layouts) == 3


@pytest.mark.parametrize("span", [(0, N), (10, 20), (25, 65), (30, 60), (99, 100), (50, 50)])
def test_parquet_gives_what_a_tree_gives(ttree: Path, parquet: Path, span: tuple[int, int]) -> None:
    one, other = read(ttree, *span), read(parquet, *span)
    for column in ("run", "weight"):
        assert ak.to_list(one[column]) == ak.to_list(other[column])
    for field in ("pt", "eta"):
        assert ak.to_list(one.Jet[field]) == ak.to_list(other.Jet[field])
        assert one.Jet[field].type == other.Jet[field].type


def test_of_parquet_only_the_row_groups_and_columns_are_read_that_are_needed(parquet: Path) -> None:
    part, whole = ReadMeter(), ReadMeter()
    assert ak.sum(read(parquet, 30, 60, part).weight) == sum(range(30, 60))
    assert ak.sum(read(parquet, 0, N, whole).weight) == sum(range(N))
    assert set(part.columns) == {"weight"}
    assert 0 < part.columns["weight"] < whole.columns["weight"] / 2


def test_an_rntuple_gives_what_a_tree_gives(tmp_path: Path, ttree: Path) -> None:
    path = tmp_path / "b.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", {n: ak.Array(c) for n, c in table().items()})
    one, other = read(ttree, 25, 65), read(path, 25, 65)
    assert ak.to_list(one.Jet.pt) == ak.to_list(other.Jet.pt)
    assert ak.to_list(one.weight) == ak.to_list(other.weight)
    meter = ReadMeter()
    ak.sum(read(path, 25, 65, meter).weight)
    assert meter.columns["weight"] > 0


@pytest.mark.parametrize("tree", ["nano_dy", "nano_tt_v12"])
def test_the_bytes_of_a_column_are_those_of_its_baskets(shared_data: Path, tree: str) -> None:
    path, meter = shared_data / f"nano/{tree}.root", ReadMeter()
    ak.sum(read(path, 0, 40, meter).PuppiMET.pt)
    with uproot.open(path) as file:
        branch = file["Events/PuppiMET_pt"]
        expected = [branch.basket_compressed_bytes(i) for i in range(branch.num_baskets)]
    assert 0 < meter.columns["PuppiMET_pt"] <= sum(expected) + 100 * len(expected)
