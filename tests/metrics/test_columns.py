"""What the plots show is computed from receipts and samples, without Bokeh."""

from __future__ import annotations

import time

import pytest

from intccms.metrics import state as columns
from intccms.metrics.state import Columns, RunState
from intccms.metrics.worker_tracker import Sample
from tests.metrics.watched import START, half_way, receipt

NOW = START + 10
MAKERS = (
    columns.rates, columns.worker_times, columns.worker_loads, columns.chunk_states,
    columns.dataset_progress, columns.failures, columns.runtimes, columns.slow_chunks,
)  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("state", [RunState(), half_way()], ids=["nothing", "half way"])
def test_columns_have_equal_lengths(make: object, state: RunState) -> None:
    data: Columns = make(state, NOW)  # type: ignore[operator]
    assert len({len(column) for column in data.values()}) == 1


def test_a_steady_run_has_a_steady_rate() -> None:
    data = columns.rates(half_way(), START + 8)
    assert data["t"][-1] == 8.0
    assert data["khz"][-1] == pytest.approx(1.0, rel=0.3)
    assert data["gbps"][-1] == pytest.approx(data["khz"][-1])  # 1 Gbit an event of 1000


def test_a_chunk_counts_for_the_time_that_it_took_once_it_has_ended() -> None:
    state = RunState()
    state.begin({"data": [1000] * 2}, START)
    state.take(receipt("data", 0, wall_s=100.0, started=START), START + 100)
    state.take(receipt("data", 1, wall_s=50.0, started=START + 100), START + 150)
    state.end(START + 150)
    data = columns.rates(state, START + 150)
    rate = dict(zip(data["t"].round(), data["khz"], strict=True))
    assert rate[90.0] == pytest.approx(0.01)
    assert rate[140.0] == pytest.approx(0.02)
    assert sum(data["khz"]) * 150 / len(data["t"]) == pytest.approx(2.0, rel=0.1)


def watched(n_executing: int) -> RunState:
    """Two chunks are planned; the workers are looked at until 30 s after the start."""
    state = RunState()
    state.begin({"data": [1000] * 2}, START)
    idle = Sample(START, 2, 2, 0, 0, 0, 0.0, 0, 0)
    busy = [idle._replace(t=START + t, n_executing=n_executing) for t in range(1, 31)]
    state.watch([idle, *busy], [])
    return state


def test_workers_that_are_busy_with_their_first_chunks_are_not_at_0_hz() -> None:
    numbers = columns.summary(watched(2), START + 30)
    assert numbers["event rate"] == "busy: first 2 chunks running for 30 s"
    assert (numbers["data rate"], numbers["per core"]) == ("-", "-")
    assert columns.summary(watched(0), START + 30)["event rate"] == "0 kHz"


def test_while_long_chunks_run_the_rate_is_that_of_those_that_have_ended() -> None:
    state = watched(1)
    state.take(receipt("data", 0, wall_s=14.0, started=START), START + 14)
    numbers = columns.summary(state, START + 28)
    assert numbers["event rate"] == f"{1 / 28:.3g} kHz"
    assert numbers["now"] == "busy: 1 running, none has ended for 14 s"


def test_chunks_from_kept_columns_are_done() -> None:
    state = RunState()
    state.begin({"data": [1000] * 3}, START)
    state.take(receipt("data", 0, "cached"), START + 1)
    state.take(receipt("data", 1), START + 2)
    data = columns.chunk_states(state, START + 2)
    assert dict(zip(data["state"], data["n"], strict=True)) == {
        "done": 2, "resumed": 0, "running": 0, "waiting": 1, "failed": 0,
    }  # fmt: skip
    assert data["text"][0] == "2 (1 kept)"


def test_chunks_are_in_one_state_each() -> None:
    data = columns.chunk_states(half_way(), NOW)
    assert dict(zip(data["state"], data["n"], strict=True)) == {
        "done": 8, "resumed": 1, "running": 3, "waiting": 7, "failed": 1,
    }  # fmt: skip


def test_a_dataset_that_waits_is_finished_after_those_before_it() -> None:
    data = columns.dataset_progress(half_way(), NOW)
    assert data["dataset"] == ["data", "ttbar"]
    assert (data["done"][0], data["resumed"][0], data["failed"][0]) == (0.8, 0.1, 0.1)
    assert data["text"] == ["10 % failed", "0 %, 0:12 left"]  # 10,000 events at 800 Hz


def test_failures_are_named_by_class_stage_and_host() -> None:
    data = columns.failures(half_way(), NOW)
    assert (data["label"], data["n"]) == (["OSError (read) · node1"], [1])


def test_a_worker_that_left_is_not_shown() -> None:
    data = columns.worker_loads(half_way(), NOW)
    assert data["worker"] == ["tcp://a"]
    assert data["cpu"] == [75.0]  # per thread


def test_after_the_end_workers_show_their_mean() -> None:
    state = half_way()
    state.end(NOW)
    assert columns.worker_loads(state, NOW + 60)["cpu"] == [50.0]


def test_before_a_run_time_begins_with_the_first_look_at_the_workers() -> None:
    state = half_way()
    state.started = None
    assert sorted(set(columns.worker_times(state, NOW)["t"])) == list(range(11))


def test_the_slow_tail_is_sorted_and_split() -> None:
    state = half_way()
    parts = {"open_s": 0.5, "read_s": 2.0, "decompress_s": 0.5, "process_s": 1.0, "fill_s": 0.5}
    state.take(receipt("ttbar", 0, wall_s=5.0, tries=2, **parts), NOW)
    data = columns.slow_chunks(state, NOW)
    assert data["label"][0] == "1. ttbar"
    assert data["file"][0] == "ttbar_0.root"
    assert [data[name][0] for name in ("read_s", "decompress_s", "other_s")] == [1.5, 0.5, 1.0]
    assert data["text"][1] == "1.7 s"


def test_the_numbers_on_top_follow_the_definitions() -> None:
    state = half_way()
    state.end(NOW)
    numbers = columns.summary(state, NOW + 100)
    assert numbers["event rate"] == "0.8 kHz"
    assert numbers["data rate"] == "0.8 Gbit/s"
    assert numbers["per core"] == "0.2 kHz"
    assert (numbers["chunks"], numbers["failed"]) == ("10 / 20", "1")
    assert (numbers["elapsed"], numbers["time left"]) == ("0:10", "done")


def test_a_second_run_begins_anew() -> None:
    state = half_way()
    state.begin({"data": [10]}, NOW)
    assert (state.n_chunks, len(state.wall_s), state.target_gbps) == (1, 0, 2.0)


def test_the_numbers_say_when_the_run_began() -> None:
    begun = columns.summary(half_way(), START + 10)["begun"]
    assert time.mktime(time.strptime(begun, "%Y-%m-%d %H:%M:%S")) == START
