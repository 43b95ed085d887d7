"""Functions of a user that end in any way: a fault that is named, on each executor the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.datasets import DatasetManager
from intccms.datasets.metadata import collect
from intccms.errors import FunctionError
from intccms.execution.executors import Executor, open_executor
from intccms.schema import load_config
from tests.faults.analysis import CHUNK_SIZE, N_EVENTS
from tests.faults.endings import configured, oom_killer
from tests.faults.inputs import list_files
from tests.faults.runs import bits
from tests.faults.scenario import worker_pids

N_FILES = 2
ENDS_S = 300.0  # a minute on a machine at rest; without a limit, half an hour or never


@pytest.fixture(scope="module", params=["iterative", "futures", "dask"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    general = load_config(configured("", executor=request.param, n_workers=2)).general
    with open_executor(general) as opened:
        yield opened


def run(
    executor: Executor, exported: Path, folder: Path, how: str, **general: Any
) -> AnalysisResult:
    base = list_files(folder / "base", sorted(exported.glob("store/*.root"))[:N_FILES])
    places = {"base_dir": str(base), "output_dir": str(folder / "out")}
    config = load_config(configured(how, **places, **general))
    fileset = DatasetManager(config).fileset()
    processor = runner.make_processor(config, fileset)
    metadata = collect(fileset, executor, chunk_size=CHUNK_SIZE)
    return runner.process(config, metadata, executor, processor=processor)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("sys.exit", "SystemExit: 0"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("GeneratorExit", "GeneratorExit"),
        ("RecursionError", "RecursionError: maximum recursion depth exceeded"),
        ("unreadable", "Unreadable: this and that"),
        ("unwritable", "Unwritable: holds a lock"),
    ],
)
def test_whatever_it_raises_is_a_fault_that_names_it(
    executor: Executor, exported: Path, tmp_path: Path, how: str, told: str
) -> None:
    with pytest.raises(FunctionError, match=told) as caught:
        run(executor, exported, tmp_path, how)
    assert str(caught.value).startswith("channels.all")
    assert "endings.py" in caught.value.__notes__[0]  # at the line of the user


def test_memory_that_does_not_suffice_is_a_loss_that_names_it(
    executor: Executor, exported: Path, tmp_path: Path
) -> None:
    result = run(executor, exported, tmp_path, "MemoryError")
    assert len(result.ledger.lost_chunks) == N_FILES
    assert result.ledger.n_processed == N_FILES * (N_EVENTS - CHUNK_SIZE)
    lost = result.ledger.lost_chunks[0]
    assert lost.error == "MemoryError: channels.all (ending): no room"


def test_a_chunk_for_which_the_kernel_refuses_memory_is_halved(
    executor: Executor, exported: Path, tmp_path: Path
) -> None:
    quiet = run(executor, exported, tmp_path / "quiet", "")
    result = run(executor, exported, tmp_path, "refused")
    assert result.ledger.is_complete
    assert sum(one.tries > 1 for one in result.reports) == N_FILES
    assert bits(result) == bits(quiet)


def test_a_chunk_whose_worker_is_killed_for_its_memory_is_halved(
    executor: Executor, exported: Path, tmp_path: Path
) -> None:
    if executor.name == "iterative":
        return  # the process of the test would end with it, as docs/ledger.md says
    quiet = run(executor, exported, tmp_path / "quiet", "")
    with oom_killer(worker_pids) as killed:
        result = run(executor, exported, tmp_path, "held")
    assert killed
    assert result.ledger.is_complete
    assert bits(result) == bits(quiet)


def test_it_has_ended_no_worker(executor: Executor, exported: Path, tmp_path: Path) -> None:
    assert run(executor, exported, tmp_path, "").ledger.is_complete


@pytest.mark.parametrize(
    ("how", "told", "noted"),
    [
        ("segfault", "crashed (Segmentation fault), ", "in ending"),
        ("os._exit", "ended itself with exit status 0, ", "exit status 0"),
        ("for ever", "did not end in general.chunk_timeout, 1 times", "chunk_timeout"),
    ],
)
def test_what_ends_or_keeps_a_worker_is_a_fault_that_names_it(
    executor: Executor, exported: Path, tmp_path: Path, how: str, told: str, noted: str
) -> None:
    if executor.name == "iterative" and how != "for ever":
        return  # the process of the test would end with it, as docs/ledger.md says
    begin = time.monotonic()
    with pytest.raises(FunctionError) as caught:
        run(executor, exported, tmp_path, how, chunk_timeout=5.0)
    assert str(caught.value).startswith(f"channels.all (ending): the worker that ran it {told}")
    assert noted in caught.value.__notes__[0]
    assert time.monotonic() - begin < ENDS_S
