"""XRootD servers that can be stopped and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.proxy import free_port

__all__ = ["XRootDServer", "is_installed"]

START_S = 60.0  # it asks for names of hosts, which takes its time

CONFIG = """\
all.export /store nolock
oss.localroot {data}
all.adminpath {run}
all.pidpath {run}
xrd.port {port}
xrd.allow host localhost
xrd.allow host 127.0.0.1
xrd.allow host [::1]
xrd.allow host [::ffff:127.0.0.1]
"""


def is_installed() -> bool:
    """Whether this machine has a server (Debian: xrootd-server)."""
    return shutil.which("xrootd") is not None


class XRootDServer:
    """Debian's server, for this machine only.

    Parameters
    ----------
    data
        Folder whose ``store/a.root`` clients know as ``/store/a.root``; readable for everyone,
        and so are the folders above it.
    run
        Folder for what the server writes.
    """

    def __init__(self, data: Path, run: Path) -> None:
        self.run, self.port = run, free_port()
        run.mkdir(parents=True)
        (run / "cfg").write_text(CONFIG.format(data=data, run=run, port=self.port))
        self._command = ["xrootd", "-c", str(run / "cfg"), "-l", str(run / "log"), "-n", "faults"]
        if os.geteuid() == 0:  # it refuses to run as root
            self._command += ["-R", "xrootd"]
            subprocess.run(["chown", "-R", "xrootd:xrootd", str(run)], check=True)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def redirector(self) -> str:
        """What to put before the names of files."""
        return f"root://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it and wait until it answers."""
        null, process = subprocess.DEVNULL, None
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if process is None or process.poll() is not None:  # somebody may have taken the port
                process = subprocess.Popen(self._command, stdout=null, stderr=null)
                self._process = process
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        self.stop()
        logs = [path.read_text(errors="replace") for path in self.run.rglob("log*")]
        raise RuntimeError(f"xrootd did not start: {''.join(logs)[-2000:]}")

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
