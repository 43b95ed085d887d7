from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.processor.executor import WorkItem
from distributed import Client

from intccms.execution.checkpoints import CheckpointStore
from intccms.execution.chunk import ChunkOutcome, ChunkPolicy
from intccms.execution.dask.cluster import DaskExecutor
from intccms.execution.executors import Executor, FuturesExecutor, IterativeExecutor
from intccms.execution.rounds import ChunkRun
from intccms.execution.tasks import ChunkTask
from intccms.histograms.exact import ExactSums
from tests.engine.conftest import make_events, write_file
from tests.execution.links import Link

N_EVENTS, SIZE = 1200, 100
VICTIM = 150  # an event in the second chunk
pytestmark = pytest.mark.usefixtures("nothing_left")


class Killing:
    """Kills its process if there are more than `limit` events, among them the victim."""

    def __init__(self, limit: int | None = None, pause_s: float = 0.0) -> None:
        self.limit, self.pause_s = limit, pause_s

    def process(self, events: ak.Array) -> dict[str, Any]:
        numbers = np.asarray(events.event)
        time.sleep(self.pause_s)
        if self.limit is not None and len(numbers) > self.limit and VICTIM in numbers:
            os.kill(os.getpid(), signal.SIGKILL)
        return {
            "n_events": len(numbers),
            "n_kept": 0,
            "sumw": ExactSums.total(events.genWeight),
            "fill_s": 0.0,
        }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_file(tmp_path_factory.mktemp("file") / "a.root", make_events(N_EVENTS, seed=5))


@pytest.fixture
def chunks(path: Path) -> list[ChunkTask]:
    with uproot.open(path) as file:
        uuid = str(file.file.uuid)
    items = (
        WorkItem("mc", str(path), "Events", start, start + SIZE, uuid)
        for start in range(0, N_EVENTS, SIZE)
    )
    return [ChunkTask(item, (str(path),), f"{i:064x}") for i, item in enumerate(items)]


def policy(folder: Path) -> ChunkPolicy:
    return ChunkPolicy(store=CheckpointStore(str(folder), codecs={"ExactSums": ExactSums}))


def run(
    executor: Executor, chunks: list[ChunkTask], policy: ChunkPolicy, limit: int | None = None
) -> tuple[list[ChunkOutcome], dict[str, Any]]:
    campaign = ChunkRun(executor, Killing(limit), policy)
    return list(campaign.outcomes(chunks)), campaign.totals.by_group["mc"]


def ranges(outcomes: list[ChunkOutcome], status: str) -> list[tuple[int, int]]:
    receipts = [outcome.report for outcome in outcomes]
    return sorted((r.entry_start, r.entry_stop) for r in receipts if r.status == status)


PLANNED = [(start, start + SIZE) for start in range(0, N_EVENTS, SIZE)]


def test_a_chunk_that_is_too_much_for_a_process_is_halved(
    chunks: list[ChunkTask], tmp_path: Path
) -> None:
    clean, expected = run(IterativeExecutor(), chunks, ChunkPolicy())
    with closing(FuturesExecutor(2)) as processes:
        outcomes, sums = run(processes, chunks, policy(tmp_path), limit=SIZE // 2)
    assert ranges(outcomes, "done") == ranges(clean, "done") == PLANNED
    assert sums["sumw"] == expected["sumw"]
    assert sums["n_events"] == N_EVENTS
    (file,) = sums["files"].values()
    assert sorted(file.entries) == [start for start, _ in PLANNED]
    assert file.sumw == expected["sumw"]
    # both halves are kept as the planned chunk: with them nothing is killed any more
    again, same = run(IterativeExecutor(), chunks, policy(tmp_path), limit=SIZE // 2)
    assert ranges(again, "resumed") == PLANNED
    assert same["sumw"] == expected["sumw"]


def test_a_chunk_that_kills_however_small_it_is_is_lost_as_a_whole(
    chunks: list[ChunkTask], tmp_path: Path, start_cluster: Callable[..., Any]
) -> None:
    _, client = start_cluster(2, allowed_failures=0)
    executor = DaskExecutor(client)
    outcomes, sums = run(executor, chunks[:4], policy(tmp_path), limit=1)
    assert ranges(outcomes, "failed") == [(100, 200)]
    kept = sorted(ranges(outcomes, "done") + ranges(outcomes, "resumed"))  # see below
    assert kept == [(0, 100), (200, 300), (300, 400)]
    [lost] = [one.report for one in outcomes if one.report.status == "failed"]
    assert (lost.stage, lost.error_type) == ("process", "KilledWorker")
    assert sums["n_events"] == 300


def test_a_killed_worker_on_dask_is_halved_too(
    chunks: list[ChunkTask], tmp_path: Path, start_cluster: Callable[..., Any]
) -> None:
    _, client = start_cluster(2)
    _, expected = run(IterativeExecutor(), chunks, ChunkPolicy())
    outcomes, sums = run(DaskExecutor(client), chunks, policy(tmp_path), limit=SIZE // 2)
    # what Dask runs again after a death may have been kept the first time
    assert sorted(ranges(outcomes, "done") + ranges(outcomes, "resumed")) == PLANNED
    assert sums["sumw"] == expected["sumw"]


def test_sums_that_went_down_with_a_connection_are_made_again(
    chunks: list[ChunkTask], tmp_path: Path, far_client: tuple[Link, Client]
) -> None:
    link, client = far_client
    _, expected = run(IterativeExecutor(), chunks, ChunkPolicy())
    campaign = ChunkRun(DaskExecutor(client), Killing(pause_s=0.1), policy(tmp_path))
    outcomes = []
    for outcome in campaign.outcomes(chunks):
        outcomes.append(outcome)
        if len(outcomes) == 6:
            link.cut()
            time.sleep(1)
            link.restore()
    last = {outcome.report.entry_start: outcome for outcome in outcomes}
    assert len(last) == len(chunks)
    assert {one.report.status for one in last.values()} <= {"done", "resumed"}
    sums = campaign.totals.by_group["mc"]
    assert sums["n_events"] == N_EVENTS
    assert sums["sumw"] == expected["sumw"]


def test_receipts_are_true_when_the_cluster_is_lost_for_good(
    chunks: list[ChunkTask], tmp_path: Path, far_client: tuple[Link, Client]
) -> None:
    link, client = far_client
    campaign = ChunkRun(DaskExecutor(client), Killing(pause_s=0.1), policy(tmp_path))
    outcomes = []
    for outcome in campaign.outcomes(chunks):
        outcomes.append(outcome)
        if len(outcomes) == 6:
            link.cut()
    last = {outcome.report.entry_start: outcome for outcome in outcomes}
    assert len(last) == len(chunks)
    lost = [one.report for one in last.values() if one.report.status == "failed"]
    assert {receipt.error_type for receipt in lost} == {"ClusterLost"}
    held = campaign.totals.by_group.get("mc", {"n_events": 0})
    assert held["n_events"] == SIZE * (len(chunks) - len(lost))
    # what was done before is kept, and need not be done again
    again, sums = run(IterativeExecutor(), chunks, policy(tmp_path))
    assert len(ranges(again, "resumed")) >= 6
    assert sums["n_events"] == N_EVENTS


class Late:
    """Fails to read as often as told, however often it is shipped: it counts in a file."""

    def __init__(self, marks: Path, n_failures: int) -> None:
        self.marks, self.n_failures = marks, n_failures

    def process(self, events: ak.Array) -> dict[str, Any]:
        before = len(self.marks.read_text()) if self.marks.exists() else 0
        if before < self.n_failures:
            self.marks.write_text("x" * (before + 1))
            raise OSError("the server does not answer")
        n = len(events)
        return {"n_events": n, "n_kept": 0, "sumw": ExactSums.total([n]), "fill_s": 0.0}


@pytest.mark.parametrize(("n_failures", "status"), [(3, "done"), (4, "failed")])
def test_what_could_not_be_read_is_tried_once_more_when_all_else_is_done(
    chunks: list[ChunkTask], tmp_path: Path, n_failures: int, status: str
) -> None:
    processor = Late(tmp_path / "marks", n_failures)
    chunk_run = ChunkRun(IterativeExecutor(), processor, ChunkPolicy(max_retries=1))
    outcomes = list(chunk_run.outcomes(chunks[:1]))
    assert [(one.report.status, one.report.tries) for one in outcomes] == [(status, 4)]
