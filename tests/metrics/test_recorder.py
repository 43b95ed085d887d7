"""What is written down while a run goes on, in the order in which things happen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from intccms.execution.tasks import ChunkReport, Silent
from intccms.metrics.measurement import load_reports
from intccms.metrics.recorder import Recorder, Watcher
from intccms.metrics.worker_tracker import ProcessTracker, Sample, WorkerLoad

RECEIPT = ChunkReport("data", "a.root", "u", 0, 10, "done", n_events=10)


class Eyes(Silent):
    """Remembers the samples that it was given."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.n_looks = 0

    def workers(self, samples: Sequence[Sample], loads: Sequence[WorkerLoad]) -> None:
        self.samples += samples
        self.n_looks += 1


def test_receipts_are_on_disk_while_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "run" / "receipts.jsonl"
    with Recorder(Silent(), interval_s=None, reports=path) as recorder:
        recorder.begin("processing", total=10, unit="events", parts={"data": [10]})
        recorder.report(RECEIPT)
        assert load_reports(path) == (RECEIPT,)
        recorder.end()


def test_a_watcher_sees_the_workers_while_the_main_thread_is_busy() -> None:
    eyes = Eyes()
    assert isinstance(eyes, Watcher)
    with Recorder(eyes, interval_s=0.05) as recorder:
        until = time.monotonic() + 30
        while eyes.n_looks < 3 and time.monotonic() < until:
            sum(range(1000))
    assert eyes.n_looks >= 3
    assert recorder.timeline is not None
    assert recorder.timeline.samples[-1] == eyes.samples[-1]
    assert eyes.samples[-1].memory_bytes > 10_000_000


def test_nobody_is_watched_who_should_not_be() -> None:
    eyes = Eyes()
    with Recorder(eyes, interval_s=None) as recorder:
        pass
    assert recorder.timeline is None
    assert eyes.samples == []


def test_without_other_processes_this_one_is_the_worker() -> None:
    tracker = ProcessTracker(interval_s=0.1)
    tracker.start()
    [sample], [load] = tracker.fetch()
    assert (sample.n_workers, sample.n_threads) == (1, 1)
    assert load.peak_bytes >= load.memory_bytes == sample.memory_bytes
    assert load.n_seen == 2
