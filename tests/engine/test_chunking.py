from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from example_opendata.configs.configuration import config as example
from intccms.analysis import runner
from intccms.execution.executors import FuturesExecutor, IterativeExecutor
from intccms.execution.memory import SIZES, Load, choose, worker_memory
from intccms.schema import Config, load_config
from nanosample import write_sample

LOAD = Load(
    event_bytes=300.0,
    stored_bytes=150.0,
    n_shifts=54,
    batch_bytes=500e6,
    memory_bytes=4e9,
    n_events=10**9,
    n_workers=2,
)


def test_a_large_worker_gets_the_largest_chunks() -> None:
    assert choose(replace(LOAD, memory_bytes=64e9)).n_events == SIZES[0]


def test_chunks_fit_into_the_memory_of_a_worker() -> None:
    size = choose(replace(LOAD, memory_bytes=2e9))
    assert LOAD.needed(size.n_events) <= 0.7 * 2e9 < LOAD.needed(2 * size.n_events)
    assert "more would not fit" in size.reason


def test_more_to_read_per_event_makes_smaller_chunks() -> None:
    sizes = [choose(replace(LOAD, event_bytes=b)).n_events for b in (100, 1000, 3000, 10_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 2


def test_variations_need_memory_up_to_that_of_a_slab() -> None:
    few = replace(LOAD, memory_bytes=1.8e9, n_shifts=0)
    many = replace(few, n_shifts=54)
    assert choose(many).n_events < choose(few).n_events
    assert many.needed(400_000) == replace(many, n_shifts=5000).needed(400_000)


def test_every_worker_gets_several_chunks() -> None:
    size = choose(replace(LOAD, n_events=1_000_000, n_workers=4))
    assert 1_000_000 / size.n_events >= 4 * 4
    assert "each worker gets 4 chunks" in size.reason


def test_few_events_or_little_memory_give_the_smallest_chunks() -> None:
    assert choose(replace(LOAD, n_events=1000)).n_events == SIZES[-1]
    little = choose(replace(LOAD, memory_bytes=1e8))
    assert little.n_events == SIZES[-1]
    assert "may not fit" in little.reason


def test_workers_of_one_machine_share_its_memory() -> None:
    alone = worker_memory(IterativeExecutor())
    assert worker_memory(FuturesExecutor(4)) == alone / 4


@pytest.fixture(scope="module")
def automatic(tmp_path_factory: pytest.TempPathFactory) -> Config:
    out = tmp_path_factory.mktemp("auto")
    settings = {
        "general.base_dir": str(out),
        "general.output_dir": str(out / "output"),
        "general.executor": "iterative",
        "general.chunk_size": "auto",
        "general.processes": ["ttbar_semilep"],
    }
    write_sample(out, load_config(example), files_per_process=1, events_per_file=30_000)
    return load_config(example, settings)


@pytest.mark.slow
def test_a_run_says_why_its_chunks_have_their_size(
    automatic: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        result = runner.run(automatic)
    assert len(result.reports) == 2  # 30,000 events in chunks of about 20,000
    assert "20,000 events a chunk" in result.chunking
    assert "54 object variations" in result.chunking
    assert result.chunking in caplog.text
    assert Path(automatic.general.output_dir).exists()
