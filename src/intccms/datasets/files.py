"""What a file is, by its size and some of its bytes, and which replica of it is tried first.

A uuid says which file somebody wrote; it stays the same when a file is rewritten in place. The
digest of a file changes then, and stays when the file is copied, touched or read elsewhere. Servers
that failed lately are asked last; one that takes no connection is not asked until it does.
"""

from __future__ import annotations

import hashlib
import os
import queue
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from fsspec.core import get_filesystem_class, url_to_fs
from fsspec.spec import AbstractBufferedFile

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


def stamp(pfn: str) -> Stamp:
    """Ask the place of a file for its size and version.

    Raises
    ------
    OSError
        If there is no such file, or the server does not answer.
    """
    if "://" not in pfn:
        status = Path(pfn).stat()
        return Stamp(status.st_size, str(status.st_mtime_ns))
    bound_waiting(pfn)
    filesystem, path = url_to_fs(pfn)
    filesystem.invalidate_cache()
    info = filesystem.info(path)
    version = next((info[name] for name in VERSIONS if info.get(name) is not None), "")
    return Stamp(int(info["size"]), str(version))


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
    """Read ranges of bytes of an open file; of one on a server as they are now, and no more."""
    if isinstance(file, AbstractBufferedFile):  # it would read megabytes ahead, and keep them
        return _blocks_at(file.fs, file.path, ranges)
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
    return digest_of_blocks(size_bytes, partial(_blocks_at, filesystem, path))


def _blocks_at(filesystem: Any, path: str, ranges: Sequence[Range]) -> list[bytes]:
    starts, stops = map(list, zip(*ranges, strict=True))
    return list(filesystem.cat_ranges([path] * len(ranges), starts, stops, on_error="raise"))


def digest_of_source(source: Any, size_bytes: int | None = None) -> str:
    """Digest a file that uproot has open, from its ``source``."""

    def read(ranges: Sequence[Range]) -> list[bytes]:
        chunks = source.chunks(list(ranges), queue.Queue())
        return [bytes(chunk.raw_data) for chunk in chunks]

    return digest_of_blocks(source.num_bytes if size_bytes is None else size_bytes, read)


AVOIDED_S = 120.0
REMEMBERED_S = 3.0  # a refused connection; then another one is tried
CONNECT_S = 5.0
# Between the rounds through what could not be reached, before it is given up: servers restart.
PAUSES_S = (2.0, 5.0, 10.0, 20.0, 30.0)
PORTS = {"root": 1094, "roots": 1094, "xroot": 1094, "http": 80, "https": 443}

_failed_at: dict[str, float] = {}  # by server, in this process
_refused: dict[str, tuple[float, str]] = {}  # by server: when, and what came of it


class UnreachableError(OSError):
    """A server takes no connection."""


def best_first(pfns: tuple[str, ...]) -> tuple[str, ...]:
    """Order the places of a file: as they are given, but for servers that failed lately.

    Parameters
    ----------
    pfns
        Where the file can be opened. A server that stalls costs a timeout at each try, so that
        the chunks of a run must not all begin with it.
    """
    return tuple(sorted(pfns, key=has_failed))


def has_failed(pfn: str) -> bool:
    """Return whether the server of `pfn` failed lately."""
    failed_at = _failed_at.get(urlparse(pfn).netloc)
    return failed_at is not None and time.monotonic() - failed_at < AVOIDED_S


def note_failure(pfn: str, error: Exception) -> None:
    """Remember that the server of `pfn` failed, unless all it said is that it has no such file."""
    server = urlparse(pfn).netloc
    if server and isinstance(error, OSError) and "no such file" not in str(error).lower():
        _failed_at[server] = time.monotonic()


def check_reachable(pfn: str) -> None:
    """Let a server that failed lately be asked only if it takes connections.

    Opening a file of one that is gone takes up to a minute, and there may be thousands of them.

    Raises
    ------
    UnreachableError
        If it takes none; that is remembered for a moment.
    """
    if not has_failed(pfn):
        return
    server, now = urlparse(pfn).netloc, time.monotonic()
    when, text = _refused.get(server, (0.0, ""))
    if not text or now - when > REMEMBERED_S:
        text = refusal(pfn)
        _refused[server] = time.monotonic(), text
    if text:
        raise UnreachableError(text)


def refusal(pfn: str) -> str:
    """Connect to the server of `pfn`; say why that fails, or nothing.

    Servers whose address is not in the URL, or behind a proxy, are not looked at.
    """
    place = urlparse(pfn)
    if place.scheme not in PORTS or not place.hostname or place.scheme in getproxies():
        return ""
    port = place.port or PORTS[place.scheme]
    try:
        socket.create_connection((place.hostname, port), CONNECT_S).close()
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        return f"cannot connect to {place.scheme}://{place.hostname}:{port}: {why}"
    return ""


# Read by the client library when it is first imported; what the user has set stays.
WAITING = {
    "XRD_CONNECTIONRETRY": "1",  # tries to connect
    "XRD_CONNECTIONWINDOW": "15",  # seconds for one of them; default 120
    # Seconds in which a server that refused once is not asked again; default 1800. Our own pauses
    # are shorter: with any window all further tries fail without the server having been asked.
    "XRD_STREAMERRORWINDOW": "0",
    "XRD_REQUESTTIMEOUT": "120",  # seconds for one answer; default 1800
    "XRD_STREAMTIMEOUT": "60",  # seconds without a byte; default 60
}
SCHEMES = ("root://", "roots://", "xroot://")


def bound_waiting(pfn: str) -> None:
    """Bound the time that opening and reading `pfn` may hang, if it is a URL of XRootD or S3."""
    if pfn.startswith(SCHEMES):
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)
    # An S3 server that does not answer within 15 s is asked 125 times: five times by botocore, five
    # times that by s3fs, and five times all that. Eight are enough, as we try again ourselves.
    if pfn.startswith("s3://"):
        os.environ.setdefault("AWS_MAX_ATTEMPTS", "2")
        get_filesystem_class("s3").retries = 2


def drop_handle(pfn: str) -> None:
    """Let the next opening of `pfn` ask the server, if it is an XRootD URL.

    fsspec-xrootd keeps one handle of each file and hands it out as long as somebody asks, also
    after a failure, which that handle never recovers from.
    """
    if pfn.startswith(SCHEMES):
        with suppress(Exception):  # closing a broken handle fails too; it is gone all the same
            filesystem, path = url_to_fs(pfn)
            filesystem.invalidate_cache(path)
