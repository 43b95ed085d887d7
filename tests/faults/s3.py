"""Faults in front of a real S3 server: a proxy that hands requests on, or answers them itself."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlparse

__all__ = ["FaultyS3"]

STALL_S = 1.0
ERROR = b"<Error><Code>InternalError</Code><Message>We have a fault.</Message></Error>"


def never(_: int) -> bool:
    """Whether the request with this number is disturbed."""
    return False


@dataclass
class FaultyS3:
    """Listens on a port of this machine; what it is told to do lasts until it is told otherwise.

    Parameters
    ----------
    endpoint
        The server behind. Requests are signed for the address of the proxy, which is handed on.
    fails, stalls, stops, corrupts
        Whether the n-th request to read, n from 1 on, is answered with `status`, only after
        `STALL_S`, with half of what was asked for, with a byte that is another one.
    only
        The name of the one object whose requests count; "": all of them.
    on_read
        Called with the number of each request to read, before it is handed on.
    """

    endpoint: str
    fails: Callable[[int], bool] = never
    stalls: Callable[[int], bool] = never
    stops: Callable[[int], bool] = never
    corrupts: Callable[[int], bool] = never
    on_read: Callable[[int], object] = never
    only: str = ""
    status: int = 500
    n_read: int = 0
    n_faults: int = 0
    n_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        kind = type("Handler", (_Handler,), {"faults": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What clients are to use as the endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def next_read(self) -> int:
        """Count a request to read."""
        with self._lock:
            self.n_read += 1
            return self.n_read


class _Handler(BaseHTTPRequestHandler):
    """Hands one request after the other on."""

    faults: FaultyS3
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        faults = self.faults
        is_read = "?" not in self.path and self.path.endswith(faults.only)  # else it lists a bucket
        number = faults.next_read() if is_read else 0
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if number:
            faults.on_read(number)
        if number and faults.stalls(number):
            faults.n_faults += 1
            time.sleep(STALL_S)
        if number and faults.fails(number):
            faults.n_faults += 1
            status, headers, content, length = faults.status, {}, ERROR, len(ERROR)
        else:
            status, headers, content, length = self._handed_on(body)
        if number and content and faults.corrupts(number):
            faults.n_faults += 1
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        if number and content and faults.stops(number):
            faults.n_faults += 1
            content = content[: len(content) // 2]
        faults.n_bytes += len(content) if self.command == "GET" else 0
        with suppress(OSError):  # the client has left
            self._answer(status, headers, content, length)

    def _answer(self, status: int, headers: dict[str, str], content: bytes, length: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.close_connection = len(content) != length  # it stops in mid-answer

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _handed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes, int]:
        server = http.client.HTTPConnection(urlparse(self.faults.endpoint).netloc, timeout=30)
        try:
            server.request(self.command, self.path, body, dict(self.headers))
            answer = server.getresponse()
            content = answer.read()
        finally:
            server.close()
        dropped = ("content-length", "connection", "transfer-encoding", "date", "server")
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in dropped}
        length = answer.getheader("Content-Length")
        return answer.status, headers, content, int(length or len(content))

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""
