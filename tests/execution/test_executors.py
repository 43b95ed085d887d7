from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from intccms.errors import OtherCodeError, WorkerLostError
from intccms.execution.accounting import Totals
from intccms.execution.dask.cluster import DaskExecutor
from intccms.execution.executors import Executor, FuturesExecutor, IterativeExecutor, open_executor
from intccms.schema.datasets import General
from tests.execution import tasks
from tests.execution.tasks import running

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("nothing_left")


@contextmanager
def opened(name: str) -> Iterator[Executor]:
    general = General(lumi=1.0, weight_branch="genWeight", executor=name, n_workers=2)
    with open_executor(general) as executor:
        assert executor.name == name
        yield executor


@pytest.mark.parametrize("name", ["iterative", "futures", "dask"])
def test_each_item_comes_back_once_with_its_result(name: str, tmp_path: Path) -> None:
    with opened(name) as executor:
        answers = list(executor.map(tasks.scale, range(50), arguments=(3,)))
        totals = Totals(lambda item: "even" if item % 2 == 0 else "odd")
        reports = list(executor.map(tasks.add_up, range(50), arguments=(tmp_path,), totals=totals))
    assert sorted(answers) == [(i, 3 * i) for i in range(50)]
    assert sorted(reports) == [(i, i) for i in range(50)]
    assert sorted(totals.by_group["even"]["items"]) == list(range(0, 50, 2))
    assert totals.by_group["odd"]["n"] == 25
    assert totals.by_group["odd"]["weight"] == sum(2.0 ** -(i % 40) for i in range(1, 50, 2))
    assert {len(file.read_text()) for file in tmp_path.glob("*.runs")} == {1}


@pytest.mark.parametrize("name", ["iterative", "futures", "dask"])
def test_what_a_function_raises_reaches_the_caller(name: str) -> None:
    with (
        opened(name) as executor,
        pytest.raises(ZeroDivisionError, match="the third"),
    ):
        list(executor.map(tasks.exploding, range(100)))


@pytest.mark.parametrize("name", ["futures", "dask"])
def test_what_was_running_is_ended_when_nobody_wants_it(name: str, tmp_path: Path) -> None:
    start = time.monotonic()
    with opened(name) as executor:
        answers = executor.map(tasks.stick_once, [5, 1, 2], arguments=(tmp_path,))
        next(answers)
        answers.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < tasks.STUCK_S / 2


def test_a_client_that_was_given_stays_open(start_cluster: Callable[..., Any]) -> None:
    _, client = start_cluster(1)
    general = General(lumi=1.0, weight_branch="genWeight", executor="iterative")
    with open_executor(general, client) as executor:
        assert isinstance(executor, DaskExecutor)
        assert dict(executor.map(tasks.scale, [2], arguments=(3,))) == {2: 6}
    assert client.submit(int, "7").result() == 7


def test_nothing_stays_on_a_cluster_that_was_lent(
    start_cluster: Callable[..., Any], tmp_path: Path
) -> None:
    cluster, client = start_cluster(2)
    executor = DaskExecutor(client)
    totals = Totals(lambda _: "all")
    list(executor.map(tasks.add_up, range(40), arguments=(tmp_path,), totals=totals))
    answers = executor.map(tasks.add_up, range(40), arguments=(tmp_path, 0.1), totals=totals)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    until = time.monotonic() + 10
    while cluster.scheduler.tasks and time.monotonic() < until:
        time.sleep(0.05)
    assert not cluster.scheduler.tasks
    assert not client.futures


@pytest.fixture
def processes(nothing_left: None) -> Iterator[Callable[..., FuturesExecutor]]:
    """Start executors that end with the test."""
    with ExitStack() as stack:

        def start(n_workers: int, **options: float) -> FuturesExecutor:
            return stack.enter_context(closing(FuturesExecutor(n_workers, **options)))

        yield start


def test_an_item_that_kills_its_process_is_named_and_the_others_are_done(
    processes: Callable[..., FuturesExecutor], tmp_path: Path
) -> None:
    totals = Totals(lambda _: "all")
    answers = dict(
        processes(2).map(tasks.kill_always, range(12), arguments=(tmp_path,), totals=totals)
    )
    assert isinstance(answers.pop(5), WorkerLostError)
    assert answers == {i: i for i in range(12) if i != 5}
    assert totals.by_group["all"]["n"] == 11
    runs = Counter({file.stem: len(file.read_text()) for file in tmp_path.glob("*.runs")})
    assert set(runs.values()) == {1}  # whoever ran beside it was not run again


def test_processes_stay_for_the_next_items(processes: Callable[..., FuturesExecutor]) -> None:
    others = running()  # servers of other tests
    executor = processes(1)
    assert list(executor.map(tasks.scale, [1], arguments=(2,))) == [(1, 2)]
    before = running(without=others)
    assert list(executor.map(tasks.scale, [1], arguments=(3,))) == [(1, 3)]
    assert running(without=others) == before


@dataclass(frozen=True)
class Placed:
    """An item that tells which file it needs."""

    place: str
    number: int


def who(item: Placed) -> int:
    time.sleep(0.1)
    return os.getpid()


def test_what_needs_one_file_runs_in_the_process_that_has_it_open(
    processes: Callable[..., FuturesExecutor],
) -> None:
    items = [Placed(f"file {i}", n) for i in range(6) for n in range(3)]
    answers = dict(processes(2).map(who, items))
    assert set(answers) == set(items)
    pids: dict[str, set[int]] = {}
    for item, pid in answers.items():
        pids.setdefault(item.place, set()).add(pid)
    shared = [place for place, several in pids.items() if len(several) > 1]
    assert len(shared) <= 1  # the last one, when nothing else is left
    assert len(set(answers.values())) == 2


def test_an_item_whose_process_was_killed_once_is_done(
    processes: Callable[..., FuturesExecutor], tmp_path: Path
) -> None:
    executor = processes(2)
    answers = dict(
        executor.map(tasks.kill_once, range(8), arguments=(tmp_path, 3), totals=Totals(str))
    )
    assert (tmp_path / "killed").exists()
    assert answers == {i: i for i in range(8)}


def test_a_process_that_is_killed_between_two_items_is_replaced(
    processes: Callable[..., FuturesExecutor],
) -> None:
    others = running()  # servers of other tests
    answers = processes(1).map(tasks.scale, range(4), arguments=(2,))
    found = [next(answers)]
    for pid in running(without=others):
        os.kill(pid, signal.SIGKILL)
    found += answers
    assert found == [(i, 2 * i) for i in range(4)]


def test_an_item_that_hangs_in_a_process_is_run_again(
    processes: Callable[..., FuturesExecutor], tmp_path: Path
) -> None:
    executor = processes(2, patience_s=8.0)  # more than the start of a process takes
    answers = dict(executor.map(tasks.stick_once, range(8), arguments=(tmp_path,)))
    assert answers[5][0] == 5
    assert len(answers) == 8


def test_a_function_that_no_process_can_read_says_so(
    processes: Callable[..., FuturesExecutor],
) -> None:
    with pytest.raises(OtherCodeError, match="no_such_module"):
        list(processes(2).map(tasks.scale, range(3), arguments=(_Unreadable(),)))


class _Unreadable:
    def __reduce__(self) -> Any:
        return __import__, ("no_such_module",)


SCRIPT = """
import sys
from pathlib import Path
from intccms.execution.executors import FuturesExecutor
from tests.execution.tasks import end_with_parent

if __name__ == "__main__":
    list(FuturesExecutor(2).map(end_with_parent, range(4), arguments=(Path(sys.argv[1]),)))
"""


def test_processes_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join(str(folder) for folder in (ROOT / "src", ROOT))
    command = [sys.executable, str(script), str(tmp_path)]
    parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    children = psutil.Process(parent.pid).children(recursive=True)
    workers = {int(file.stem) for file in tmp_path.glob("*.pid")}
    assert len(workers) == 2
    assert workers <= {child.pid for child in children}
    parent.kill()
    parent.wait(10)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_the_iterative_executor_runs_in_this_process() -> None:
    assert dict(IterativeExecutor().map(lambda _: os.getpid(), [0])) == {0: os.getpid()}
