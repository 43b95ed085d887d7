"""From DAS names and record numbers to listings; only the API of the portal is imitated."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from intccms.cli import main
from intccms.datasets import DatasetManager
from intccms.datasets.discovery import Change, Services, discover, opendata_files, rucio_files
from intccms.errors import InputError, ServiceError
from intccms.metrics.inspector.rucio import connect
from intccms.schema import Config, load_config
from tests.rucio_server import DATASET, EXTENSION, SITES, RucioServer

PREFIX = "root://eospublic.cern.ch/"
WILDCARD = "/TTToSemiLeptonic_TuneCP5/RunIISummer20UL16NanoAODv9*/NANOAODSIM"
LFNS = tuple(f"/store/mc/discovery/{i}.root" for i in range(4))


class Portal:
    """The CERN Open Data portal's answers for two records, which tests may change.

    30530 is the real record: it names file indices, which are made of the real listing. 1 has its
    files in it.
    """

    def __init__(self, shared: Path) -> None:
        self.real = json.loads((shared / "records/cernopendata_30530.json").read_text())
        listed = (shared / "filelists/opendata_2016/data/G70000.txt").read_text().split()
        listed += (shared / "filelists/opendata_2016/data/G130000.txt").read_text().split()
        self.pages: dict[str, Any] = {}
        for file in self.real["files"]:
            if file["uri"].endswith(".json"):
                part = file["uri"].rpartition("_")[0].rpartition("_")[0].rpartition("_")[2]
                entries = [{"uri": uri, "size": 7} for uri in listed if f"/{part}/" in uri]
                self.pages[file["uri"].removeprefix(PREFIX).replace("//", "/")] = entries
        self.listed = listed
        self.small = [f"{PREFIX}/eos/opendata/small/{i}.root" for i in range(3)]
        self.asked: list[str] = []

    def answer(self, path: str) -> Any:
        """What a GET gives; None: there is no such page."""
        self.asked.append(path)
        if path in ("/record/30530", "/record/1", "/record/2"):
            return ""
        if path == "/api/records/30530":
            return {"id": "30530", "metadata": self.real}
        if path == "/api/records/2":
            return {"id": "2", "metadata": {"files": []}}
        if path == "/api/records/1":
            files = [{"uri": uri, "size": 10, "checksum": "adler32:1"} for uri in self.small]
            index = {"key": "a_file_index.json", "size": 1, "files": files}
            return {"id": "1", "metadata": {"recid": "1", "_file_indices": [index]}}
        return self.pages.get(path)


@pytest.fixture
def portal(shared_data: Path) -> Iterator[tuple[Portal, str]]:
    """A portal and its URL."""
    content = Portal(shared_data)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = content.answer(self.path)
            self.send_response(404 if page is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield content, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two processes whose listings are to be found."""

    def process(name: str) -> dict[str, Any]:
        directory = f"datasets/{name}/"
        return {
            "name": name,
            "directories": directory,
            "cross_sections": 1.0,
            "file_pattern": "*.txt",
        }

    general = {"lumi": 1.0, "weight_branch": "genWeight", "base_dir": str(tmp_path)}
    datasets = {"datasets": [process("signal"), process("ttbar")]}
    return load_config({"general": general, "datasets": datasets, "channels": []})


def name_sources(config: Config, text: str) -> Path:
    folder = config.general.input_path("datasets")
    folder.mkdir(exist_ok=True)
    (folder / "sources.yaml").write_text(text)
    return folder


def nobody() -> Any:
    raise AssertionError("Rucio is not asked")


def found(config: Config, services: Services, **options: bool) -> list[Change]:
    return list(discover(config, services, **options))


def test_the_real_record_lists_the_files_of_its_indices(portal: tuple[Portal, str]) -> None:
    content, url = portal
    files = opendata_files(30530, url)
    assert len(files) == content.real["distribution"]["number_files"] == 70
    assert sorted(file.name for file in files) == sorted(content.listed)
    assert files[0].size_bytes == 7


def test_a_record_that_is_not_there_or_has_no_file_is_an_input_error(
    portal: tuple[Portal, str],
) -> None:
    _, url = portal
    with pytest.raises(InputError, match="no record 99"):
        opendata_files(99, url)
    with pytest.raises(InputError, match="record 2 .* lists no ROOT or parquet file"):
        opendata_files(2, url)


def test_a_portal_that_is_not_there_is_a_service_error() -> None:
    with pytest.raises(ServiceError, match="CERN Open Data"):
        opendata_files(1, "http://127.0.0.1:9")


def test_listings_are_written_where_the_configuration_looks(
    config: Config, portal: tuple[Portal, str]
) -> None:
    content, url = portal
    folder = name_sources(config, "signal: 1\nttbar: [30530]\n")
    changes = found(config, Services(nobody, opendata=url))
    assert [(one.dataset, one.status, one.n_files) for one in changes] == [
        ("signal", "new", 3), ("ttbar", "new", 70),
    ]  # fmt: skip
    head, counts, *names = (folder / "signal" / "0.txt").read_text().splitlines()
    assert head == f"# resolved {datetime.now(UTC).date()} from record 1"
    assert counts == "# 3 files, 30 bytes"
    assert names == content.small
    assert [len(files.lfns) for files in DatasetManager(config).fileset()] == [3, 70]


def test_what_is_listed_is_asked_again_only_on_request(
    config: Config, portal: tuple[Portal, str]
) -> None:
    content, url = portal
    name_sources(config, "signal: 1\nttbar: 1\n")
    services = Services(nobody, opendata=url)
    found(config, services)
    content.asked.clear()
    assert {one.status for one in found(config, services)} == {"cached"}
    assert content.asked == []
    assert {one.status for one in found(config, services, refresh=True)} == {"same"}


def test_what_has_changed_is_told_and_the_others_keep_their_places(
    config: Config, portal: tuple[Portal, str]
) -> None:
    content, url = portal
    folder = name_sources(config, "signal: 1\nttbar: 1\n")
    services = Services(nobody, opendata=url)
    found(config, services)
    first, second, third = content.small
    new = first.replace("0.root", "00.root")
    content.small = [new, third, first]
    change = found(config, services, refresh=True)[0]
    assert (change.status, change.added, change.removed) == ("changed", (new,), (second,))
    assert "1 added, 1 removed" in str(change)
    assert (folder / "signal/0.txt").read_text().splitlines()[2:] == [first, third, new]


def test_another_source_is_resolved_without_being_asked_to(
    config: Config, portal: tuple[Portal, str]
) -> None:
    _, url = portal
    services = Services(nobody, opendata=url)
    name_sources(config, "signal: 1\nttbar: 1\n")
    found(config, services)
    name_sources(config, "signal: 30530\nttbar: 1\n")
    assert [one.status for one in found(config, services)] == ["changed", "cached"]


def test_one_failure_stops_no_other_and_leaves_the_listing(
    config: Config, portal: tuple[Portal, str]
) -> None:
    _, url = portal
    folder = name_sources(config, "signal: 99\nttbar: 1\n")
    (folder / "signal").mkdir()
    (folder / "signal/0.txt").write_text("/store/old.root\n")
    first, second = found(config, Services(nobody, opendata=url))
    assert (first.status, second.status) == ("failed", "new")
    assert "no record 99" in str(first)
    assert (folder / "signal/0.txt").read_text() == "/store/old.root\n"


def test_directories_without_source_and_listings_of_others_are_named(
    config: Config, portal: tuple[Portal, str]
) -> None:
    _, url = portal
    folder = name_sources(config, "ttbar: 1\n")
    (folder / "ttbar").mkdir()
    (folder / "ttbar/mine.txt").write_text("/store/a.root\n\n# no\n")
    changes = found(config, Services(nobody, opendata=url))
    assert [one.status for one in changes] == ["no source", "new", "foreign"]
    assert "names no source" in str(changes[0])
    assert "1 files, not from sources.yaml" in str(changes[2])


@pytest.mark.parametrize("text", ["signal: TTTo2L2Nu", "signal: [/a/b]", "signal: true", "- 1"])
def test_a_source_that_is_none_is_an_input_error(config: Config, text: str) -> None:
    name_sources(config, text)
    with pytest.raises(InputError, match="neither a DAS name"):
        found(config, Services(nobody))


def test_sources_that_are_not_yaml_are_an_input_error(config: Config) -> None:
    name_sources(config, "signal: [")
    with pytest.raises(InputError, match="cannot read"):
        found(config, Services(nobody))


@pytest.fixture(scope="module")
def rucio(rucio_server: RucioServer) -> Iterator[Any]:
    """A client of a server that knows a dataset and its extension."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rucio_server.environment().items():
            patch.setenv(name, value)
        client = connect()
        files = {
            lfn: {"bytes": 100, "adler32": "00000001", "events": 10, "sites": list(SITES)[:1],
                  "dataset": EXTENSION if i == 3 else DATASET.replace("v9-", "v9x-")}
            for i, lfn in enumerate(LFNS)
        }  # fmt: skip
        rucio_server.fill(client, files)
        yield client


def test_das_names_and_wildcards_are_resolved_by_rucio(rucio: Any, config: Config) -> None:
    folder = name_sources(config, f"signal: {EXTENSION}\nttbar: ['{WILDCARD}']\n")
    first, second = found(config, Services(lambda: rucio))
    assert (first.status, first.added) == ("new", LFNS[3:])
    assert set(LFNS) <= set(second.added)
    text = (folder / "signal/0.txt").read_text()
    assert f"from {EXTENSION}\n# 1 files, 10 events, 100 bytes\n{LFNS[3]}\n" in text


@pytest.mark.parametrize(
    ("name", "scope", "text"),
    [
        (
            "/No/Such/NANOAODSIM",
            "cms",
            "Rucio knows no files of '/No/Such/NANOAODSIM' in scope 'cms'",
        ),
        ("/No/*/NANOAODSIM", "cms", "Rucio knows no files"),
        (EXTENSION, "cmx", "in scope 'cmx', which does not exist"),
    ],
)
def test_what_rucio_does_not_know_is_an_input_error(
    rucio: Any, name: str, scope: str, text: str
) -> None:
    with pytest.raises(InputError, match=text.replace("*", ".")):
        rucio_files(rucio, name, scope)


MODULE = """
config = {{
    "general": {{"lumi": 1.0, "weight_branch": "genWeight", "base_dir": {base!r}}},
    "datasets": {{"datasets": [{{"name": "signal", "directories": "datasets/signal",
                                "cross_sections": 1.0, "file_pattern": "*.txt"}}]}},
}}
"""


def test_the_command_prints_what_changed(
    config: Config,
    portal: tuple[Portal, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content, url = portal
    name_sources(config, "signal: 1\n")
    (tmp_path / "discovery_config.py").write_text(MODULE.format(base=str(tmp_path)))
    monkeypatch.syspath_prepend(tmp_path)
    command = ["datasets", "--config", "discovery_config:config", "--opendata", url]
    assert main(command) == 0
    assert capsys.readouterr().out == "signal: 0.txt: 3 files, new, from record 1\n"
    gone = content.small.pop()
    assert main([*command, "--refresh"]) == 0
    assert f"0 added, 1 removed, from record 1\n  - {gone}\n" in capsys.readouterr().out
    name_sources(config, "signal: 99\n")
    assert main(command) == 2
    assert "no record 99" in capsys.readouterr().err
