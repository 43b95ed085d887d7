"""One record per file, from any executor, whatever the files are like."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from intccms.datasets import DatasetFiles, Fileset
from intccms.errors import InputError
from intccms.execution.executors import FuturesExecutor, IterativeExecutor
from intccms.metrics.inspector import FileRecord, inspect_files
from intccms.metrics.inspector.record import collection_of
from tests.metrics.inspector.small import write_file

FOLDERS = ("nano", "rntuple", "parquet")
# What each broken file says; None: only reading all of it, or its siblings, tell.
BROKEN = {
    "zero_length.root": "is empty",
    "truncated_50pct.root": "received 0 bytes",
    "truncated_tail_256.root": "the last 256 of 352,599 bytes are missing",
    "header_only_100B.root": "received 100 bytes",
    "not_root_html.root": "not a ROOT file: first four bytes are b'<!DO'",
    "bad_magic.root": "not a ROOT file: first four bytes are b'ROxT'",
    "corrupt_basket_Muon_pt.root": None,
    "corrupt_basket_PuppiMET_pt_data.root": None,
    "truncated_70pct.parquet": "Parquet magic bytes not found",
    "truncated_60pct_rntuple.root": "received 0 bytes",
    "wrong_tree_name.root": "no tree 'Events', the trees there: ['events']",
    "events_is_a_histogram.root": "'Events' is no tree but a TH1D",
    "missing_needed_branches.root": None,
}


@pytest.fixture(scope="session")
def index(shared_data: Path) -> dict[str, dict[str, Any]]:
    """What others have measured of the real files."""
    return {
        one["path"]: one for one in json.loads((shared_data / "index.json").read_text())["files"]
    }


@pytest.fixture(scope="session")
def real(shared_data: Path, index: dict[str, Any]) -> dict[str, FileRecord]:
    """Records of all real files, looked at in one go."""
    names = [name for name in index if name.split("/")[0] in (*FOLDERS, "broken")]
    records = inspect_files([shared_data / name for name in names])
    return {str(Path(one.path).relative_to(shared_data)): one for one in records}


def test_every_good_file_agrees_with_what_others_measured(
    real: dict[str, FileRecord], index: dict[str, Any]
) -> None:
    good = [name for name in real if name.split("/")[0] in FOLDERS and "malformed" not in name]
    assert len(good) == 19
    for name in good:
        record, about = real[name], index[name]
        measured = about["measured"]
        assert record.error is None
        assert (record.n_events, record.n_branches) == (
            measured["n_events"],
            measured["n_branches"],
        ), name
        assert record.size_bytes == about["size"]
        for ours, theirs in (
            ("run_range", "run_min_max"),
            ("lumi_range", "luminosityBlock_min_max"),
        ):
            expected = measured["summary"].get(theirs)
            assert getattr(record, ours) == (tuple(expected) if expected else None), name


def test_every_broken_file_gives_its_own_error_and_stops_nothing(
    real: dict[str, FileRecord],
) -> None:
    assert {name.removeprefix("broken/") for name in real if name.startswith("broken/")} == set(
        BROKEN
    )
    for name, text in BROKEN.items():
        error = real[f"broken/{name}"].error
        assert error is None if text is None else (error is not None and text in error), (
            name,
            error,
        )
    assert "Parquet magic bytes" in (real["parquet/nano_dy_malformed.parquet"].error or "")


def test_bytes_of_branches_are_those_that_uproot_gives(
    real: dict[str, FileRecord], shared_data: Path
) -> None:
    record = real["nano/nano_dy.root"]
    with uproot.open({shared_data / "nano/nano_dy.root": "Events"}) as tree:
        for name in ("Muon_pt", "nMuon", "HLT_Mu50", "LHEPdfWeight"):
            branch = tree[name]
            assert record.branch(name) == {
                "compressed_bytes": branch.compressed_bytes,
                "uncompressed_bytes": branch.uncompressed_bytes,
                "n_baskets": branch.num_baskets,
            }
        assert record.compressed_bytes.sum() == tree.compressed_bytes
    with pytest.raises(KeyError):
        record.branch("Muon_nothing")


def test_projected_fields_of_an_rntuple_bear_the_bytes_of_their_source(
    real: dict[str, FileRecord],
) -> None:
    record = real["rntuple/nano_dy_rntuple.root"]
    assert record.format == "RNTuple"
    assert record.branch("Electron_pt")["compressed_bytes"] > 0
    assert record.branch("nElectron")["n_baskets"] == 1
    assert record.branch("_collection1")["compressed_bytes"] == 0
    assert record.compressed_bytes.sum() < (record.size_bytes or 0)
    floats = sum(record.branch(f"Electron_{name}")["uncompressed_bytes"] for name in ("pt", "eta"))
    assert floats % 8 == 0


@pytest.mark.parametrize(
    ("name", "compression", "root", "kind"),
    [
        ("nano/pfnano.root", "LZMA-9", "6.14/09", "TTree"),
        ("nano/nano_dy.root", "ZLIB-1", "6.18/00", "TTree"),
        ("nano/nano_tt_v12.root", "ZLIB", "6.24/00", "TTree"),  # says that it is not compressed
        ("rntuple/nano_dy_rntuple.root", "ZSTD-5", "6.37/01", "RNTuple"),
        ("parquet/nano_dy.parquet", "ZSTD", "", "parquet"),
    ],
)
def test_how_a_file_is_stored(
    real: dict[str, FileRecord], name: str, compression: str, root: str, kind: str
) -> None:
    record = real[name]
    assert (record.compression, record.root_version, record.format) == (compression, root, kind)
    assert record.n_clusters == 1
    assert record.clusters.tolist() == [0, record.n_events]


def test_sums_of_the_runs_tree_are_in_the_record(tmp_path: Path) -> None:
    (record,) = inspect_files(write_file(tmp_path / "a.root", range(5)))
    assert (record.runs_sumw, record.runs_count) == (10.0, 10)
    assert len(record.event_hashes) == 5


def test_clusters_are_where_all_branches_begin_a_basket(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"x": "f4"})
        for n in (3, 4):
            file["Events"].extend({"x": np.zeros(n, np.float32)})
    (record,) = inspect_files(path)
    assert record.clusters.tolist() == [0, 3, 7]


def test_verifying_finds_a_damaged_basket_and_gives_the_checksum(shared_data: Path) -> None:
    paths = [shared_data / "broken" / name for name in BROKEN if name.startswith("corrupt_basket")]
    muon, met = inspect_files([*paths], verify=True)
    assert muon.error is not None
    assert muon.error.startswith("Muon_pt: ")
    assert muon.n_events == 40
    assert met.error is None  # nothing in the file tells
    content = (shared_data / "broken/corrupt_basket_PuppiMET_pt_data.root").read_bytes()
    assert met.adler32 == f"{zlib.adler32(content):08x}"


@contextmanager
def _dask() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _itself(executor: Any) -> Iterator[Any]:
    yield executor


@pytest.mark.parametrize(
    "opened",
    [
        lambda: _itself(None),
        lambda: _itself(IterativeExecutor()),
        lambda: closing(FuturesExecutor(2)),
        lambda: ThreadPoolExecutor(2),
        _dask,
    ],
    ids=["none", "iterative", "futures", "pool", "dask"],
)
def test_any_executor_gives_the_same_records(tmp_path: Path, opened: Callable[[], Any]) -> None:
    paths = [write_file(tmp_path / f"{i}.root", range(i + 1)) for i in range(4)]
    (tmp_path / "bad.root").write_text("no")
    with opened() as executor:
        records = list(inspect_files([*paths, tmp_path / "bad.root"], executor=executor))
    found = {Path(one.path).name: (one.n_events, one.n_branches) for one in records}
    expected = {f"{i}.root": (i + 1, 5) for i in range(4)}
    assert found == expected | {"bad.root": (None, 0)}
    assert len({id(one.branches) for one in records if not one.error}) == 1  # one copy of names


def test_a_record_comes_before_the_next_file_is_opened(tmp_path: Path) -> None:
    paths = [write_file(tmp_path / f"{i}.root", range(3)) for i in range(2)]
    records = inspect_files(paths)
    assert next(records).error is None
    paths[1].unlink()
    assert "no such file" in (next(records).error or "").lower()


def test_a_file_that_hangs_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs.root")
    paths = [tmp_path / "hangs.root", write_file(tmp_path / "a.root", range(3))]
    hangs, fine = inspect_files(paths, timeout_s=2.0)
    assert (hangs.error_type, hangs.error) == ("TimeoutError", "no answer within 2 s")
    assert fine.n_events == 3
    os.close(os.open(tmp_path / "hangs.root", os.O_RDWR | os.O_NONBLOCK))  # lets the reader go on


def test_a_sample_is_chosen_by_its_seed_for_each_process() -> None:
    def names(seed: int) -> list[str]:
        lfns = [tuple(f"/nowhere/{key}{i}.root" for i in range(20)) for key in "ab"]
        datasets = [
            DatasetFiles(key, "p", None, False, 1.0, one)
            for key, one in zip("ab", lfns, strict=True)
        ]
        other = DatasetFiles("c", "q", None, False, 1.0, ("/nowhere/c.root",))
        fileset = Fileset((*datasets, other))
        return [r.path for r in inspect_files(fileset, max_files_per_process=4, seed=seed)]

    assert names(1) == names(1)
    assert names(1) != names(2)
    assert len(names(1)) == 5  # four of the two datasets of p, one of q


def test_listings_directories_and_duplicates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_file(tmp_path / "a.root", range(2))
    write_file(tmp_path / "b.root", range(3))
    listing = tmp_path / "list.txt"
    listing.write_text("\n# a comment\na.root\n\n  b.root  \na.root")
    assert [one.n_events for one in inspect_files(listing)] == [2, 3]
    assert "1 files are named twice" in caplog.text
    assert [one.n_events for one in inspect_files(tmp_path)] == [2, 3]
    assert [one.dataset for one in inspect_files({"x": [listing]})] == ["x", "x"]


def test_a_directory_url_and_an_empty_directory_are_not_files(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    urls = ["root://127.0.0.1:1//store/mc/", tmp_path / "empty"]
    for record in inspect_files(urls):
        assert "this is a directory, not a file" in (record.error or "")


def test_no_file_at_all_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no file to inspect"):
        inspect_files([])


def test_files_behind_xrootd_give_the_same_numbers(xrootd_server: Any, tmp_path: Path) -> None:
    folder = xrootd_server.directory / "store" / "inspector"
    write_file(folder / "a.root", range(50))
    url = f"{xrootd_server.redirector}/store/inspector/"
    record, missing = inspect_files([f"{url}a.root", f"{url}no.root"], timeout_s=100)
    (local,) = inspect_files(folder / "a.root")
    assert record.error is None
    assert (record.n_events, record.size_bytes, record.uuid) == (50, local.size_bytes, local.uuid)
    assert record.compressed_bytes.tolist() == local.compressed_bytes.tolist()
    assert missing.error is not None


def test_collections_are_named_as_in_nanoaod() -> None:
    names = frozenset({"nJet", "Jet_pt", "run", "HLT_Mu50", "nLHEPdfWeight", "LHEPdfWeight"})
    found = {name: collection_of(name, names) for name in names}
    assert found == {
        "nJet": "Jet", "Jet_pt": "Jet", "run": "event", "HLT_Mu50": "HLT",
        "nLHEPdfWeight": "LHEPdfWeight", "LHEPdfWeight": "LHEPdfWeight",
    }  # fmt: skip
