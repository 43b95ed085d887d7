"""What a file is: the same bytes anywhere are the same file, other bytes never are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.datasets.contents import FileCount, FileQuery, count, same_file, unchanged
from intccms.datasets.files import WHOLE_BYTES, digest_of_blocks, digest_of_place
from intccms.reading.source import open_source

Write = Callable[..., Path]


def counted(path: Path | str, known: FileCount | None = None) -> FileCount:
    answer = count(FileQuery("mc", "a", (str(path),), "Events", known=known, pause_s=0.0))
    assert isinstance(answer, FileCount)
    return answer


def touch(path: Path, seconds: float = 100.0) -> None:
    when = path.stat().st_mtime + seconds
    os.utime(path, (when, when))


@pytest.fixture
def known(tmp_path: Path, write_nano: Write) -> FileCount:
    return counted(write_nano(tmp_path / "a.root"))


def test_a_copy_a_link_and_a_touched_file_are_the_same(tmp_path: Path, known: FileCount) -> None:
    copy, link, path = tmp_path / "b.root", tmp_path / "c.root", Path(known.pfn)
    shutil.copyfile(path, copy)
    link.symlink_to(path)
    touch(path)
    for place in (str(path), str(copy), str(link), path.as_uri()):
        assert same_file(known, place) is not None
        assert counted(place).digest == known.digest


def test_a_file_that_was_updated_keeps_its_uuid_and_is_another(known: FileCount) -> None:
    with uproot.update(known.pfn) as file:
        file.mktree("More", {"x": "f4"})
    again = counted(known.pfn, known)
    assert (again.uuid, again.n_events) == (known.uuid, known.n_events)
    assert again.digest != known.digest
    assert same_file(known, known.pfn) is None


def test_one_byte_of_a_small_file_makes_another_one(known: FileCount) -> None:
    path = Path(known.pfn)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    touch(path)
    assert same_file(known, known.pfn) is None


def test_of_a_large_file_beginning_and_end_and_some_blocks_are_read() -> None:
    size_bytes = 10 * WHOLE_BYTES
    content = bytearray(np.random.default_rng(1).bytes(size_bytes))
    asked: list[tuple[int, int]] = []

    def digest() -> str:
        asked.clear()

        def read(ranges: object) -> list[bytes]:
            asked.extend(ranges)  # type: ignore[call-overload]
            return [bytes(content[start:stop]) for start, stop in asked]

        return digest_of_blocks(size_bytes, read)

    before = digest()
    assert sum(stop - start for start, stop in asked) < WHOLE_BYTES / 8
    assert (asked[0][0], asked[-1][1]) == (0, size_bytes)
    for place in (0, size_bytes - 1, asked[2][0]):
        content[place] ^= 1
        assert digest() != before
        content[place] ^= 1
    assert digest() == before


@pytest.mark.parametrize("name", ["a.root", "a.parquet"])
def test_every_way_to_read_a_file_gives_one_digest(
    tmp_path: Path, write_nano: Write, name: str
) -> None:
    path = tmp_path / name
    if path.suffix == ".root":
        write_nano(path)
    else:
        ak.to_parquet(ak.Array({"run": np.arange(10)}), path)
    digest = counted(path).digest
    assert digest_of_place(str(path)) == digest
    assert digest_of_place(path.as_uri()) == digest
    assert open_source(str(path), "Events").digest == digest


def test_what_is_known_of_a_file_that_is_gone_is_not_used(known: FileCount) -> None:
    Path(known.pfn).unlink()
    query = FileQuery("mc", "a", (known.pfn,), "Events", known=known, pause_s=0.0)
    assert unchanged(query) is None
    assert unchanged(query, if_gone=known) == known
    assert not isinstance(count(query), FileCount)


def test_a_server_that_cannot_be_asked_says_nothing_about_a_file(known: FileCount) -> None:
    pfn = "root://localhost:1//store/a.root"
    query = FileQuery("mc", "a", (pfn,), "Events", known=replace(known, pfn=pfn))
    found = unchanged(query)
    assert found is not None
    assert (found.pfn, found.n_events) == (pfn, known.n_events)
