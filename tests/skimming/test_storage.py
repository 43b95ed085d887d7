"""A file appears under its name when it is complete, or not at all."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from intccms.errors import SkimWriteError
from intccms.skimming.store import Storage


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    place = str(tmp_path / "skims") if request.param == "local" else f"memory://{tmp_path.name}"
    return Storage(place)


def test_what_was_written_is_read_listed_and_removed(storage: Storage) -> None:
    storage.write("a/b.json", b"one")
    storage.write("a/b.json", b"more")
    assert storage.read("a/b.json") == b"more"
    assert storage.sizes("a") == {"a/b.json": 4}
    assert storage.size("a/b.json") == 4
    storage.remove("a/b.json")
    storage.remove("a/b.json")
    assert storage.read("a/b.json") is None
    assert storage.size("a/b.json") is None
    assert storage.sizes("nothing") == {}


def write_and_fail(storage: Storage) -> None:
    with storage.draft("a") as draft:
        draft.write_bytes(b"new")
        raise ValueError("broken")


def test_a_draft_that_fails_leaves_the_old_file(storage: Storage) -> None:
    storage.write("a", b"old")
    with pytest.raises(SkimWriteError, match="ValueError: broken"):
        write_and_fail(storage)
    assert storage.read("a") == b"old"
    assert storage.sizes("") == {"a": 3}


def test_a_draft_is_not_under_its_name_before_it_is_complete(storage: Storage) -> None:
    with storage.draft("a/b") as draft:
        draft.write_bytes(b"new")
        assert storage.read("a/b") is None
    assert storage.read("a/b") == b"new"


def test_a_local_copy_has_the_content(storage: Storage) -> None:
    storage.write("a/b.root", b"content")
    with storage.local_copy("a/b.root") as copy:
        assert copy.read_bytes() == b"content"
        assert copy.suffix == ".root"


def test_no_message_shows_a_secret(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path), hidden=["hush"])
    with pytest.raises(SkimWriteError, match=r"RuntimeError: key=\*\*\*$"), storage.draft("a"):
        raise RuntimeError("key=hush")


def fail_twice() -> None:
    try:
        raise OSError("disk")
    finally:
        raise RuntimeError("closed twice")


def test_the_systems_word_is_found_behind_the_librarys(tmp_path: Path) -> None:
    with pytest.raises(SkimWriteError, match="OSError: disk"), Storage(str(tmp_path)).draft("a"):
        fail_twice()


def test_any_file_system_of_fsspec_will_do(tmp_path: Path) -> None:
    Storage(f"file://{tmp_path}/x").write("a", b"1")
    assert fsspec.open(f"{tmp_path}/x/a").open().read() == b"1"
