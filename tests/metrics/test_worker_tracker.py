"""Workers of a real cluster, sampled on its scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from intccms.errors import InputError
from intccms.metrics.worker_tracker import NAME, Sample, Timeline, WorkerLoad, WorkerTracker


def sample(t: float, n_workers: int) -> Sample:
    return Sample(t, n_workers, 2 * n_workers, 0, 0, 0, 0.0, 0, 0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_tracked(client: Client) -> bool:
    return bool(client.run_on_scheduler(lambda dask_scheduler: NAME in dask_scheduler.plugins))


def test_core_seconds_are_the_integral_of_threads_that_come_and_go() -> None:
    timeline = Timeline([sample(100.0, 1), sample(110.0, 5), sample(120.0, 0), sample(125.0, 2)])
    assert timeline.integral("n_workers", 100.0, 130.0) == 10 * 1 + 10 * 5 + 5 * 0 + 5 * 2
    assert timeline.integral("n_threads", 105.0, 115.0) == 5 * 2 + 5 * 10
    assert timeline.integral("n_workers", 90.0, 100.0) == 10  # the first sample holds before it
    assert timeline.integral("n_workers", 200.0, 210.0) == 20
    assert timeline.peak("n_workers") == 5
    assert Timeline().integral("n_workers", 0.0, 1.0) is None


def test_workers_are_sampled_while_they_work(cluster: LocalCluster, tmp_path: Path) -> None:
    with Client(cluster) as client:
        with WorkerTracker(client, interval_s=0.1) as tracker:
            client.submit(time.sleep, 2.0, pure=False).result()
        timeline = tracker.timeline
        assert not is_tracked(client)
    assert len(timeline.samples) > 5
    assert {one.n_threads for one in timeline.samples} == {2}
    assert max(one.n_executing for one in timeline.samples) == 1
    (worker,) = timeline.workers.values()
    assert worker.memory_limit_bytes >= worker.peak_bytes >= worker.memory_bytes > 10_000_000
    assert worker.last_seen > worker.first_seen
    timeline.save(tmp_path / "worker_timeline.json")
    assert Timeline.load(tmp_path / "worker_timeline.json") == timeline


def test_samples_outlive_the_client_that_asked_for_them(cluster: LocalCluster) -> None:
    with Client(cluster) as first:
        WorkerTracker(first, interval_s=0.1).start()
        until(lambda: len(WorkerTracker(first).fetch()[0]) > 3)
    with Client(cluster) as second:
        tracker = WorkerTracker(second)
        tracker.fetch()
        assert len(tracker.timeline.samples) > 3
        tracker.start()
        tracker.stop()
        assert not is_tracked(second)


def test_workers_that_come_are_noted_at_once(cluster: LocalCluster) -> None:
    with Client(cluster) as client, WorkerTracker(client, interval_s=3600.0) as tracker:
        cluster.scale(2)
        client.wait_for_workers(2, timeout=60)
        tracker.fetch()
        assert tracker.timeline.samples[-1].n_threads == 4


def test_two_users_share_one_sampler(cluster: LocalCluster) -> None:
    with Client(cluster) as one, Client(cluster) as other:
        mine, theirs = WorkerTracker(one), WorkerTracker(other)
        mine.start()
        theirs.start()
        mine.stop()
        assert is_tracked(other)
        theirs.stop()
        assert not is_tracked(other)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "worker_timeline.json"
    path.write_text('{"samples": {}}')
    with pytest.raises(InputError, match="worker_timeline"):
        Timeline.load(path)


def test_loads_are_plain_numbers() -> None:
    assert set(WorkerLoad._fields) >= {"address", "host", "peak_bytes", "mean_cpu_percent"}
