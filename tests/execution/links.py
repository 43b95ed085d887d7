"""A plain TCP proxy between a client and a scheduler, which can cut the link."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Link", "linked"]


class Link:
    """Hands on all bytes to a port of this machine, until it is cut."""

    def __init__(self, target: int) -> None:
        self.target, self.port = target, 0
        self._is_up = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._done = asyncio.Event()

    def cut(self) -> None:
        """Reset all connections, and all new ones."""
        self._loop.call_soon_threadsafe(self._cut)

    def restore(self) -> None:
        """Take connections again."""
        self._is_up = True

    def _cut(self) -> None:
        self._is_up = False
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_up:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            await asyncio.gather(_hand_on(reader, far_writer), _hand_on(far_reader, writer))
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def run(self, ready: threading.Event) -> None:
        """Listen until `stop`."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._done.wait()
        server.close()
        self._cut()
        await asyncio.sleep(0.1)

    def start(self) -> threading.Thread:
        """Listen in a thread of its own."""
        ready = threading.Event()
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(self.run(ready)))
        thread.start()
        ready.wait(10)
        return thread

    def stop(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._done.set)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def linked(target: int) -> Iterator[Link]:
    """Open a link to a port of this machine."""
    link = Link(target)
    thread = link.start()
    try:
        yield link
    finally:
        link.stop()
        thread.join(10)
        link._loop.close()
