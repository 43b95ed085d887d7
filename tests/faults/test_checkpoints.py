"""Stored results that are damaged are made again, and the log says so."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from intccms.analysis.runner import AnalysisResult
from tests.faults.analysis import make_config
from tests.faults.runs import analysed, bits, statuses


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def of_another_chunk(path: Path) -> None:
    others = (other for other in path.parent.parent.glob("*/*.partial") if other != path)
    path.write_bytes(next(others).read_bytes())


@pytest.fixture
def out(undisturbed: tuple[AnalysisResult, Path], tmp_path: Path) -> Path:
    """An output folder in which all results are."""
    return Path(shutil.copytree(undisturbed[1], tmp_path / "output"))


@pytest.mark.parametrize("damage", [flipped, truncated, emptied, of_another_chunk])
def test_a_damaged_result_is_made_again(
    local: Path,
    out: Path,
    expected: AnalysisResult,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    config = make_config(base_dir=str(local), output_dir=str(out))
    stored = sorted(out.glob("partials/*/*.partial"))
    damage(stored[0])
    with caplog.at_level(logging.WARNING):
        result = analysed(config)
    assert statuses(result) == {"cached": 1, "resumed": len(stored) - 1}
    assert bits(result) == bits(expected)
    assert [record.getMessage() for record in caplog.records if stored[0].name in record.message]
    assert statuses(analysed(config)) == {"resumed": len(stored)}


def test_a_result_that_was_not_written_to_its_end_is_not_looked_at(
    local: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(base_dir=str(local), output_dir=str(out))
    stored = sorted(out.glob("partials/*/*.partial"))
    half = stored[0].with_name(f".{stored[0].name}.0123.tmp")
    half.write_bytes(stored[0].read_bytes()[:100])
    stored[0].unlink()
    result = analysed(config)
    assert statuses(result) == {"cached": 1, "resumed": len(stored) - 1}
    assert caplog.records == []
    assert half.exists()  # somebody may still be writing it
