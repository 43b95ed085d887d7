"""Real clusters beside this process: over TLS, behind a gateway, of a batch system."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from intccms.histograms import Book
from intccms.pipeline import Stages
from tests.conftest import free_port
from tests.facility.certificates import make_secrets, security
from tests.pipeline.runs import FEW, NOMINAL_ONLY, configured

SMALL = (*FEW, *NOMINAL_ONLY, "general.chunk_size=700")
ENDING = 10.0


def clean_environment(**more: str) -> dict[str, str]:
    """What a process of a site sees: nothing of this one's paths and credentials."""
    ours = ("PYTHONPATH", "X509_USER_PROXY", "BEARER_TOKEN", "BEARER_TOKEN_FILE")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, **more}


@pytest.fixture(scope="session")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that has what we depend on, but neither us nor the example."""
    folder = tmp_path_factory.mktemp("other") / "env"
    venv.create(folder, with_pip=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    # without reading the .pth files there, one of which leads to this repository
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@contextmanager
def processes(*commands: list[str], cwd: Path, env: dict[str, str]) -> Iterator[None]:
    """Run programs until the block ends; the last words of each are in ``<cwd>/<n>.log``."""
    with ExitStack() as stack:
        running = []
        for number, command in enumerate(commands):
            log = stack.enter_context((cwd / f"{number}.log").open("wb"))
            started = subprocess.Popen(
                command, cwd=cwd, env=env, stdout=log, stderr=log, start_new_session=True
            )
            running.append(started)
        try:
            yield
        finally:
            for one in reversed(running):
                one.terminate()
            for one in running:
                try:
                    one.wait(ENDING)
                except subprocess.TimeoutExpired:
                    one.kill()
                    one.wait(ENDING)


@dataclass(frozen=True)
class TlsCluster:
    address: str
    secrets: Path
    folder: Path  # working directory of scheduler and worker
    command: tuple[str, ...]  # starts a worker
    environment: dict[str, str]

    def worker(self, name: str) -> list[str]:
        return [*self.command, "--name", name]


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="session")
def tls_cluster(
    tmp_path_factory: pytest.TempPathFactory, secrets: Path, other_python: Path
) -> Iterator[TlsCluster]:
    """A scheduler and a worker with a nanny, as processes, as coffea-casa runs them."""
    folder = tmp_path_factory.mktemp("site")
    address = f"tls://127.0.0.1:{free_port()}"
    certificate = str(secrets / "hostcert.pem")
    flags = ["--tls-ca-file", str(secrets / "ca.pem"), "--tls-cert", certificate]
    flags += ["--tls-key", certificate, "--dashboard-address", "127.0.0.1:0"]
    dask_command = [str(other_python), "-m", "dask"]
    scheduler = [*dask_command, "scheduler", "--host", address.rpartition(":")[0], *flags]
    scheduler += ["--port", address.rpartition(":")[2]]
    worker = [*dask_command, "worker", address, "--nthreads", "1", "--memory-limit", "2GB"]
    worker += ["--host", "tls://127.0.0.1", "--local-directory", str(folder), *flags]
    environment = clean_environment()
    cluster = TlsCluster(address, secrets, folder, tuple(worker), environment)
    commands = [scheduler, cluster.worker("first")]
    with processes(*commands, cwd=folder, env=environment):
        with Client(address, security=security(secrets), timeout="60s") as client:
            client.wait_for_workers(1, timeout=60)
        yield cluster


@pytest.fixture(autouse=True)
def nobody_in_particular(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no credential, and no ``.env``, of whoever runs the tests come into them."""
    for name in ("X509_USER_PROXY", "BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path / "cwd"
    empty.mkdir()
    monkeypatch.chdir(empty)


def histograms(sample: Path, out: Path, client: Any = None, *overrides: str) -> Book:
    """Run a small analysis in few chunks."""
    config = configured(sample, out, *SMALL, *overrides)
    with Stages(config, client) as stages:
        stages.count_files()
        stages.process()
        book = stages.result.book
    assert book is not None
    return book


@pytest.fixture(scope="session")
def reference(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Book:
    """The histograms that every facility must give, made in this process."""
    return histograms(tiny_sample, tmp_path_factory.mktemp("reference") / "out")


def same(one: Book, other: Book) -> bool:
    """Whether two books hold the same bits."""
    places = [(c, o) for c in one.channels for o in one.observables(c)]
    return one.channels == other.channels and all(
        one.histogram(*place).axes == other.histogram(*place).axes
        and one.histogram(*place).view(flow=True).tobytes()
        == other.histogram(*place).view(flow=True).tobytes()
        for place in places
    )
