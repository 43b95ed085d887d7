"""What a file is, wherever it is: its size and some of its bytes. Asks servers, reads few blocks.

A uuid says which file somebody wrote; it stays the same when a file is rewritten in place. The
digest of a file changes then, and stays when the file is copied, touched or read elsewhere.
"""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fsspec.core import url_to_fs

from intccms.datasets.replicas import bound_waiting, drop_handle

WHOLE_BYTES = 1 << 18  # smaller files count as a whole
BLOCK_BYTES = 1 << 12  # of larger ones: the first (header, directory), the last (keys) and some
N_BLOCKS = 6
DIGITS = 32  # of a digest
# What servers call the version of a file, the surest first.
VERSIONS = ("ETag", "Content-MD5", "Digest", "Last-Modified", "LastModified", "mtime")

Range = tuple[int, int]  # first byte, the one after the last


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the place of a file says of it without opening it.

    Parameters
    ----------
    size_bytes
        Its size.
    modified
        When it was changed, or the server's checksum; to be compared at the same place only.
        Empty where nobody says.
    """

    size_bytes: int
    modified: str


class Known(Protocol):
    """What was noted of a file when it was opened."""

    @property
    def pfn(self) -> str:
        """Where."""

    @property
    def size_bytes(self) -> int | None:
        """Its size; None if it was not noted."""

    @property
    def modified(self) -> str:
        """As in `Stamp`."""

    @property
    def digest(self) -> str:
        """As `digest_of_place` gives it; empty if it was not noted."""


def stamp(pfn: str) -> Stamp:
    """Ask the place of a file for its size and version.

    Raises
    ------
    OSError
        If there is no such file, or the server does not answer.
    """
    if "://" not in pfn:
        found = Path(pfn).stat()
        return Stamp(found.st_size, str(found.st_mtime_ns))
    bound_waiting(pfn)
    filesystem, path = url_to_fs(pfn)
    filesystem.invalidate_cache()
    info = filesystem.info(path)
    version = next((info[name] for name in VERSIONS if info.get(name) is not None), "")
    return Stamp(int(info["size"]), str(version))


def same_file(known: Known, pfn: str) -> Stamp | None:
    """Give the stamp of the file at `pfn` if it is the one that was opened before, else None.

    It is if size and version are those that the same place said then. Else its bytes decide: a
    file that was only touched, copied or found at another server is the same.

    Raises
    ------
    OSError
        If it cannot be looked at.
    """
    now = stamp(pfn)
    if now.size_bytes != known.size_bytes:
        return None
    if pfn == known.pfn and now.modified and now.modified == known.modified:
        return now
    return now if known.digest and digest_of_place(pfn, now.size_bytes) == known.digest else None


def digest_of_blocks(size_bytes: int, read: Callable[[Sequence[Range]], Sequence[bytes]]) -> str:
    """Digest the size and some blocks of a file.

    Parameters
    ----------
    size_bytes
        Of the whole file.
    read
        Gives ranges of bytes.
    """
    ranges: list[Range] = [(0, size_bytes)]
    if size_bytes > WHOLE_BYTES:
        last = size_bytes - BLOCK_BYTES
        starts = (last * i // (N_BLOCKS - 1) for i in range(N_BLOCKS))
        ranges = [(start, start + BLOCK_BYTES) for start in starts]
    digest = hashlib.sha256(str(size_bytes).encode())
    for block in read(ranges) if size_bytes else ():
        digest.update(block)
    return digest.hexdigest()[:DIGITS]


def blocks_of(file: Any, ranges: Sequence[Range]) -> list[bytes]:
    """Read ranges of bytes of an open file."""
    blocks: list[bytes] = []
    for start, stop in ranges:
        file.seek(start)
        blocks.append(file.read(stop - start))
    return blocks


def digest_of_place(pfn: str, size_bytes: int | None = None) -> str:
    """Digest the file at `pfn`, whatever its format.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    drop_handle(pfn)
    bound_waiting(pfn)
    filesystem, path = url_to_fs(pfn)
    size_bytes = stamp(pfn).size_bytes if size_bytes is None else size_bytes

    def read(ranges: Sequence[Range]) -> list[bytes]:
        starts, stops = map(list, zip(*ranges, strict=True))
        return list(filesystem.cat_ranges([path] * len(ranges), starts, stops, on_error="raise"))

    return digest_of_blocks(size_bytes, read)


def digest_of_source(source: Any, size_bytes: int | None = None) -> str:
    """Digest a file that uproot has open, from its ``source``."""

    def read(ranges: Sequence[Range]) -> list[bytes]:
        chunks = source.chunks(list(ranges), queue.Queue())
        return [bytes(chunk.raw_data) for chunk in chunks]

    return digest_of_blocks(source.num_bytes if size_bytes is None else size_bytes, read)
