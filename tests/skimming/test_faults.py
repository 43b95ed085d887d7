"""Storage that is full, closed or tampered with: one clear line, nothing half-written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.errors import ConfigError, InputError, SkimWriteError
from intccms.skimming import SkimColumns, SkimPart, SkimStore
from intccms.skimming.store import SkimFiles, Storage
from tests.skimming.conftest import part, store_at, three_chunks

FORMATS = ["parquet", "ttree", "rntuple"]
EVERYTHING = SkimColumns()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def fill(store: SkimStore, events: Any, written: list[SkimPart]) -> None:
    for chunk in range(100):
        written.append(store.write(events, EVERYTHING, part(chunk)))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_leaves_nothing_behind(mounted: Any, events: Any, kind: str) -> None:
    disk = mounted("size=400k")
    store = store_at(disk, kind, to_kwargs={"compression": "none"})
    written: list[SkimPart] = []
    with pytest.raises(SkimWriteError, match=r"No space left on device") as failed:
        fill(store, events, written)
    assert "\n" not in str(failed.value)
    assert str(disk) in str(failed.value)
    assert files_in(disk) == sorted(one.path for one in written)
    assert written
    assert all(store.holds(one) for one in written)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_place_that_lets_nobody_write_is_told(mounted: Any, kept: Any, kind: str) -> None:
    store = store_at(mounted("ro"), kind)
    with pytest.raises(InputError, match="Read-only file system"):
        store.probe()
    with pytest.raises(SkimWriteError, match="Read-only file system"):
        store.write(kept, EVERYTHING, part())


def test_a_place_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Not a directory"):
        store_at(tmp_path / "file/skims").probe()


def test_a_scheme_that_nobody_knows_is_told() -> None:
    with pytest.raises(InputError, match="nosuch://"):
        store_at("nosuch://bucket/skims").probe()


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("parquet", "compresion", "compression"),
        ("ttree", "compresion", "compression"),
        ("rntuple", "compression_levels", "compression_level"),
    ],
)
def test_an_option_that_the_writer_does_not_know_is_told(
    tmp_path: Path, kind: str, name: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as wrong:
        store_at(tmp_path, kind, to_kwargs={name: 1}).check()
    assert f"no option {name!r}; did you mean {hint!r}?" in str(wrong.value)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_value_that_the_writer_refuses_is_told(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=r"to_kwargs: the writer of .*nothing_like_it") as wrong:
        store_at(tmp_path, kind, to_kwargs={"compression": "nothing_like_it"}).check()
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize("kind", FORMATS)
def test_options_that_are_right_pass(tmp_path: Path, kind: str) -> None:
    store_at(tmp_path, kind, to_kwargs={"compression": "zstd", "compression_level": 3}).check()


def test_an_option_that_the_reader_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'storage_options'"):
        store_at(tmp_path, from_kwargs={"storage_option": {}}).check()


def test_a_folder_with_the_name_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name of a file"):
        store_at(tmp_path / "skim.root", "parquet").check()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_part_that_was_removed_or_cut_is_noticed(tmp_path: Path, events: Any, kind: str) -> None:
    store = store_at(tmp_path, kind)
    first, _, last = three_chunks(store, events)
    (tmp_path / first.path).unlink()
    content = (tmp_path / last.path).read_bytes()
    (tmp_path / last.path).write_bytes(content[: len(content) // 2])
    assert not store.holds(first)
    assert not store.holds(last)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_made_again_leaves_out_a_part_that_was_cut(
    tmp_path: Path, events: Any, kind: str
) -> None:
    store = store_at(tmp_path, kind)
    first, empty, last = store.save(three_chunks(store, events)).parts
    (tmp_path / "ttbar_2017/manifest.json").unlink()
    (tmp_path / first.path).write_bytes((tmp_path / first.path).read_bytes()[:200])
    again = store.load("ttbar_2017")
    assert again.parts == (empty, last)
    assert [gap.start for gap in again.gaps(["a", "b", first.source])[2:]] == [0]


def test_a_file_of_another_format_under_the_name_is_left_out(tmp_path: Path, events: Any) -> None:
    store = store_at(tmp_path)
    first = three_chunks(store, events)[0]
    other = store_at(tmp_path / "other", "ttree").write(events, EVERYTHING, part())
    (tmp_path / first.path).write_bytes((tmp_path / "other" / other.path).read_bytes())
    assert first not in store.load("ttbar_2017").parts
    assert len(store.load("ttbar_2017").parts) == 2


def test_a_damaged_manifest_is_made_again(
    tmp_path: Path, events: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(tmp_path)
    manifest = store.save(three_chunks(store, events))
    path = tmp_path / "ttbar_2017/manifest.json"
    path.write_text(path.read_text()[:300])
    assert store.load("ttbar_2017") == manifest
    assert "manifest.json is damaged" in caplog.text


class Forgetful(SkimFiles):
    """Writes one event less than it was given."""

    def write(self, parts: Any, batches: Any) -> Any:
        return super().write(parts, ({k: v[:-1] for k, v in b.items()} for b in batches))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_with_too_few_entries_never_gets_its_name(tmp_path: Path, kind: str) -> None:
    files = Forgetful(Storage(str(tmp_path)), kind, "Events", "count", {})
    columns = {"run": ak.Array(np.arange(5))}
    record = part(path="a/part_0.root", rows=(0, 5))
    with pytest.raises(SkimWriteError, match="holds 4 entries after 5 were written"):
        files.write([record], [columns])
    assert files_in(tmp_path) == []
