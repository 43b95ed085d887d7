"""A run that is killed at any point is taken up again, and gives the same bits."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from intccms.analysis.runner import AnalysisResult
from tests.faults.conftest import N_FILES
from tests.faults.kills import killed_and_resumed, until_begun
from tests.faults.runs import bits, end, started

N_WORKERS = 2


@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_workers_do_not_outlive_a_run_that_is_killed(
    local: Path, tmp_path: Path, executor: str
) -> None:
    settings = {"base_dir": str(local), "output_dir": str(tmp_path / "output")}
    settings |= {"executor": executor, "n_workers": N_WORKERS}
    marks, log = tmp_path / "marks", tmp_path / "log"
    marks.touch()
    arguments = ["-m", "tests.faults.runs", json.dumps(settings), str(tmp_path / "out.json")]
    run = started(arguments, log, MARKS=str(marks), PAUSE_S="0.1")
    try:
        until_begun(marks, 3, run, log)
        workers = psutil.Process(run.pid).children(recursive=True)
        run.kill()  # the process itself, not its group
        run.wait()
        _, alive = psutil.wait_procs(workers, timeout=20)
    finally:
        end(run)
    assert workers
    assert alive == []


@pytest.mark.slow
def test_a_run_that_is_killed_three_times_gives_the_same_bits(
    local: Path, tmp_path: Path, expected: AnalysisResult
) -> None:
    settings = {
        "base_dir": str(local),
        "output_dir": str(tmp_path / "output"),
        "executor": "futures",
        "n_workers": N_WORKERS,
    }
    loop = killed_and_resumed(settings, tmp_path, n_kills=3, n_files=N_FILES, seed=3)
    n_chunks = len(expected.reports)
    assert loop.outcome["bits"] == bits(expected)
    assert loop.outcome["ledger"]["lost_chunks"] == []
    assert [kill.redone for kill in loop.kills if kill.redone > N_WORKERS] == []
    assert len(loop.begun) == n_chunks
    assert sum(loop.begun.values()) - n_chunks == sum(kill.redone for kill in loop.kills)
    stored = sum(kill.stored for kill in loop.kills)
    assert loop.outcome["statuses"].get("resumed", 0) == stored > 0
    assert "left out and made again" not in loop.log
