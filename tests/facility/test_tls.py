"""Over TLS, as on coffea-casa: workers of another environment, which lack our code."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import cloudpickle
import dask
import pytest
from distributed import Client

from intccms import facility
from intccms.errors import InputError
from intccms.histograms import Book
from tests.conftest import free_port
from tests.facility import probes
from tests.facility.certificates import make_proxy, make_secrets, make_token, security
from tests.facility.conftest import TlsCluster, histograms, processes, same
from tests.facility.probes import environment, file_of, finds, talk

CONDOR = "coffeacasa-condor"
SECRET = "p4ssw0rd-of-nobody"


@contextmanager
def connected(cluster: TlsCluster, **options: Any) -> Iterator[Client]:
    where = {"address": cluster.address, "secrets": cluster.secrets}
    with facility.connect(CONDOR, **where, **options) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def by_value() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(probes)
    yield
    cloudpickle.unregister_pickle_by_value(probes)


def answer(client: Client, function: Any, *arguments: str) -> Any:
    """Ask the one worker."""
    [found] = client.run(function, *arguments).values()
    return found


@pytest.fixture
def stranger(tls_cluster: TlsCluster) -> Iterator[Client]:
    """A client that brings nothing."""
    with Client(tls_cluster.address, security=security(tls_cluster.secrets)) as client:
        yield client


VARIABLES = ("X509_USER_PROXY", "BEARER_TOKEN_FILE", "MY_SECRET", "MINE", "XRD_CONNECTIONWINDOW")


def test_an_analysis_gives_the_same_histograms_on_workers_that_had_none_of_its_code(
    tls_cluster: TlsCluster, stranger: Client, tiny_sample: Path, tmp_path: Path, reference: Book
) -> None:
    assert set(stranger.run(finds, "example_opendata").values()) == {False}
    with connected(tls_cluster, modules=["example_opendata"]) as client:
        book = histograms(tiny_sample, tmp_path / "out", client)
    assert same(book, reference)
    assert stranger.submit(sum, [1, 2]).result() == 3  # what was joined goes on


def test_the_configuration_names_the_facility_and_its_code_is_found_and_sent(
    tls_cluster: TlsCluster,
    tiny_sample: Path,
    tmp_path: Path,
    reference: Book,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny_sample)  # workers run somewhere else
    certificate = str(tls_cluster.secrets / "hostcert.pem")
    settings = {
        "distributed.comm.tls.ca-file": str(tls_cluster.secrets / "ca.pem"),
        "distributed.comm.tls.client.cert": certificate,
        "distributed.comm.tls.client.key": certificate,
    }
    with dask.config.set(settings):
        overrides = (f"general.facility={tls_cluster.address}", "general.base_dir=.")
        book = histograms(tiny_sample, tmp_path / "out", None, *overrides)
    assert same(book, reference)


def test_credentials_and_environment_arrive_are_private_and_are_taken_away(
    tls_cluster: TlsCluster,
    stranger: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = make_proxy(tmp_path / "proxy", hours=5)
    token = make_token(hours=5)
    monkeypatch.setenv("X509_USER_PROXY", str(proxy))
    monkeypatch.setenv("BEARER_TOKEN", token)
    Path(".env").write_text(f"# mine\nexport MY_SECRET='{SECRET}'\nMINE=not this\n")
    with connected(tls_cluster, environment={"MINE": "this"}) as client:
        path, mode, content = answer(client, file_of, "X509_USER_PROXY")
        assert (mode, content) == (0o600, proxy.read_bytes())
        token_path, mode, content = answer(client, file_of, "BEARER_TOKEN_FILE")
        assert (mode, content) == (0o600, token.encode())
        seen = answer(client, environment, *VARIABLES)
        assert seen == {
            "X509_USER_PROXY": path,
            "BEARER_TOKEN_FILE": token_path,
            "MY_SECRET": SECRET,
            "MINE": "this",
            "XRD_CONNECTIONWINDOW": os.environ["XRD_CONNECTIONWINDOW"],
        }
        with processes(
            tls_cluster.worker("late"), cwd=tmp_path / "cwd", env=tls_cluster.environment
        ):
            client.wait_for_workers(2, timeout=60)
            late = [
                address
                for address, worker in client.scheduler_info()["workers"].items()
                if worker["name"] == "late"
            ]
            again = client.run(environment, "MY_SECRET", workers=late)
            assert list(again.values()) == [{"MY_SECRET": SECRET}]
            assert set(client.run(finds, "intccms.engine.chunk").values()) == {True}
    assert not Path(path).exists()
    assert not Path(token_path).exists()
    after = answer(stranger, environment, "MY_SECRET", "X509_USER_PROXY")
    assert after == {"MY_SECRET": None, "X509_USER_PROXY": None}
    assert SECRET not in os.environ.values()
    logs = [tls_cluster.folder / "0.log", tls_cluster.folder / "1.log"]
    told = caplog.text + "".join(path.read_text() for path in logs)
    assert "intccms-upload" in told
    assert "MY_SECRET" in caplog.text
    for secret in (SECRET, token, proxy.read_text().splitlines()[1]):
        assert secret not in told


def test_secrets_are_in_no_file_that_a_run_writes(
    tls_cluster: TlsCluster, tiny_sample: Path, tmp_path: Path
) -> None:
    Path(".env").write_text(f'MY_SECRET="{SECRET}"\n')
    with connected(tls_cluster, modules=["example_opendata"]) as client:
        histograms(tiny_sample, tmp_path / "out", client)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"config.json", "run_summary.json"} <= {path.name for path in written}
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    left = [path for path in tls_cluster.folder.rglob("*") if path.is_file()]
    assert not [path for path in left if SECRET.encode() in path.read_bytes()]


def test_a_scheduler_that_is_not_there_is_named_within_ten_seconds(secrets: Path) -> None:
    address = f"tls://127.0.0.1:{free_port()}"
    start = time.monotonic()
    with (
        pytest.raises(InputError, match=f"no Dask scheduler at {address} answered.*ca.pem"),
        facility.connect(CONDOR, address=address, secrets=secrets),
    ):
        pass
    assert time.monotonic() - start < 10


def test_a_certificate_of_somebody_else_is_named(tls_cluster: TlsCluster, tmp_path: Path) -> None:
    other = make_secrets(tmp_path / "other", "somebody else")
    with (
        pytest.raises(InputError, match=r"tried with ca_file .*other/ca.pem.*belong"),
        facility.connect(CONDOR, address=tls_cluster.address, secrets=other),
    ):
        pass


def test_without_a_certificate_the_error_says_where_to_put_it(tls_cluster: TlsCluster) -> None:
    with (
        pytest.raises(InputError, match="no certificate.*distributed.comm.tls"),
        facility.connect(CONDOR, address=tls_cluster.address),
    ):
        pass


def test_a_worker_that_cannot_import_is_named_before_anything_is_run(
    tls_cluster: TlsCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("only_here", ""), ("needs_it", "import only_here\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path / name))
    with (
        pytest.raises(InputError, match=r"1 of 1 workers cannot import.*tls://.*'only_here'"),
        connected(tls_cluster, modules=["needs_it"]),
    ):
        pass
    with connected(tls_cluster, modules=["needs_it", "only_here"]) as client:
        assert set(client.run(finds, "needs_it").values()) == {True}


def test_versions_that_do_not_fit_are_named_before_anything_is_run(
    tls_cluster: TlsCluster, tmp_path: Path
) -> None:
    for name in ("awkward-1.10.0", "hist-2.0.0"):
        package, version = name.split("-")
        (tmp_path / f"{name}.dist-info").mkdir()
        text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        (tmp_path / f"{name}.dist-info" / "METADATA").write_text(text)
    env = {**tls_cluster.environment, "PYTHONPATH": str(tmp_path)}
    with (
        processes(tls_cluster.worker("old"), cwd=tmp_path / "cwd", env=env),
        Client(tls_cluster.address, security=security(tls_cluster.secrets)) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        with (
            pytest.raises(InputError, match=r"awkward is 2\S+ here, 1\.10\.0 on worker tls://"),
            connected(tls_cluster),
        ):
            pass


def test_packages_are_installed_where_they_are_missing(
    tls_cluster: TlsCluster, tmp_path: Path
) -> None:
    wheel = tmp_path / "tiny_thing-1.0-py3-none-any.whl"
    info = "tiny_thing-1.0.dist-info"
    with ZipFile(wheel, "w") as file:
        file.writestr("tiny_thing.py", "answer = 42\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny_thing\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
                      "Tag: py3-none-any\n")  # fmt: skip
        file.writestr(f"{info}/RECORD", "")
    with connected(tls_cluster, pip=[str(wheel)]) as client:
        assert answer(client, finds, "tiny_thing")
    with (
        pytest.raises(InputError, match="cannot install"),
        connected(tls_cluster, pip=[str(tmp_path / "absent-1.0-py3-none-any.whl")]),
    ):
        pass


def test_what_workers_print_and_log_is_shown_here_on_request(
    tls_cluster: TlsCluster, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with connected(tls_cluster, forward_logs=True) as client:
        answer(client, talk)
        until = time.monotonic() + 20
        out = ""
        while ("printed" not in out or "logged" not in caplog.text) and time.monotonic() < until:
            time.sleep(0.1)
            out += capsys.readouterr().out
    assert "printed" in out
    assert "logged" in caplog.text
