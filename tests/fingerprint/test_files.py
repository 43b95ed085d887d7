"""The digest of a file is that of what stands in it now."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from intccms.fingerprint import digest as digest_module
from intccms.fingerprint.digest import content_digest


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def with_its_old_time(path: Path, text: str) -> None:
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_a_rename(path: Path, text: str) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    with_its_old_time(aside, text)
    aside.replace(path)


@pytest.mark.parametrize("age_ns", [0, digest_module.SETTLED_NS], ids=["settled", "young"])
@pytest.mark.parametrize("edit", [in_place, with_its_old_time, by_a_rename])
def test_an_edit_is_seen_however_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[Path, str], None], age_ns: int
) -> None:
    monkeypatch.setattr(digest_module, "SETTLED_NS", age_ns)
    path = tmp_path / "one.json"
    path.write_text("0")
    for text in ("1", "2", "3", "33", "3"):  # mostly of the same size
        edit(path, text)
        assert content_digest(path) == hashlib.sha256(text.encode()).hexdigest()
        assert content_digest(str(path)) == content_digest(path)


def test_a_file_that_has_not_changed_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_module, "SETTLED_NS", -1)
    path = tmp_path / "one.json"
    path.write_text("1")
    digest, opened = content_digest(path), Path.open
    reads: list[Path] = []
    monkeypatch.setattr(Path, "open", lambda self, *how: reads.append(self) or opened(self, *how))
    assert [content_digest(path) for _ in range(5)] == [digest] * 5
    assert not reads


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text("1")
    content_digest(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        content_digest(path)
