"""A file that differs in anything from what was meant is noticed."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from intccms.errors import SkimWriteError
from intccms.skimming.formats import Checksums, verify_file, write_file

FORMATS = ["parquet", "ttree", "rntuple"]


def columns(last: float = 3.0, kind: type = np.float32) -> dict[str, ak.Array]:
    values = np.array([1.0, np.nan, last], dtype=kind)
    return {
        "run": ak.Array(np.arange(2, dtype=np.uint32)),
        "nMuon": ak.Array(np.array([1, 2], np.int32)),
        "Muon_pt": ak.unflatten(values, [1, 2]),
    }


def checksums(*batches: dict[str, ak.Array]) -> Checksums:
    made = Checksums()
    list(made.through(batches))
    return made


def written(path: Path, file_format: str, **changes: object) -> Path:
    write_file(path, file_format, [columns(**changes)], tree="Events", record=[], options={})
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_meant_passes(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "a", kind)
    verify_file(path, kind, "Events", rows=2, meant=checksums(columns()))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("changes", [{"last": 3.5}, {"kind": np.float64}], ids=["value", "type"])
def test_a_difference_names_the_column(
    tmp_path: Path, kind: str, changes: dict[str, object]
) -> None:
    path = written(tmp_path / "a", kind, **changes)
    with pytest.raises(SkimWriteError, match="does not hold the values of Muon_pt"):
        verify_file(path, kind, "Events", rows=2, meant=checksums(columns()))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_column_too_few_is_noticed(tmp_path: Path, kind: str) -> None:
    more = columns() | {"zero": ak.Array(np.zeros(2))}
    path = written(tmp_path / "a", kind)
    with pytest.raises(SkimWriteError, match="values of zero"):
        verify_file(path, kind, "Events", rows=2, meant=checksums(more))


def test_batches_do_not_show() -> None:
    halves = [{name: values[i : i + 1] for name, values in columns().items()} for i in (0, 1)]
    assert checksums(*halves).digests() == checksums(columns()).digests()


def test_list_lengths_count() -> None:
    moved = columns() | {"Muon_pt": ak.unflatten(ak.flatten(columns()["Muon_pt"]), [2, 1])}
    assert checksums(moved).digests() != checksums(columns()).digests()
