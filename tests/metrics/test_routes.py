"""Our plots are served and listed by a scheduler that was started with the preload."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import dask
import pytest
from distributed import Client, LocalCluster

from intccms.execution.tasks import Silent
from intccms.metrics.preload import ROUTES
from intccms.metrics.recorder import TOPIC, WATCHER, Recorder, is_watched
from intccms.metrics.worker_tracker import WorkerTracker
from tests.metrics.watched import receipt


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with dask.config.set({"distributed.scheduler.preload": ["intccms.metrics.preload"]}):
        cluster = LocalCluster(n_workers=1, dashboard_address="127.0.0.1:0", processes=False)
    with cluster, Client(cluster) as client:
        yield client


def fetched(client: Client, route: str) -> bytes:
    port = urlsplit(client.dashboard_link).port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{route}") as answer:
        content: bytes = answer.read()
    return content


def watched(client: Client) -> dict[str, Any]:
    def look(dask_scheduler: Any) -> dict[str, Any]:
        state = dask_scheduler.plugins[WATCHER].refresh()
        return {
            "chunks": dict(state.chunks), "target": state.target_gbps, "ended": state.ended,
            "workers": state.timeline.samples[-1].n_workers, "datasets": list(state.datasets),
        }  # fmt: skip

    answer: dict[str, Any] = client.run_on_scheduler(look)
    return answer


def test_every_route_is_listed_and_served(client: Client) -> None:
    listed = json.loads(fetched(client, "/individual-plots.json"))
    assert set(ROUTES) <= set(listed.values())
    assert listed["Individual Intccms Event Rate"] == "/individual-intccms-event-rate"
    for route in ROUTES:
        assert b"intccms: " in fetched(client, route)


def test_the_scheduler_is_told_of_a_run_by_its_recorder(client: Client) -> None:
    assert is_watched(client)
    with Recorder(Silent(), client, interval_s=0.1, target_gbps=7.0) as recorder:
        recorder.begin("processing", total=2000, unit="events", parts={"data": [1000, 1000]})
        recorder.report(receipt("data", 0))
        recorder.report(receipt("data", 1, "failed", error_type="OSError"))
        recorder.end()
    seen = watched(client)
    assert seen["chunks"] == {"done": 1, "failed": 1}
    assert (seen["target"], seen["datasets"], seen["workers"]) == (7.0, ["data"], 1)
    assert seen["ended"] is not None


def test_other_events_are_left_alone(client: Client) -> None:
    before = watched(client)
    client.log_event("somebody-else", {"receipts": [receipt("data", 5).to_dict()]})
    assert watched(client)["chunks"] == before["chunks"]
    assert TOPIC != "somebody-else"


def test_the_scheduler_goes_on_sampling_when_a_tracker_stops(client: Client) -> None:
    with WorkerTracker(client):
        pass
    assert watched(client)["workers"] == 1


def test_a_scheduler_without_the_preload_is_left_as_it_is() -> None:
    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", processes=False) as cluster,
        Client(cluster) as client,
    ):
        assert not is_watched(client)
        with Recorder(Silent(), client, interval_s=None) as recorder:
            recorder.begin("processing", parts={"data": [1000]})
            recorder.report(receipt("data", 0))
            recorder.end()
        assert not is_watched(client)
