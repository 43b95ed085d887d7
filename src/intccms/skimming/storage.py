"""Files in a folder or at any fsspec URL, which appear under their names only when complete.

Local files are renamed, objects uploaded as a whole, XRootD's copied aside and then renamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec.core import url_to_fs

from intccms.datasets.replicas import bound_waiting
from intccms.errors import SkimWriteError

__all__ = ["UNFINISHED", "Storage"]

UNFINISHED = ".tmp"
# A whole object appears at once or not at all.
OBJECT_STORES = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}
BLOCK = 1 << 22


class Storage:
    """Files below one place.

    Parameters
    ----------
    root
        Folder or URL.
    options
        Of the file system, resolved.
    hidden
        Texts that no message may show.
    """

    def __init__(
        self, root: str, options: Mapping[str, Any] | None = None, *, hidden: Iterable[str] = ()
    ) -> None:
        bound_waiting(root)
        self.root = root.rstrip("/")
        self._hidden = tuple(hidden)
        with _explained("use", self.root, self._hidden):
            self.fs, self._base = url_to_fs(self.root, **(options or {}))
        protocols = (self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol
        self.is_local = "file" in protocols
        self._is_object_store = bool(OBJECT_STORES & set(protocols))

    def url(self, path: str) -> str:
        """Say where a file can be opened."""
        return f"{self.root}/{path}"

    @contextmanager
    def draft(self, path: str) -> Iterator[Path]:
        """Give the name of a local file that becomes `path` when the block ends well.

        Raises
        ------
        SkimWriteError
            If it cannot be written or put there; then nothing is left.
        """
        with _explained("write", self.url(path), self._hidden):
            if not self.is_local:
                with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
                    draft = Path(folder) / path.rpartition("/")[2]
                    yield draft
                    _upload(self.fs, draft, self._at(path), at_once=self._is_object_store)
                return
            target = Path(self._at(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(_aside(target.name))
            try:
                yield draft
                _rename(draft, target)
            finally:
                draft.unlink(missing_ok=True)

    @contextmanager
    def local_copy(self, path: str) -> Iterator[Path]:
        """Give a file as a local one: itself, or a copy for as long as the block lasts."""
        if self.is_local:
            yield Path(self._at(path))
            return
        with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
            copy = Path(folder) / path.rpartition("/")[2]
            with self.fs.open(self._at(path), "rb") as source, copy.open("wb") as file:
                shutil.copyfileobj(source, file, BLOCK)
            yield copy

    def read(self, path: str) -> bytes | None:
        """Give the content of a file; None if there is none."""
        with _explained("read", self.url(path), self._hidden):
            if not self.fs.exists(self._at(path)):
                return None
            with self.fs.open(self._at(path), "rb") as file:
                return bytes(file.read())

    def write(self, path: str, content: bytes) -> None:
        """Replace a small file, all at once."""
        with self.draft(path) as draft:
            draft.write_bytes(content)

    def sha256(self, path: str) -> str:
        """Give the checksum of a file as it is read from there."""
        digest = hashlib.sha256()
        with self.fs.open(self._at(path), "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def sizes(self, folder: str) -> dict[str, int]:
        """List all files below a folder, with their sizes in bytes."""
        with _explained("list", self.url(folder), self._hidden):
            self.fs.invalidate_cache()
            if not self.fs.exists(self._at(folder)):
                return {}
            found = self.fs.find(self._at(folder), detail=True)
        n_base = len(self._at(""))
        return {name[n_base:]: int(info["size"] or 0) for name, info in found.items()}

    def size(self, path: str) -> int | None:
        """Give the size of a file in bytes; None: there is none."""
        with _explained("look at", self.url(path), self._hidden):
            self.fs.invalidate_cache()
            there = self.fs.exists(self._at(path))
            return int(self.fs.info(self._at(path))["size"]) if there else None

    def remove(self, path: str) -> None:
        """Remove a file; none there is fine."""
        with _explained("remove", self.url(path), self._hidden):
            if self.fs.exists(self._at(path)):
                self.fs.rm_file(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{path}"


def _upload(fs: Any, draft: Path, target: str, *, at_once: bool) -> None:
    """Copy a finished file to a remote one; `at_once`: a file system that shows no halves."""
    if at_once:
        fs.put_file(str(draft), target)
    else:
        folder, _, name = target.rpartition("/")
        fs.makedirs(folder, exist_ok=True)
        aside = f"{folder}/{_aside(name)}"
        try:
            with draft.open("rb") as source, fs.open(aside, "wb") as file:
                shutil.copyfileobj(source, file, BLOCK)
            _check_size(fs, draft, aside)
            fs.mv(aside, target)
        except BaseException:
            _forget(fs, aside)
            raise
    _check_size(fs, draft, target)


def _check_size(fs: Any, draft: Path, target: str) -> None:
    fs.invalidate_cache(target.rpartition("/")[0])
    there, here = int(fs.info(target)["size"]), draft.stat().st_size
    if there != here:
        _forget(fs, target)
        raise OSError(f"{there} of {here} bytes arrived")


def _forget(fs: Any, target: str) -> None:
    try:
        fs.rm_file(target)
    except Exception:  # noqa: BLE001 - the first error tells; this one would hide it
        return


@contextmanager
def _explained(verb: str, url: str, hidden: tuple[str, ...]) -> Iterator[None]:
    """Turn what any storage library raises into one clear line without secrets."""
    try:
        yield
    except (SkimWriteError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as exc:
        reason = _reason(exc)
        text = " ".join(str(reason).split()) or "no reason given"
        for secret in hidden:
            text = text.replace(secret, "***")
        raise SkimWriteError(f"cannot {verb} {url}: {type(reason).__name__}: {text}") from exc


def _reason(exc: BaseException) -> BaseException:
    """Find what the system said, which a library may have tripped over while it cleaned up."""
    found: BaseException | None = exc
    while found is not None:
        if isinstance(found, OSError):
            return found
        found = found.__cause__ or found.__context__
    return exc


def _aside(name: str) -> str:
    return f".{name}.{uuid4().hex}{UNFINISHED}"


def _rename(draft: Path, target: Path) -> None:
    """Give a complete file its name so that it survives a crash of the machine too."""
    _sync(draft)
    draft.replace(target)
    for folder in (target.parent, target.parent.parent):
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
