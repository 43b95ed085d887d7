"""A real cluster loses workers, memory, time and its connection; no item may be lost with them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Client

from intccms.errors import ClusterLostError, WorkerLostError
from intccms.execution.accounting import Totals
from intccms.execution.dask.cluster import DaskExecutor
from tests.execution import tasks
from tests.execution.links import Link

StartCluster = Callable[..., Any]

N = 60


def together() -> Totals:
    return Totals(lambda _: "all")


def check_complete(answers: dict[int, Any], totals: Totals, missing: tuple[int, ...] = ()) -> None:
    """Check that each item was answered, and is once, and only once, in the sums."""
    expected = [item for item in range(N) if item not in missing]
    sums = totals.by_group["all"]
    assert {item: answers[item] for item in expected} == {item: item for item in expected}
    assert sorted(answers) == list(range(N))
    assert sorted(sums["items"]) == expected
    assert sums["n"] == len(expected)
    assert sums["weight"] == sum(2.0 ** -(item % 40) for item in expected)


def make_good(
    client: Client,
    function: Callable[..., int],
    folder: Path,
    totals: Totals,
    *,
    without_5: bool = False,
) -> None:
    """Run once more what went down with a worker and could not be made again, as ChunkRun does."""
    items = set(totals.by_group.get("all", {"items": ()})["items"])
    gone = [item for item in range(N) if item not in items and (item != 5 or not without_5)]
    list(DaskExecutor(client).map(function, gone, arguments=(folder,), totals=totals))


def none_twice(totals: Totals) -> bool:
    """Whether no item is in the sums twice.

    Sums that went down with a worker and cannot be made again are left out, and the totals say
    so: ChunkRun then runs their chunks once more (test_rounds).
    """
    items = totals.by_group.get("all", {"items": ()})["items"]
    return len(set(items)) == len(items)


def test_a_worker_that_is_killed_loses_nothing(start_cluster: StartCluster, tmp_path: Path) -> None:
    _, client = start_cluster(2)
    totals = together()
    answers = dict(
        DaskExecutor(client).map(tasks.kill_once, range(N), arguments=(tmp_path,), totals=totals)
    )
    assert (tmp_path / "killed").exists()
    assert answers == {item: item for item in range(N)}
    assert none_twice(totals)


def test_an_item_that_kills_its_workers_is_named_and_the_others_are_done(
    start_cluster: StartCluster, tmp_path: Path
) -> None:
    _, client = start_cluster(2)
    totals = together()
    answers = dict(
        DaskExecutor(client).map(
            tasks.kill_always, range(N), arguments=(tmp_path,), totals=totals, careful=True
        )
    )
    make_good(client, tasks.kill_always, tmp_path, totals, without_5=True)
    assert isinstance(answers[5], WorkerLostError)
    assert "was killed, or out of memory" in str(answers[5])
    check_complete(answers, totals, missing=(5,))


def test_a_worker_above_its_memory_limit_is_started_anew(
    start_cluster: StartCluster, tmp_path: Path
) -> None:
    _, client = start_cluster(2, memory_limit="1GB")
    totals = together()
    answers = dict(
        DaskExecutor(client).map(
            tasks.eat, range(N), arguments=(tmp_path,), totals=totals, careful=True
        )
    )
    make_good(client, tasks.eat, tmp_path, totals, without_5=True)
    assert isinstance(answers[5], WorkerLostError)
    check_complete(answers, totals, missing=(5,))


def test_all_workers_at_once_may_be_killed(start_cluster: StartCluster, tmp_path: Path) -> None:
    _, client = start_cluster(2)
    totals = together()
    running = DaskExecutor(client).map(
        tasks.add_up, range(N), arguments=(tmp_path, 0.05), totals=totals
    )
    answers = dict(next(running) for _ in range(20))
    for pid in client.run(os.getpid).values():
        os.kill(pid, signal.SIGKILL)
    answers |= dict(running)
    assert answers == {item: item for item in range(N)}
    assert none_twice(totals)


def test_workers_may_leave_and_come_while_it_runs(
    start_cluster: StartCluster, tmp_path: Path
) -> None:
    cluster, client = start_cluster(3)
    totals = together()
    running = DaskExecutor(client).map(
        tasks.add_up, range(N), arguments=(tmp_path, 0.1), totals=totals
    )
    answers = dict(next(running) for _ in range(20))
    cluster.scale(1)
    answers |= dict(next(running) for _ in range(20))
    cluster.scale(2)
    answers |= dict(running)
    make_good(client, tasks.add_up, tmp_path, totals)
    check_complete(answers, totals)
    assert {len(file.read_text()) for file in tmp_path.glob("*.runs")} <= {1, 2, 3}


def test_an_adaptive_cluster_begins_with_nothing_and_shrinks(
    start_cluster: StartCluster, tmp_path: Path
) -> None:
    cluster, client = start_cluster(0)
    cluster.adapt(minimum=0, maximum=2, interval="100ms", wait_count=2, target_duration="500ms")
    totals = together()
    running = DaskExecutor(client).map(
        tasks.add_up, range(N), arguments=(tmp_path, 0.1), totals=totals
    )
    answers = dict(next(running) for _ in range(30))
    time.sleep(3)  # nothing is asked for: it shrinks, with sums that are not yet fetched
    answers |= dict(running)
    make_good(client, tasks.add_up, tmp_path, totals)
    check_complete(answers, totals)


def test_an_item_that_hangs_is_run_elsewhere_and_counts_once(
    start_cluster: StartCluster, tmp_path: Path
) -> None:
    _, client = start_cluster(2)
    totals = together()
    start = time.monotonic()
    executor = DaskExecutor(client, patience_s=5.0)
    answers = dict(executor.map(tasks.stick_once, range(N), arguments=(tmp_path,), totals=totals))
    assert time.monotonic() - start < tasks.STUCK_S / 2
    check_complete(answers, totals)


def test_an_item_that_hangs_everywhere_is_named_and_the_others_are_done(
    start_cluster: StartCluster, tmp_path: Path
) -> None:
    _, client = start_cluster(2)
    totals = together()
    executor = DaskExecutor(client, patience_s=5.0)
    answers = dict(executor.map(tasks.stick_always, range(N), arguments=(tmp_path,), totals=totals))
    assert isinstance(answers[5], WorkerLostError)
    check_complete(answers, totals, missing=(5,))


def test_the_client_sees_few_sums(start_cluster: StartCluster, tmp_path: Path) -> None:
    _, client = start_cluster(2)
    taken: list[int] = []

    class Counting(Totals):
        def take(self, group: str, sums: Any) -> None:
            taken.append(sums["n"])
            super().take(group, sums)

    totals = Counting(lambda _: "all")
    arguments = (tmp_path,)
    list(DaskExecutor(client).map(tasks.add_up, range(300), arguments=arguments, totals=totals))
    assert totals.by_group["all"]["n"] == sum(taken) == 300
    assert sorted(taken) == [44, 256]


def test_a_connection_that_is_cut_and_comes_back_loses_nothing(
    far_client: tuple[Link, Client], tmp_path: Path
) -> None:
    link, client = far_client
    totals = together()
    running = DaskExecutor(client).map(
        tasks.add_up, range(N), arguments=(tmp_path, 0.05), totals=totals
    )
    answers = dict(next(running) for _ in range(20))
    link.cut()
    time.sleep(1)
    link.restore()
    answers |= dict(running)
    assert sorted(answers) == list(range(N))
    # sums that were still on the cluster are gone; the totals say so, and hold none twice
    held = totals.by_group["all"]["items"]
    assert len(set(held)) == len(held) == totals.by_group["all"]["n"]
    assert set(range(N - 5, N)) <= set(held)  # what came last came after the cut


def test_a_connection_that_stays_away_names_what_is_left(
    far_client: tuple[Link, Client], tmp_path: Path
) -> None:
    link, client = far_client
    running = DaskExecutor(client).map(
        tasks.add_up, range(N), arguments=(tmp_path, 0.05), totals=together()
    )
    answers = dict(next(running) for _ in range(20))
    link.cut()
    start = time.monotonic()
    answers |= dict(running)
    assert time.monotonic() - start < tasks.STUCK_S / 2
    assert sorted(answers) == list(range(N))
    lost = [item for item, answer in answers.items() if isinstance(answer, ClusterLostError)]
    assert 0 < len(lost) <= N - 20
