from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.feather
import pytest

from intccms.reading.columns import ColumnCache, KeptColumns

LARGE = 10**9


def kept(n: int = 5, seed: int = 0) -> KeptColumns:
    random = np.random.default_rng(seed)
    flat = random.random(n).astype(np.float32)
    flat[:1] = np.nan
    jagged = ak.unflatten(random.integers(0, 9, 3 * n).astype(np.uint8), np.full(n, 3))
    columns = {
        "MET_pt": ak.Array(flat),
        "HLT_Mu50": ak.Array(flat > 0.5),
        "Jet_nMuons": jagged,
        "none": jagged[:0],
    }
    whole = {"n_events": 9, "sumw": {"levels": [1], "sums": [0.1]}, "sections": None}
    layouts = {name: column.layout for name, column in columns.items()}
    return KeptColumns(whole, "abc", np.arange(0, 2 * n, 2), layouts)


def same(one: KeptColumns | None, other: KeptColumns) -> bool:
    return (
        one is not None
        and (one.whole, one.layout) == (other.whole, other.layout)
        and np.array_equal(one.index, other.index)
        and all(
            ak.array_equal(one.columns[name], column, equal_nan=True, dtype_exact=True)
            for name, column in other.columns.items()
        )
    )


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("columns/*/*.feather"))


@pytest.fixture
def cache(tmp_path: Path) -> ColumnCache:
    return ColumnCache(str(tmp_path), LARGE)


def test_what_is_kept_is_found_bit_for_bit(cache: ColumnCache) -> None:
    cache.save("k", kept())
    assert same(cache.load("k"), kept())


def test_functions_may_write_to_what_is_found(cache: ColumnCache) -> None:
    cache.save("k", kept())
    found = cache.load("k")
    assert found is not None
    np.asarray(ak.Array(found.columns["MET_pt"]))[0] = 1


def test_what_is_not_there_is_not_found(cache: ColumnCache, caplog: Any) -> None:
    assert cache.load("k") is None
    assert caplog.text == ""


def test_any_arrow_tool_reads_the_files(cache: ColumnCache, tmp_path: Path) -> None:
    cache.save("k", kept())
    table = pyarrow.feather.read_table(files(tmp_path)[0])
    assert "MET_pt/node0-data" in table.column_names


@pytest.mark.parametrize("position", [0.0, 0.2, 0.4, 0.6, 0.8, 0.99])
def test_a_damaged_file_is_left_out_and_written_again(
    cache: ColumnCache, tmp_path: Path, caplog: pytest.LogCaptureFixture, position: float
) -> None:
    cache.save("k", kept(500))
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    for i in range(8):
        data[int(position * len(data)) + i] ^= 0xFF
    path.write_bytes(data)
    found = cache.load("k")
    assert found is None or same(found, kept(500))  # padding may be damaged
    if found is None:
        assert "left out and made again" in caplog.text
    cache.save("k", kept(500))
    assert same(cache.load("k"), kept(500))


@pytest.mark.parametrize("size", [0, 10, 500])
def test_a_file_that_was_cut_off_is_left_out(cache: ColumnCache, tmp_path: Path, size: int) -> None:
    cache.save("k", kept(500))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    assert cache.load("k") is None


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = ColumnCache(str(tmp_path), LARGE)
    for i, key in enumerate("abcd"):
        cache.save(key, kept(2000, i))
        (path,) = tmp_path.glob(f"columns/*/{key}.feather")
        os.utime(path, (1000 + i, 1000 + i))
    cache.load("a")  # now it is the one that was used last
    size = sum(path.stat().st_size for path in files(tmp_path))
    ColumnCache(str(tmp_path), int(0.6 * size)).prune()
    assert [path.stem for path in files(tmp_path)] == ["a", "d"]


def test_the_bound_holds_while_workers_write(tmp_path: Path) -> None:
    cache = ColumnCache(str(tmp_path), LARGE)
    cache.save("first", kept(2000))
    size = files(tmp_path)[0].stat().st_size
    bounded = ColumnCache(str(tmp_path), 3 * size)
    for i in range(10):
        bounded.save(f"k{i}", kept(2000, i))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 3 * size
    assert bounded.load("k9") is not None


def test_workers_may_write_read_and_remove_at_the_same_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    size = 6 * len(kept(300).columns["Jet_nMuons"]) * 3
    failures: list[BaseException] = []
    until = time.monotonic() + 2

    def work(worker: int) -> None:
        cache = ColumnCache(str(tmp_path), size)
        try:
            for i in range(10_000):
                if time.monotonic() > until:
                    return
                key = f"k{(i + worker) % 7}"
                cache.save(key, kept(300, (i + worker) % 7))
                found = cache.load(f"k{i % 7}")
                assert found is None or same(found, kept(300, i % 7))
        except BaseException as exc:
            failures.append(exc)
            raise

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert caplog.text == ""


def test_branches_are_kept_once_for_files_of_one_layout(cache: ColumnCache) -> None:
    assert cache.base_form("abc") is None
    cache.save_base_form("abc", lambda: {"fields": ["a"]})
    cache.save_base_form("abc", lambda: pytest.fail("it is there"))
    assert cache.base_form("abc") == {"fields": ["a"]}


def test_damaged_branches_are_not_there(cache: ColumnCache, tmp_path: Path) -> None:
    cache.save_base_form("abc", lambda: {"fields": ["a"]})
    (path,) = tmp_path.glob("columns/layouts/*")
    path.write_bytes(path.read_bytes()[:-9])
    assert cache.base_form("abc") is None


def test_columns_can_be_kept_at_a_url(tmp_path: Path) -> None:
    cache = ColumnCache("memory://test_columns", LARGE)
    cache.save("k", kept())
    assert same(cache.load("k"), kept())
    assert ColumnCache("memory://test_columns", 1).prune() == 1
    assert cache.load("k") is None


def test_the_key_depends_on_each_of_its_parts() -> None:
    parts = {"file": "u", "entries": [0, 5]}
    keys = {ColumnCache.key_of(parts | more) for more in ({}, {"file": "v"}, {"entries": [0, 6]})}
    assert len(keys) == 3
