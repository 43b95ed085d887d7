"""Gateways: a cluster is made and shut down, or joined and left; workers lack our code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import dask
import pytest
from dask_gateway import Gateway

from intccms import facility
from intccms.errors import InputError
from intccms.histograms import Book
from tests.facility.conftest import histograms, same
from tests.facility.disturbed import PAUSE, Trial, kill_one
from tests.facility.gateway import GatewayServer, gateway

pytestmark = [
    pytest.mark.facility,
    # dask-gateway 2026.3 closes a Gateway once more when it is dropped, without its loop
    pytest.mark.filterwarnings("ignore:Exception ignored in. <function Gateway.__del__"),
]


@pytest.fixture(autouse=True)
def dropped() -> Iterator[None]:
    yield
    gc.collect()  # while that warning is ignored


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    other_python: Path,
    require: Callable[[object, str], None],
) -> Iterator[GatewayServer]:
    program = Path(sys.executable).parent / "dask-gateway-server"
    require(program, "no dask-gateway-server here (pip install 'dask-gateway-server[local]')")
    with gateway(program, tmp_path_factory.mktemp("gateway"), other_python) as running:
        yield running


def clusters(server: GatewayServer, user: str) -> list[str]:
    return [report.name for report in Gateway(**server.options(user)).list_clusters()]


def test_a_cluster_is_made_for_the_analysis_and_shut_down(
    server: GatewayServer, tiny_sample: Path, tmp_path: Path, reference: Book
) -> None:
    options = {"modules": ["example_opendata"], **server.options("alice")}
    with facility.connect("coffeacasa-gateway", n_workers=1, **options) as client:
        assert len(clusters(server, "alice")) == 1
        book = histograms(tiny_sample, tmp_path / "out", client)
    assert same(book, reference)
    assert clusters(server, "alice") == []


def test_a_cluster_that_runs_is_joined_and_left(server: GatewayServer) -> None:
    with Gateway(**server.options("bob")).new_cluster() as cluster:
        cluster.scale(1)
        with facility.connect("purdue-af", **server.options("bob")) as client:
            assert client.submit(sum, [1, 2]).result() == 3
        assert clusters(server, "bob") == [cluster.name]


def test_workers_that_are_killed_in_mid_run_cost_no_event_and_a_lost_cluster_names_what_is_left(
    server: GatewayServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path)
    for name, value in PAUSE.items():
        monkeypatch.setenv(name, value)
    options = {"modules": ["tests"], **server.options("dora")}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "15s"}),  # else 30 s for the lost one
        facility.connect("coffeacasa-gateway", n_workers=2, **options) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        at = {10: lambda: kill_one(client), 30: lambda: kill_one(client)}
        assert trial.is_as_quiet(trial.run("killed", client, at))
        [cluster] = clusters(server, "dora")
        stop = partial(Gateway(**server.options("dora")).stop_cluster, cluster)
        ledger = trial.run("stopped", client, {10: stop}).ledger
        assert all("scheduler" in lost.error for lost in ledger.lost_chunks)
        book = ledger.datasets["ttbar"]
        assert book.lost.events
        assert book.planned.events == book.processed.events + book.lost.events
    trial.check_resumed("stopped")


def test_a_cluster_that_is_not_there_is_an_error_that_names_those_that_are(
    server: GatewayServer,
) -> None:
    with (
        pytest.raises(InputError, match=r"no gateway cluster 'mine' is running; known: \[\]"),
        facility.connect("purdue-af", cluster="mine", **server.options("carol")),
    ):
        pass


def test_an_option_that_the_site_does_not_offer_is_an_error_that_lists_its_options(
    server: GatewayServer,
) -> None:
    with (
        pytest.raises(InputError, match="starts no cluster.*pixi_project.*its options"),
        facility.connect("purdue-af", pixi_project="x", **server.options("carol")),
    ):
        pass


def test_a_gateway_that_does_not_answer_is_named() -> None:
    with (
        pytest.raises(InputError, match="Gateway at http://127.0.0.1:1 does not answer"),
        facility.connect("coffeacasa-gateway", address="http://127.0.0.1:1"),
    ):
        pass


def test_a_session_without_a_gateway_is_told_what_to_set() -> None:
    with (
        pytest.raises(InputError, match="no Dask Gateway.*address"),
        facility.connect("coffeacasa-gateway"),
    ):
        pass
