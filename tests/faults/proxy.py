"""A plain TCP proxy that stalls, cuts and truncates on command."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

__all__ = ["Proxy"]

BLOCK = 1 << 16
# Of the XRootD protocol: https://xrootd.slac.stanford.edu/doc/dev56/XRdv520.htm
HANDSHAKE, HEADER = 20, 24  # bytes: what opens a connection, what each request begins with
OPEN, ERROR, IO_ERROR = 3010, 4003, 3007


@dataclass(eq=False)
class _Link:
    """One connection of a client, and its way on to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None

    def abort(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                writer.transport.abort()


@dataclass
class Proxy:
    """Listens on a port of this machine and hands everything on to another one.

    It runs in a thread of its own. What it was told to do lasts until it is told otherwise, but
    for `cut` and `truncate`, which happen once.

    Parameters
    ----------
    target
        Port of the server behind.
    """

    target: int
    port: int = 0
    n_connections: int = 0
    _flow: threading.Event = field(default_factory=threading.Event)
    _refuse: int = 0
    n_failed_opens: int = 0
    _cut_after: int | None = None
    _fail: float = 0.0
    _pause_s: float = 0.0
    _corrupt: int | None = None
    n_corrupted: int = 0
    _random: random.Random = field(default_factory=random.Random)
    _links: set[_Link] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._flow.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def redirector(self) -> str:
        """What to put before the names of files, if the server speaks XRootD."""
        return f"root://127.0.0.1:{self.port}/"

    def stall(self) -> None:
        """Pass no byte on, in neither direction, and keep all connections."""
        self._flow.clear()

    def flow(self) -> None:
        """End a stall."""
        self._flow.set()

    def cut(self, *, refuse: int = 0) -> int:
        """Reset all connections, and the next ones as soon as they are made.

        Returns
        -------
        int
            How many were alive.
        """
        return self._do(self._cut(refuse))

    def truncate(self, n_bytes: int) -> None:
        """Let the server send `n_bytes` more on one connection, then reset that."""
        self._cut_after = n_bytes

    def slow(self, seconds: float) -> None:
        """Wait before each block that the server sends."""
        self._pause_s = seconds

    def corrupt(self, n: int | None) -> None:
        """Change a byte in each block of more than `n` bytes that is sent; None ends it."""
        self._corrupt = n

    def fail_opens(self, fraction: float, seed: int = 0) -> None:
        """Answer a part of the requests to open a file with an error, as a busy server does."""
        self._random.seed(seed)
        self._fail = fraction

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _cut(self, refuse: int) -> int:
        alive, self._refuse = list(self._links), refuse
        for link in alive:
            link.abort()
        return len(alive)

    async def _close(self) -> None:
        self._server.close()
        await self._cut(0)
        self._flow.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        link = _Link(writer)
        if self._refuse:
            self._refuse -= 1
            link.abort()
            return
        self._links.add(link)
        try:
            far_reader, link.server = await asyncio.open_connection("127.0.0.1", self.target)
            ways = (self._ask(reader, link), self._answer(far_reader, link))
            await asyncio.gather(*ways)
        except OSError:  # the server is away: so is the proxy
            pass
        finally:
            link.abort()
            self._links.discard(link)

    async def _ask(self, reader: asyncio.StreamReader, link: _Link) -> None:
        """Pass on what the client says."""
        assert link.server is not None
        requests = _Requests()
        with suppress(OSError):
            while data := await reader.read(BLOCK):
                await self._wait()
                for stream, request in requests.whole(data):
                    if stream and self._random.random() < self._fail:
                        self.n_failed_opens += 1
                        link.client.write(_refusal(stream))
                    else:
                        link.server.write(request)
                await link.server.drain()
        link.server.close()

    async def _answer(self, reader: asyncio.StreamReader, link: _Link) -> None:
        """Pass on what the server says."""
        with suppress(OSError):
            while data := await reader.read(BLOCK):
                await self._wait()
                await asyncio.sleep(self._pause_s)
                link.client.write(self._counted(self._corrupted(data)))
                await link.client.drain()
                if self._cut_after == 0:
                    self._cut_after = None
                    link.abort()
        link.client.close()

    async def _wait(self) -> None:
        while not self._flow.is_set():
            await asyncio.sleep(0.02)

    def _corrupted(self, data: bytes) -> bytes:
        if self._corrupt is None or len(data) <= self._corrupt:
            return data
        self.n_corrupted += 1
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]

    def _counted(self, data: bytes) -> bytes:
        if self._cut_after is not None:
            data = data[: self._cut_after]
            self._cut_after -= len(data)
        return data


class _Requests:
    """Cuts what an XRootD client says into its requests."""

    def __init__(self) -> None:
        self._rest, self._is_open = b"", False

    def whole(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield each request that is complete, with its number if it asks to open a file."""
        self._rest += data
        while (n := self._n_bytes()) <= len(self._rest):
            request, self._rest = self._rest[:n], self._rest[n:]
            is_open = self._is_open and struct.unpack(">H", request[2:4])[0] == OPEN
            self._is_open = True
            yield request[:2] if is_open else b"", request

    def _n_bytes(self) -> int:
        if not self._is_open:
            return HANDSHAKE
        if len(self._rest) < HEADER:
            return HEADER
        return HEADER + int(struct.unpack(">i", self._rest[20:24])[0])


def _refusal(stream: bytes) -> bytes:
    text = struct.pack(">i", IO_ERROR) + b"busy, try again\0"
    return stream + struct.pack(">Hi", ERROR, len(text)) + text


def free_port() -> int:
    """Find a TCP port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
