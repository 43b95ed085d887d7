"""Over TLS, as on coffea-casa: workers of another environment, which lack our code."""

from __future__ import annotations

import logging
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from intccms import facility
from intccms.errors import InputError
from intccms.histograms import Book
from tests.conftest import free_port
from tests.facility.certificates import make_proxy, make_secrets, make_token, security
from tests.facility.conftest import TlsCluster, histograms, processes, same

CONDOR = "coffeacasa-condor"


def options(cluster: TlsCluster, **more: Any) -> dict[str, Any]:
    return {"address": cluster.address, "secrets": cluster.secrets, **more}


def in_worker_environment(*names: str) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def test_an_analysis_gives_the_same_histograms_on_workers_that_had_none_of_its_code(
    tls_cluster: TlsCluster, tiny_sample: Path, tmp_path: Path, reference: Book
) -> None:
    with Client(tls_cluster.address, security=security(tls_cluster.secrets)) as client:
        assert client.run(_can_import, "example_opendata") == {one: False for one in _workers(client)}
    modules = ["example_opendata"]
    with facility.connect(CONDOR, modules=modules, **options(tls_cluster)) as client:
        book = histograms(tiny_sample, tmp_path / "out", client)
    assert same(book, reference)
    with Client(tls_cluster.address, security=security(tls_cluster.secrets)) as client:
        assert client.submit(sum, [1, 2]).result() == 3  # what was joined goes on


def _workers(client: Client) -> list[str]:
    return list(client.scheduler_info()["workers"])


_can_import: Any = eval("lambda name: __import__('importlib').util.find_spec(name) is not None")
