"""Fetching golden JSONs and corrections from a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from example_cms.configs.configuration import config
from example_cms.fetch import INPUTS, fetch, main
from intccms.errors import InputError, ServiceError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and folder of a server with a file for each input; its content is its name."""
    folder = tmp_path_factory.mktemp("served")
    for file in INPUTS:
        path = folder / file.source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.source)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def run(address: str, out: Path, *more: str) -> int:
    servers = ["--certification", address, "--corrections", address]
    return main([*servers, "--base-dir", str(out), *more])


def test_everything_is_fetched_once(
    served: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(served[0], tmp_path, "--unchecked") == 0
    for file in INPUTS:
        assert (tmp_path / file.path).read_text() == file.source
    assert capsys.readouterr().out.count("fetched ") == len(INPUTS) == 25
    assert run(served[0], tmp_path, "--unchecked") == 0
    assert capsys.readouterr().out.count("there ") == 25


def test_a_file_that_is_not_what_it_should_be_is_not_kept(
    served: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(served[0], tmp_path) == 2
    error = capsys.readouterr().err
    assert "SHA-256" in error
    assert "--unchecked" in error
    assert not list(tmp_path.rglob("*.txt"))


def test_a_file_on_disk_is_compared_too(served: tuple[str, Path], tmp_path: Path) -> None:
    path = tmp_path / INPUTS[0].path
    path.parent.mkdir(parents=True)
    path.write_text("something else")
    with pytest.raises(InputError, match="SHA-256"):
        list(fetch(tmp_path, certification=served[0], corrections=served[0]))
    assert path.read_text() == "something else"


def test_real_golden_jsons_are_the_ones_that_are_known(tmp_path: Path, shared_data: Path) -> None:
    """Copied from a folder, as from CVMFS; all that is at hand is what it should be."""
    n_known = 0
    for file in INPUTS:
        if file.is_certification:
            real = shared_data / "golden" / Path(file.path).name
        elif file.source.startswith("JME/jer_smear"):
            real = shared_data / "corrections" / "JME_jer_smear.json.gz"
        else:
            real = shared_data / "corrections" / file.source.replace("/", "_")
        if real.exists():
            target = tmp_path / "server" / file.source
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(real)
            n_known += 1
    server = (tmp_path / "server").as_uri()
    with pytest.raises(ServiceError, match="2016postVFP_UL/puWeights"):
        list(fetch(tmp_path, certification=server, corrections=server))
    assert n_known == 9
    found = [file for file in INPUTS if (tmp_path / "server" / file.source).exists()]
    for file in found:
        assert (
            hashlib.sha256((tmp_path / "server" / file.source).read_bytes()).hexdigest()
            == file.sha256
        )


def test_a_server_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run((tmp_path / "nothing").as_uri(), tmp_path) == 1
    assert "cannot download" in capsys.readouterr().err


def test_what_is_fetched_is_what_the_configuration_reads() -> None:
    wanted = {
        entry["file"]
        for entries in config["corrections"].values()
        for entry in entries
        if "file" in entry and not entry["file"].endswith("btag_yields.json")
    }
    data = config["datasets"]["datasets"][-1]
    wanted |= {mask["static_kwargs"]["lumifile"] for mask in data["lumi_mask"]}
    assert {file.path for file in INPUTS} == wanted
