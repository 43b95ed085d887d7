"""Gateways: a cluster is made and shut down, or joined and left; workers lack our code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dask_gateway import Gateway

from intccms import facility
from intccms.errors import InputError
from intccms.histograms import Book
from tests.facility.conftest import histograms, same
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
