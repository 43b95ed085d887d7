"""A skim is written, listed and read back without a change, in each format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
import pytest

from intccms.schema import Skimming
from intccms.skimming import SkimColumns, SkimStore
from intccms.skimming.writing import by_entries
from tests.skimming.conftest import part, read_back, store_at, three_chunks, values_of

FORMATS = ["parquet", "ttree", "rntuple"]
EVERYTHING = SkimColumns()


def files_in(folder: Path) -> list[str]:
    """All files, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_read_back_is_what_was_kept(tmp_path: Path, kept: Any, kind: str) -> None:
    store = store_at(tmp_path, kind)
    written = store.write(kept, EVERYTHING, part())
    back = read_back(store, written)
    assert values_of(back) == values_of(kept)
    assert ak.to_list(back.Muon.matched_jet.pt) == ak.to_list(kept.Muon.matched_jet.pt)
    assert set(written.columns) >= {"nMuon", "nJet", "nPSWeight", "PSWeight", "run", "LHE_Njets"}


@pytest.mark.parametrize(
    ("kind", "suffix"), [("parquet", "parquet"), ("ttree", "root"), ("rntuple", "root")]
)
def test_names_say_dataset_file_and_chunk(
    tmp_path: Path, kept: Any, kind: str, suffix: str
) -> None:
    written = store_at(tmp_path, kind).write(kept, EVERYTHING, part(7))
    assert written.path == f"ttbar_2017/file_2/part_7.{suffix}"
    assert files_in(tmp_path) == [written.path]


def test_half_a_chunk_has_a_name_of_its_own(tmp_path: Path, kept: Any) -> None:
    written = store_at(tmp_path).write(kept, EVERYTHING, part(7, piece="0_50"))
    assert written.path == "ttbar_2017/file_2/part_7_0_50.parquet"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_second_try_overwrites_the_first(tmp_path: Path, kept: Any, kind: str) -> None:
    store = store_at(tmp_path, kind)
    store.write(kept.narrowed(np.arange(3)), EVERYTHING, part())
    written = store.write(kept, EVERYTHING, part())
    assert files_in(tmp_path) == [written.path]
    assert len(read_back(store, written)) == len(kept)


def test_size_and_checksum_are_those_of_the_file(tmp_path: Path, kept: Any) -> None:
    import hashlib

    written = store_at(tmp_path).write(kept, EVERYTHING, part())
    content = (tmp_path / written.path).read_bytes()
    assert written.size_bytes == len(content)
    assert written.sha256 == hashlib.sha256(content).hexdigest()


def test_a_chunk_without_kept_events_leaves_no_part_but_counts(tmp_path: Path, events: Any) -> None:
    store = store_at(tmp_path)
    manifest = store.save(three_chunks(store, events))
    assert not list(tmp_path.rglob("part_1.parquet"))
    assert [one.n_in for one in manifest.parts] == [100, 100, 100]
    assert manifest.parts[1].sumw == {"levels": [0], "sums": [[1.1]]}
    assert manifest.gaps(["", "", "/store/mc/a.root"])[-1].file_index == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_a_lost_manifest_is_made_again_from_the_parts(
    tmp_path: Path, events: Any, kind: str
) -> None:
    store = store_at(tmp_path, kind)
    manifest = store.save(three_chunks(store, events))
    (tmp_path / "ttbar_2017/manifest.json").unlink()
    assert store.load("ttbar_2017") == manifest
    assert len(manifest.parts) == 3


def test_where_there_is_no_skim_there_is_no_manifest(tmp_path: Path) -> None:
    assert store_at(tmp_path).load("ttbar_2017") is None


def test_parts_of_another_selection_do_not_come_back(tmp_path: Path, events: Any) -> None:
    store = store_at(tmp_path)
    three_chunks(store, events)
    other = store.write(events, EVERYTHING, part(5, fingerprint="other"))
    assert {one.chunk for one in store.load("ttbar_2017").parts} == {0, 1, 2}
    assert store.load("ttbar_2017", "other").parts == (other,)
    assert store.load("ttbar_2017", "none of them") is None


def test_saving_removes_files_that_nothing_lists(tmp_path: Path, events: Any) -> None:
    store = store_at(tmp_path)
    store.write(events, EVERYTHING, part(9, fingerprint="an older selection"))
    store.write(events, EVERYTHING, part(1))
    (tmp_path / "ttbar_2017/notes.txt").write_text("mine")
    store.save(three_chunks(store, events))
    names = ["file_2/part_0.parquet", "file_2/part_1.empty", "file_2/part_2.parquet"]
    names += ["manifest.json", "notes.txt"]
    assert files_in(tmp_path) == [f"ttbar_2017/{name}" for name in names]


def test_parts_of_other_sources_stay_for_the_run_that_made_them(
    tmp_path: Path, events: Any
) -> None:
    store = store_at(tmp_path)
    other = store.write(events, EVERYTHING, part(0, file_index=3, source="/store/mc/b.root"))
    store.save(three_chunks(store, events))
    assert store.holds(other)


def test_files_that_a_run_left_out_stay_in_the_manifest(tmp_path: Path, events: Any) -> None:
    store = store_at(tmp_path)
    first = store.save(three_chunks(store, events))
    other = store.write(events, EVERYTHING, part(0, file_index=3, source="/store/mc/b.root"))
    assert store.save([other]).parts == (*first.parts, other)
    assert store.load("ttbar_2017").parts == (*first.parts, other)


def test_another_selection_replaces_the_manifest(tmp_path: Path, events: Any) -> None:
    store = store_at(tmp_path)
    store.save(three_chunks(store, events))
    other = store.write(events, EVERYTHING, part(0, fingerprint="other"))
    assert store.save([other]).parts == (other,)
    assert files_in(tmp_path) == [other.path, "ttbar_2017/manifest.json"]


@pytest.mark.parametrize("kind", FORMATS)
def test_small_parts_are_put_together(tmp_path: Path, events: Any, kind: str) -> None:
    store = store_at(tmp_path, kind)
    parts = three_chunks(store, events)
    before = [values_of(read_back(store, one)) for one in parts if one.path]
    merged = store.coalesce(parts, 1000)
    manifest = store.save(merged)
    assert manifest.paths == (parts[0].path,)
    assert [one.rows for one in merged] == [(0, 34), (0, 0), (34, 84)]
    assert [values_of(read_back(store, one)) for one in merged if one.path] == before
    (tmp_path / "ttbar_2017/manifest.json").unlink()
    assert store.load("ttbar_2017") == manifest


def test_a_run_killed_while_parts_are_put_together_loses_nothing(
    tmp_path: Path, events: Any
) -> None:
    store = store_at(tmp_path)
    merged = store.coalesce(three_chunks(store, events), 1000)  # not saved: old files are there
    assert store.load("ttbar_2017").parts == merged


def test_parts_that_are_large_enough_stay_as_they_are(tmp_path: Path, events: Any) -> None:
    store = store_at(tmp_path)
    parts = three_chunks(store, events)
    assert store.coalesce(parts, 20) == tuple(parts)


def test_a_manifest_finds_a_chunk_wherever_its_rows_are(tmp_path: Path, events: Any) -> None:
    store = store_at(tmp_path)
    parts = three_chunks(store, events)
    manifest = store.save(store.coalesce(parts, 1000))
    part = parts[2]
    moved = by_entries(manifest)[part.uuid, part.entry_start, part.entry_stop]
    assert moved.rows == (34, 84)
    assert not store.holds(part)
    assert store.holds(moved)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_manifest_is_plain_json(tmp_path: Path, events: Any, kind: str) -> None:
    store = store_at(tmp_path, kind)
    store.save(three_chunks(store, events))
    plain = json.loads((tmp_path / "ttbar_2017/manifest.json").read_text())
    assert plain["format"] == kind
    assert plain["parts"][2]["rows"] == [0, 50]
    assert plain["parts"][0]["entry_stop"] == 100


def test_a_store_goes_to_workers(tmp_path: Path, kept: Any) -> None:
    store = cloudpickle.loads(cloudpickle.dumps(store_at(tmp_path)))
    assert store.holds(store.write(kept, EVERYTHING, part()))


def test_the_tree_has_the_configured_name(tmp_path: Path, kept: Any) -> None:
    import uproot

    skimming = Skimming(tree_name="Kept", output={"format": "ttree"})
    store = SkimStore.of(skimming, tmp_path)
    written = store.write(kept, EVERYTHING, part())
    with uproot.open(tmp_path / written.path) as file:
        assert file["Kept"].num_entries == len(kept)
        assert file.classnames(cycle=False)["Kept"] == "TTree"


@pytest.mark.parametrize("kind", FORMATS)
def test_compression_changes_the_size(tmp_path: Path, kept: Any, kind: str) -> None:
    sizes = [
        store_at(tmp_path / method, kind, to_kwargs={"compression": method})
        .write(kept, EVERYTHING, part())
        .size_bytes
        for method in ("none", "zstd")
    ]
    assert sizes[1] < sizes[0]
