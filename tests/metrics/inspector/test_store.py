"""Records on disk: nothing is opened twice."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from intccms.datasets import DatasetFiles, Fileset, metadata
from intccms.execution.executors import IterativeExecutor
from intccms.metrics.inspector import inspect_files
from intccms.metrics.inspector.files import RecordStore, read_records, write_records
from tests.metrics.inspector.small import write_file


def spoil(path: Path) -> None:
    """Make a file unreadable, and leave its size and time as they were."""
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def fileset(*paths: Path, is_data: bool = False) -> Fileset:
    lfns = tuple(str(path) for path in paths)
    return Fileset((DatasetFiles("x", "x", None, is_data, 1.0, lfns),))


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "bad.root").write_text("no")
    files = [write_file(tmp_path / f"{i}.root", range(i)) for i in range(3)]
    records = list(inspect_files([*files, tmp_path / "bad.root"]))
    write_records(tmp_path / "t" / "files.parquet", records)
    for one, other in zip(records, read_records(tmp_path / "t" / "files.parquet"), strict=True):
        for name in (field.name for field in fields(one)):
            before, after = getattr(one, name), getattr(other, name)
            if isinstance(before, np.ndarray):
                assert before.dtype == after.dtype
                assert before.tolist() == after.tolist()
            else:
                assert before == after, name


def test_the_table_has_a_row_per_file_for_any_reader(tmp_path: Path) -> None:
    write_records(tmp_path / "t.parquet", inspect_files(write_file(tmp_path / "a.root", range(3))))
    table = pq.read_table(tmp_path / "t.parquet")
    assert table["n_events"].to_pylist() == [3]
    assert len(table["branches"][0]) == len(table["compressed_bytes"][0]) == 5


def test_neither_inspecting_nor_counting_opens_a_known_file_again(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.root", range(3))
    store = RecordStore(tmp_path / "metadata")
    store.add(inspect_files(fileset(path)))
    store.save()
    spoil(path)
    again = RecordStore(tmp_path / "metadata")
    (record,) = inspect_files(fileset(path), store=again)
    assert (record.error, record.n_events) == (None, 3)
    known = again.counts(fileset(path))
    seen: list[object] = []
    counted = metadata.collect(
        fileset(path), IterativeExecutor(), chunk_size=2, known=known, on_file=seen.append
    )
    assert [len(item) for item in counted.work_items] == [2, 1]
    assert (counted.files[0].runs_sumw, len(seen)) == (6.0, 1)


def test_a_file_that_has_changed_is_opened_again(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.root", range(3))
    store = RecordStore(tmp_path)
    store.add(inspect_files(path))
    write_file(path, range(50))
    (record,) = inspect_files(path, store=store)
    assert record.n_events == 50


def test_a_file_that_failed_or_is_gone_is_looked_for_again(tmp_path: Path) -> None:
    bad, gone = tmp_path / "bad.root", write_file(tmp_path / "gone.root", range(3))
    bad.write_text("no")
    store = RecordStore(tmp_path)
    store.add(inspect_files([bad, gone]))
    write_file(bad, range(4))
    gone.unlink()
    first, second = inspect_files([bad, gone], store=store)
    assert first.n_events == 4
    assert second.error is not None


def test_data_need_their_sections_which_simulation_has_not(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.root", range(3))
    store = RecordStore(tmp_path)
    store.add(inspect_files(fileset(path)))
    assert store.counts(fileset(path, is_data=True)) == {}


def test_another_redirector_changes_nothing_but_where_a_file_is_opened(tmp_path: Path) -> None:
    (record,) = inspect_files(write_file(tmp_path / "a.root", range(3)))
    store = RecordStore(tmp_path)
    from dataclasses import replace

    remote = replace(record, path="/store/a.root", pfn="root://old//store/a.root")
    store.add([remote])
    files = DatasetFiles("x", "x", None, False, 1.0, ("/store/a.root",), ("root://new/",))
    (count,) = store.counts(Fileset((files,))).values()
    assert (count.pfn, count.n_events) == ("root://new//store/a.root", 3)


def test_a_table_that_cannot_be_read_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "files.parquet").write_text("no")
    store = RecordStore(tmp_path)
    assert "not used" in caplog.text
    assert store.counts(fileset(tmp_path / "a.root")) == {}
