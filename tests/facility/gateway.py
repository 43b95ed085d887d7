"""A real Dask Gateway on loopback, whose clusters are processes of this machine."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dask_gateway import BasicAuth

from tests.conftest import free_port
from tests.facility.conftest import clean_environment, processes
from tests.facility.disturbed import PAUSE

PASSWORD = "pw"
SETTINGS = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = "{password}"
c.DaskGateway.address = "127.0.0.1:{api}"
c.Proxy.address = "127.0.0.1:{web}"
c.Proxy.tcp_address = "127.0.0.1:{tcp}"
c.UnsafeLocalBackend.clusters_directory = "{folder}/clusters"
c.UnsafeLocalBackend.cluster_start_timeout = 180
c.UnsafeLocalBackend.worker_start_timeout = 180
c.ClusterConfig.scheduler_cmd = ["{python}", "-m", "dask", "scheduler"]
c.ClusterConfig.worker_cmd = ["{python}", "-m", "dask", "worker"]
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "2 G"
c.ClusterConfig.environment = {pause}
"""


@dataclass(frozen=True)
class GatewayServer:
    address: str
    proxy_address: str

    def options(self, user: str) -> dict[str, Any]:
        """How this user's session is set up."""
        auth = BasicAuth(user, PASSWORD)
        return {"address": self.address, "proxy_address": self.proxy_address, "auth": auth}


@contextmanager
def gateway(server: Path, folder: Path, python: Path) -> Iterator[GatewayServer]:
    """Run `server`, the program ``dask-gateway-server``."""
    api, web, tcp = free_port(), free_port(), free_port()
    settings = {"password": PASSWORD, "api": api, "web": web, "tcp": tcp}
    path = folder / "gateway.py"
    path.write_text(SETTINGS.format(folder=folder, python=python, pause=PAUSE, **settings))
    environment = clean_environment()
    environment["PATH"] = f"{server.parent}:{environment['PATH']}"  # its proxy is beside it
    command = [str(server), "-f", str(path)]
    with processes(command, cwd=folder, env=environment):
        _wait_for(f"http://127.0.0.1:{web}/api/health", folder / "0.log")
        yield GatewayServer(f"http://127.0.0.1:{web}", f"gateway://127.0.0.1:{tcp}")


def _wait_for(url: str, log: Path) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the gateway did not start: {log.read_text()[-2000:]}")
