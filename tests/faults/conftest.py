from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from intccms.analysis.runner import AnalysisResult
from tests.faults.analysis import make_config
from tests.faults.inputs import list_files, write_files
from tests.faults.proxy import Proxy
from tests.faults.runs import analysed
from tests.faults.servers import XRootDServer, is_installed
from tests.skimming.conftest import s3_server

__all__ = ["s3_server"]

N_FILES = 8


@pytest.fixture(scope="session")
def exported() -> Iterator[Path]:
    """Folder that servers export; pytest's own folders are closed to the server's user."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        write_files(path / "store", N_FILES)
        yield path


@pytest.fixture(scope="session")
def undisturbed(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Result and output folder of a run in which nothing went wrong; only to be read."""
    base = list_files(tmp_path_factory.mktemp("expected"), sorted(exported.glob("store/*.root")))
    out = base / "output"
    return analysed(make_config(base_dir=str(base), output_dir=str(out))), out


@pytest.fixture(scope="session")
def expected(undisturbed: tuple[AnalysisResult, Path]) -> AnalysisResult:
    """What a run in which nothing goes wrong gives."""
    return undisturbed[0]


@pytest.fixture
def local(exported: Path, tmp_path: Path) -> Path:
    """Folder of a listing with local names."""
    return list_files(tmp_path / "base", sorted(exported.glob("store/*.root")))


@pytest.fixture
def remote(exported: Path, tmp_path: Path) -> Path:
    """Folder of a listing with names that need a redirector."""
    names = [f"/store/{path.name}" for path in sorted(exported.glob("store/*.root"))]
    return list_files(tmp_path / "base", names)


@pytest.fixture
def make_server(
    exported: Path, require: Callable[[object, str], None]
) -> Iterator[Callable[[], XRootDServer]]:
    """Start a real XRootD server, as many as asked for."""
    require(is_installed(), "no XRootD server here (Debian: xrootd-server)")
    servers: list[XRootDServer] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        run.chmod(0o755)

        def make() -> XRootDServer:
            servers.append(XRootDServer(exported, run / str(len(servers))))
            servers[-1].start()
            return servers[-1]

        try:
            yield make
        finally:
            for server in servers:
                server.stop()


@pytest.fixture
def server(make_server: Callable[[], XRootDServer]) -> XRootDServer:
    """A real XRootD server of the exported folder."""
    return make_server()


@pytest.fixture
def proxy(server: XRootDServer) -> Iterator[Proxy]:
    """A proxy in front of `server`."""
    with Proxy(server.port) as proxy:
        yield proxy
