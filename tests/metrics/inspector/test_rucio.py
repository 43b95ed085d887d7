"""Sizes and replicas, asked of a real Rucio server through the official client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from intccms.datasets import DatasetFiles, Fileset
from intccms.errors import InputError
from intccms.metrics.inspector import aggregate_statistics, inspect_files
from intccms.metrics.inspector.plots import plot_file_size_distribution
from intccms.metrics.inspector.rucio import SizeSummary, connect, fetch_file_sizes, lfn_of
from tests.metrics.inspector.small import write_file
from tests.rucio_server import DATASET, SITES, RucioServer

LFNS = tuple(f"/store/mc/inspector/{i}.root" for i in range(5))
TAPE = "/store/mc/inspector/tape.root"
UNKNOWN = "/store/mc/inspector/unknown.root"


@pytest.fixture(scope="module")
def folder(xrootd_server: Any) -> Path:
    """The files themselves, behind a real XRootD server."""
    for i, lfn in enumerate(LFNS):
        write_file(xrootd_server.directory / lfn[1:], range(100 * i, 100 * i + 10))
    path: Path = xrootd_server.directory
    return path


@pytest.fixture(scope="module")
def client(rucio_filled: Any) -> Any:
    """A client of the server, which knows the files."""
    return rucio_filled


@pytest.fixture(scope="module")
def rucio_filled(rucio_server: RucioServer, folder: Path) -> Iterator[Any]:
    """Declare the files with their true sizes and checksums, but for the last."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rucio_server.environment().items():
            patch.setenv(name, value)
        session = connect()
        files = {}
        for i, lfn in enumerate(LFNS):
            content = (folder / lfn[1:]).read_bytes()
            files[lfn] = {
                "bytes": len(content) + (i == 4), "adler32": f"{zlib.adler32(content):08x}",
                "events": 10, "dataset": DATASET, "sites": list(SITES)[: 1 + i % 2],
            }  # fmt: skip
        files[TAPE] = {"bytes": 5, "adler32": "00000001", "events": 1, "dataset": DATASET,
                       "sites": ["T1_US_FNAL_Tape"]}  # fmt: skip
        rucio_server.fill(session, files)
        yield session


def fileset(*lfns: str) -> Fileset:
    return Fileset((DatasetFiles("x", "x", None, False, 1.0, lfns),))


def test_sizes_checksums_events_and_sites_are_rucio_s(client: Any, folder: Path) -> None:
    found = fetch_file_sizes(fileset(*LFNS, TAPE), client=client)
    assert found.errors == {}
    first = found.files[LFNS[0]]
    content = (folder / LFNS[0][1:]).read_bytes()
    assert (first.size_bytes, first.n_events) == (len(content), 10)
    assert first.adler32 == f"{zlib.adler32(content):08x}"
    assert first.available_at == ("T2_US_Nebraska",)
    assert {site: one["n_files"] for site, one in found.by_site().items()} == {
        "T2_US_Nebraska": 5, "T2_CH_CERN": 2, "T1_US_FNAL_Tape": 1,
    }  # fmt: skip
    assert found.sites["T1_US_FNAL_Tape"] == "TAPE"
    assert found.summary()["n_not_on_disk"] == 1


def test_names_in_urls_are_asked_for_by_their_lfn(client: Any) -> None:
    url = f"root://xcache/{LFNS[1]}"
    found = fetch_file_sizes(fileset(url, "/home/me/a.root"), client=client)
    assert found.size_of(url) == found.files[LFNS[1]].size_bytes
    assert found.errors == {"/home/me/a.root": "it has no /store/ name"}
    assert lfn_of("/data/store/a.root") is None


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_any_batch_gives_the_same_and_unknown_files_are_errors(client: Any, batch: int) -> None:
    found = fetch_file_sizes(fileset(UNKNOWN, *LFNS), client=client, batch=batch)
    assert set(found.files) == set(LFNS)
    assert found.errors == {UNKNOWN: "Rucio does not know it in scope 'cms'"}


def test_a_name_that_rucio_refuses_does_not_hide_the_others(client: Any) -> None:
    strange = "/store/mc/what is this.root"
    found = fetch_file_sizes(fileset(LFNS[0], strange, LFNS[1]), client=client)
    assert set(found.files) == set(LFNS[:2])
    assert set(found.errors) == {strange}


def test_a_wrong_scope_is_an_input_error_that_names_the_right_one(client: Any) -> None:
    with pytest.raises(InputError, match="no scope 'cmss'; did you mean 'cms'"):
        fetch_file_sizes(fileset(*LFNS), scope="cmss", client=client)


def test_what_is_cached_is_not_asked_again(client: Any, tmp_path: Path) -> None:
    cache = tmp_path / "rucio.json"
    one = fetch_file_sizes(fileset(*LFNS[:3]), client=client, cache=cache)
    again = fetch_file_sizes(fileset(*LFNS[:3]), client=object(), cache=cache)  # cannot be asked
    assert again.files == one.files
    assert json.loads(cache.read_text())["fetched"] == one.fetched == again.fetched
    more = fetch_file_sizes(fileset(*LFNS), client=client, cache=cache)
    assert len(more.files) == len(LFNS)
    assert len(fetch_file_sizes(fileset(*LFNS), client=object(), cache=cache).files) == len(LFNS)
    with pytest.raises(AttributeError):
        fetch_file_sizes(fileset(*LFNS), client=object(), cache=cache, refresh=True)


def test_a_cache_that_cannot_be_read_is_asked_again(client: Any, tmp_path: Path) -> None:
    (tmp_path / "rucio.json").write_text("{")
    found = fetch_file_sizes(fileset(LFNS[0]), client=client, cache=tmp_path / "rucio.json")
    assert len(found.files) == 1


def test_replicas_give_redirectors_behind_which_the_files_are(client: Any) -> None:
    found = fetch_file_sizes(fileset(*LFNS, TAPE), client=client)
    doors = found.redirectors()
    assert len(doors) == 2  # two sites on disk; a tape is no door
    assert doors[0].startswith("root://127.0.0.1:")
    assert found.redirectors([TAPE]) == ()
    files = DatasetFiles("x", "x", None, False, 1.0, LFNS[:1], doors)
    (record,) = inspect_files(Fileset((files,)), timeout_s=100)
    assert (record.error, record.n_events) == (None, 10)


def test_statistics_and_figures_take_what_rucio_says(client: Any, folder: Path) -> None:
    found = fetch_file_sizes(fileset(*LFNS), client=client)
    doors = found.redirectors()
    files = DatasetFiles("x", "x", None, False, 1.0, LFNS[3:], doors)
    records = list(inspect_files(Fileset((files,)), timeout_s=100))
    statistics = aggregate_statistics(records, size_summary=found)
    texts = [one.text for one in statistics.problems if one.kind == "catalogue"]
    size = (folder / LFNS[4][1:]).stat().st_size
    assert texts == [f"it has {size} bytes, Rucio says {size + 1}"]
    figure, ax = plot_file_size_distribution(statistics, size_summary=found)
    assert "Rucio" in ax.get_title()
    figure.clear()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"password": "wrong"}, "Cannot authenticate"),
        ({"rucio_host": "http://127.0.0.1:9", "auth_host": "http://127.0.0.1:9"}, "Cannot connect"),
        ({"auth_type": "x509_proxy"}, "proxy"),
    ],
)
def test_no_server_and_no_credentials_are_service_errors(
    rucio_server: RucioServer, tmp_path: Path, settings: dict[str, str], text: str
) -> None:
    settings = settings | {"auth_token_file_path": str(tmp_path / "token")}
    answer = asked(
        rucio_server.environment() | {"RUCIO_CONFIG": str(rucio_server.config_with(**settings))}
    )
    assert answer.startswith("ServiceError Rucio: ")
    assert text in answer


def test_no_configuration_is_a_service_error(tmp_path: Path) -> None:
    pytest.importorskip("rucio.client")
    assert "Could not load Rucio configuration" in asked({"RUCIO_HOME": str(tmp_path)})


def test_an_expired_proxy_is_named(rucio_server: RucioServer, tmp_path: Path) -> None:
    proxy = expired_proxy(tmp_path / "proxy.pem")
    config = rucio_server.config_with(
        auth_type="x509_proxy",
        client_x509_proxy=str(proxy),
        auth_token_file_path=str(tmp_path / "t"),
    )
    environment = rucio_server.environment() | {
        "RUCIO_CONFIG": str(config), "X509_USER_PROXY": str(proxy),
    }  # fmt: skip
    answer = asked(environment)
    assert answer.startswith("ServiceError")
    assert f"the X509 proxy {proxy} expired" in answer
    assert "voms-proxy-init" in answer


def asked(environment: dict[str, str]) -> str:
    """What `connect` says in a process of its own: the client reads its settings once."""
    code = (
        "from intccms.metrics.inspector.rucio import connect\n"
        "try: connect(); print('connected')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("RUCIO", "X509"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True
    )
    return done.stdout.strip()


def expired_proxy(path: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tester")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.TraditionalOpenSSL
    secret = key.private_bytes(pem, plain, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(pem) + secret)
    path.chmod(0o600)
    return path


def test_an_empty_summary_says_nothing() -> None:
    summary = SizeSummary()
    assert summary.redirectors() == ()
    assert summary.size_of("/store/a.root") is None
