"""Two hosts, as far as the network can tell: the link between client and scheduler is cut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
N = 60

CLIENT = """
import json, sys
from pathlib import Path
from distributed import Client
from intccms.execution.dask.cluster import DaskExecutor
from intccms.execution.accounting import Totals
from tests.execution.tasks import add_up

address, folder, n = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
with Client(address, timeout="60s") as client:
    client.wait_for_workers(2, timeout=60)
    totals = Totals(lambda _: "all")
    run = DaskExecutor(client).map(add_up, range(n), arguments=(folder, 0.2), totals=totals)
    answers = []
    for item, answer in run:
        answers.append(item)
        if len(answers) == 10:
            (folder / "begun").touch()
print(json.dumps([sorted(answers), sorted(totals.by_group["all"]["items"])]))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def may_make_hosts() -> bool:
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    name = f"icp{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    ip("netns", "del", name)
    return True


@dataclass(frozen=True)
class Hosts:
    near: str
    far: str
    cable: str  # the far end of it

    def run(self, host: str, *words: str, path: Path) -> subprocess.Popen[str]:
        folders = os.pathsep.join(str(folder) for folder in (ROOT / "src", ROOT))
        with (path / f"{time.monotonic_ns()}.log").open("w") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", host, sys.executable, *words],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": folders},
            )

    def cut(self, seconds: float) -> None:
        ip("-n", self.far, "link", "set", self.cable, "down")
        time.sleep(seconds)
        ip("-n", self.far, "link", "set", self.cable, "up")


@pytest.fixture
def hosts(require: Callable[[object, str], None]) -> Iterator[Hosts]:
    require(may_make_hosts(), "no network namespaces here (root and iproute2)")
    near, far = f"ica{os.getpid()}", f"icb{os.getpid()}"
    try:
        for host in (near, far):
            ip("netns", "add", host)
        ip("link", "add", "v0", "netns", near, "type", "veth", "peer", "name", "v1", "netns", far)
        for host, cable, address in ((near, "v0", "10.77.0.1/24"), (far, "v1", "10.77.0.2/24")):
            ip("-n", host, "addr", "add", address, "dev", cable)
            ip("-n", host, "link", "set", cable, "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield Hosts(near, far, "v1")
    finally:
        for host in (near, far):
            subprocess.run(["ip", "netns", "del", host], capture_output=True, check=False)


@pytest.mark.slow
def test_a_link_between_hosts_that_is_down_for_some_seconds_loses_nothing(
    hosts: Hosts, tmp_path: Path
) -> None:
    address = "tcp://10.77.0.1:8786"
    scheduler = ("-m", "dask", "scheduler", "--host", "10.77.0.1", "--no-dashboard")
    worker = ("-m", "dask", "worker", address, "--nthreads", "1", "--no-dashboard")
    (tmp_path / "client.py").write_text(CLIENT)
    started = [
        hosts.run(hosts.near, *scheduler, path=tmp_path),
        hosts.run(hosts.near, *worker, "--host", "10.77.0.1", path=tmp_path),
        hosts.run(hosts.far, *worker, "--host", "10.77.0.2", path=tmp_path),
    ]
    try:
        words = (str(tmp_path / "client.py"), address, str(tmp_path), str(N))
        client = hosts.run(hosts.far, *words, path=tmp_path)
        started.append(client)
        until = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert (tmp_path / "begun").exists()
        hosts.cut(5)
        printed, _ = client.communicate(timeout=90)
        assert json.loads(printed) == [list(range(N)), list(range(N))]
    finally:
        for process in reversed(started):
            process.terminate()
            process.communicate(timeout=20)
