"""Files in a folder or at any fsspec URL, which appear under their names only when complete.

Local files are renamed, objects uploaded as a whole, XRootD's copied aside and then renamed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from intccms.datasets.replicas import bound_waiting
from intccms.errors import SkimWriteError
from intccms.storage import BLOCK, draft, file_digest, is_local, sizes_below


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
        with (
            _explained("write", self.url(path), self._hidden),
            draft(self.fs, self._at(path)) as file,
        ):
            yield file

    @contextmanager
    def local_copy(self, path: str) -> Iterator[Path]:
        """Give a file as a local one: itself, or a copy for as long as the block lasts."""
        if is_local(self.fs):
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
        with self.draft(path) as file:
            file.write_bytes(content)

    def sha256(self, path: str) -> str:
        """Give the checksum of a file as it is read from there."""
        return file_digest(self.fs, self._at(path))

    def sizes(self, folder: str) -> dict[str, int]:
        """List all files below a folder, with their sizes in bytes."""
        with _explained("list", self.url(folder), self._hidden):
            files = sizes_below(self.fs, self._at(folder))
        n_base = len(self._at(""))
        return {name[n_base:]: size for name, size in files.items()}

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
