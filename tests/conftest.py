"""Fixtures that every test may ask for."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests import rucio_server as rucio

ENVIRONMENT = {
    "MPLBACKEND": "Agg",
    # XRootD's own defaults wait for minutes before they give a server up.
    "XRD_CONNECTIONRETRY": "1",
    "XRD_CONNECTIONWINDOW": "5",
    "XRD_STREAMERRORWINDOW": "0",
    "XRD_LOGLEVEL": "Error",
}

ROOT = Path(__file__).resolve().parents[1]
collect_ignore = ["rucio_policy"]  # for the Rucio server, which has an environment of its own
REQUIRE_ALL = os.environ.get("INTCCMS_REQUIRE_ALL", "") not in ("", "0")


def pytest_configure() -> None:
    """Set what the processes that tests start inherit; not where one of them imports this file."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _require(needed: object, reason: str) -> None:
    if not (needed.exists() if isinstance(needed, Path) else needed):
        pytest.skip(reason)


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Lets one process run the tests of a file, and one those that share a batch system."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        shares = file.startswith("tests/facility/") or file == "tests/batch/test_first_notebook.py"
        return "facility" if shares else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Distribute the tests over the processes of ``make test``."""
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With INTCCMS_REQUIRE_ALL=1 a test that is skipped, for whatever reason, has failed."""
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = call.excinfo.value if call.excinfo else "no reason"
        report.longrepr = f"{item.nodeid} was skipped, but INTCCMS_REQUIRE_ALL is set: {reason}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what a user's home is for (digests of trained models) out of the home of the tester."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _quiet_logging() -> Iterator[None]:
    """Take back what `intccms.set_logging` did in a test: its stream ends with the test."""
    yield
    package = logging.getLogger("intccms")
    for handler in list(package.handlers):
        package.removeHandler(handler)
    package.setLevel(logging.NOTSET)
    package.propagate = True


@pytest.fixture(scope="session")
def require() -> Callable[[object, str], None]:
    """Skip with a reason what needs something absent.

    Called with a path, a truth value or the result of `shutil.which`.
    """
    return _require


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real CMS files, which are not part of the repository."""
    default = ROOT.parent / "shared" / "data"
    path = Path(os.environ.get("INTCCMS_SHARED_DATA", default))
    _require(path, f"no real CMS files at {path}; set INTCCMS_SHARED_DATA")
    return path


@pytest.fixture(scope="session")
def tiny_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a synthetic sample for `example_opendata`: read it, never write to it."""
    from example_opendata.configs.configuration import config
    from intccms.schema import load_config
    from nanosample import write_sample

    out = tmp_path_factory.mktemp("tiny_sample")
    arguments: dict[str, Any] = {"files_per_process": 1, "events_per_file": 2000, "seed": 1}
    write_sample(out, load_config(config), **arguments)
    return out


@dataclass(frozen=True)
class XRootDServer:
    """A running server: ``/store/a.root`` of clients is ``directory / "store/a.root"``."""

    directory: Path
    redirector: str  # e.g. "root://127.0.0.1:1094/"


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"xrootd did not start: {log.read_text()[-2000:] if log.exists() else 'no log'}")


@pytest.fixture(scope="session")
def xrootd_server() -> Iterator[XRootDServer]:
    """A real XRootD server (Debian: xrootd-server) that answers this machine only."""
    _require(shutil.which("xrootd"), "no XRootD server here (Debian: xrootd-server)")
    with tempfile.TemporaryDirectory() as folder:
        run, port = Path(folder), free_port()
        run.chmod(0o755)  # pytest's own folders are closed to the server's user
        (run / "export" / "store").mkdir(parents=True)
        allowed = ("localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]")
        lines = [
            "all.export /store nolock",
            f"oss.localroot {run / 'export'}",
            f"all.adminpath {run / 'admin'}",
            f"all.pidpath {run / 'admin'}",
            f"xrd.port {port}",
            *(f"xrd.allow host {host}" for host in allowed),
        ]
        (run / "xrootd.cfg").write_text("\n".join(lines) + "\n")
        command = ["xrootd", "-c", str(run / "xrootd.cfg"), "-l", str(run / "log"), "-n", "test"]
        if os.geteuid() == 0:  # it refuses to run as root
            command += ["-R", "xrootd"]
            subprocess.run(["chown", "-R", "xrootd:xrootd", str(run)], check=True)
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(port, server, run / "test" / "log")
            yield XRootDServer(run / "export", f"root://127.0.0.1:{port}/")
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture(scope="module")
def slurm_conf() -> Iterator[Path]:
    """Configuration of a real Slurm that runs on this machine as long as a module needs it."""
    from tests.facility import slurm  # which needs `free_port` of this file

    _require(not slurm.missing(), slurm.missing())
    with slurm.running() as configuration:
        yield configuration


@pytest.fixture(scope="session")
def rucio_server(xrootd_server: XRootDServer) -> Iterator[rucio.RucioServer]:
    """A real Rucio server, empty but for what tests declare in it; its clients find it."""
    _require(rucio.PYTHON, "no Rucio server here (make servers)")
    _require(importlib.util.find_spec("rucio"), "no Rucio client here (rucio-clients)")
    with rucio.running_rucio(free_port(), xrootd_server.redirector) as server:
        yield server
