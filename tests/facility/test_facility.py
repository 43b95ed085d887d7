"""Names, factories, local workers: what is started is closed, what is joined stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from example_opendata.configs.configuration import config as example
from intccms import facility
from intccms.errors import InputError
from intccms.execution.executors import open_executor
from intccms.facility.sites import find_facility
from intccms.facility.upload import packed
from intccms.histograms import Book
from intccms.schema import load_config
from tests.facility.conftest import histograms, same
from tests.facility.probes import environment

SMALL: dict[str, Any] = {"processes": False, "dashboard_address": "127.0.0.1:0"}
made: list[Any] = []  # what the factories below have made


def a_client(n_workers: int | None = None) -> Client:
    made.append(LocalCluster(n_workers=n_workers, threads_per_worker=1, **SMALL))
    return Client(made[-1])


def a_cluster() -> LocalCluster:
    made.append(LocalCluster(n_workers=1, threads_per_worker=1, **SMALL))
    return made[-1]


@contextmanager
def a_manager(greeting: str) -> Iterator[Client]:
    with a_cluster() as cluster, Client(cluster) as client:
        made.append(greeting)
        yield client


def a_number() -> int:
    return 3


def named(function: str) -> str:
    return f"{__name__}:{function}"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest loads this file under a name that nobody else can import."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    made.clear()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("slrum", r"unknown facility 'slrum'; did you mean 'slurm'\?.*known: \['client', "),
        ("mars", r"unknown facility 'mars'; known: .*'slurm'\], module:function, or the address"),
        ("no_such_module:f", "cannot import 'no_such_module'"),
        ("example_opendata.configs.cuts:basline", "no such function; did you mean 'baseline'"),
    ],
)
def test_an_unknown_facility_is_refused_before_anything(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        facility.check(name)


def test_every_known_facility_is_one() -> None:
    for name in facility.known():
        facility.check(name)
    facility.check("tls://somewhere:8786")


@pytest.mark.parametrize("function", ["a_client", "a_cluster", "a_manager"])
def test_what_a_factory_gives_is_closed_at_the_end(function: str) -> None:
    options: dict[str, Any] = {"check": False}
    if function == "a_client":
        options["n_workers"] = 2
    if function == "a_manager":
        options["greeting"] = "hello"
    with facility.connect(named(function), **options) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        assert len(client.nthreads()) == (2 if function == "a_client" else 1)
    assert client.status == "closed"
    assert made[0].status.name == "closed"


def test_a_factory_that_gives_something_else_is_named() -> None:
    opened = find_facility(named("a_number")).open(None, {})
    with pytest.raises(InputError, match="gave a int, not a Dask client"), opened:
        pass


def test_a_client_that_is_there_stays_open() -> None:
    with a_client(1) as mine:
        with facility.connect(mine) as client:
            assert client is mine
        assert mine.submit(sum, [1, 2]).result() == 3
    made[0].close()


def test_the_facility_client_needs_an_address() -> None:
    with pytest.raises(InputError, match="needs an address"), facility.connect("client"):
        pass


def test_local_workers_have_nannies_and_the_environment_of_dotenv_and_give_the_same(
    tiny_sample: Path, tmp_path: Path, reference: Book
) -> None:
    Path(".env").write_text("MINE=here\n")
    overrides = ("general.facility=local", "general.n_workers=2")
    config = load_config(example, overrides)
    with open_executor(config.general, code=config) as executor:
        client: Client = executor.client  # type: ignore[attr-defined]
        assert executor.n_workers == 2
        workers = client.scheduler_info()["workers"].values()
        assert all(worker["nanny"] for worker in workers)
        assert client.submit(environment, "MINE").result() == {"MINE": "here"}
        assert same(histograms(tiny_sample, tmp_path / "out", client), reference)


def test_the_modules_of_a_configuration_are_found_with_what_they_import() -> None:
    config = load_config(example)
    found = facility.modules_of(config)
    assert {f"example_opendata.configs.{name}" for name in ("cuts", "kinematics")} <= set(found)
    assert not [name for name in found if not name.startswith("example_opendata")]


def test_code_that_is_too_large_or_absent_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "__init__.py").touch()
    with (tmp_path / "large" / "data.root").open("wb") as file:
        file.truncate(200_000_000)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="200 MB of code.*keep data out"):
        packed(["large"])
    with pytest.raises(InputError, match="cannot send 'absent_package'"):
        packed(["absent_package"])
