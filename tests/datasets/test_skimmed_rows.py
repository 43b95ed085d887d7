"""Pieces of a skim: halved by rows, and files that are not what was written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from intccms.datasets.skimmed_rows import NOTHING, SkimmedRows, check_unchanged, halved

SUM = {"levels": [0], "sums": [[7.0]]}
WHOLE = {**NOTHING, "n_events": 100, "sumw": SUM, "sections": "1:1-3", "weights": "titles"}


def piece(path: str = "a", rows: tuple[int, int] = (10, 20), **more: object) -> SkimmedRows:
    return SkimmedRows((path,), "Events", rows, (100, 200), WHOLE, **more)


def test_what_is_known_of_all_events_goes_with_the_first_half() -> None:
    (first,), (rest,) = halved((piece(),))
    assert (first.rows, rest.rows) == ((10, 15), (15, 20))
    assert first.whole == WHOLE
    assert rest.whole == {**NOTHING, "sections": "", "weights": "titles"}
    assert (first.entries, rest.entries) == ((100, 200), (200, 200))


def test_several_pieces_are_shared_out() -> None:
    several = (piece("a"), piece("b"), piece("c"))
    assert halved(several) == [several[:1], several[1:]]


def test_one_row_cannot_be_halved() -> None:
    one = (piece(rows=(3, 4)),)
    assert halved(one) == [one]


def test_a_file_that_changed_is_told(tmp_path: Path) -> None:
    path, content = tmp_path / "part", b"0123456789"
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    known = piece(str(path), size_bytes=10, sha256=sha256, is_verified=True)
    check_unchanged(str(path), known, {})
    path.write_bytes(b"012345678x")
    with pytest.raises(ValueError, match="was changed after the skim was made"):
        check_unchanged(str(path), known, {})
    path.write_bytes(b"01234")
    with pytest.raises(ValueError, match="has 5 bytes, the manifest says 10"):
        check_unchanged(str(path), known, {})
    path.unlink()
    with pytest.raises(FileNotFoundError):
        check_unchanged(str(path), known, {})
