"""A run of two datasets that has come half way, for the tests of what shows it."""

from __future__ import annotations

from intccms.execution.tasks import ChunkReport
from intccms.metrics.state import RunState
from intccms.metrics.worker_tracker import Sample, WorkerLoad

__all__ = ["START", "half_way", "load", "receipt"]

START = 1_000_000.0


def receipt(dataset: str, n: int, status: str = "done", **fields: object) -> ChunkReport:
    """Chunk `n` of 1000 events, which ended `n` + 1 seconds after the start."""
    known: dict[str, object] = {
        "n_events": 1000 if status == "done" else 0, "bytes_read": 125_000_000, "wall_s": 1.0,
        "started": START + n, "host": "node1",
    }  # fmt: skip
    return ChunkReport(
        dataset, f"/store/{dataset}_{n}.root", "u", 1000 * n, 1000 * (n + 1), status,  # type: ignore[arg-type]
        **(known | fields),  # type: ignore[arg-type]
    )  # fmt: skip


def load(name: str, t: float, **fields: object) -> WorkerLoad:
    """A worker of two threads."""
    known = WorkerLoad(
        name, "node1", 2, 4 * 10**9, START, t, 10**9, 2 * 10**9, 150.0, 100.0, 2, 0, 9
    )
    return known._replace(**fields)


def half_way() -> RunState:
    """Ten seconds: 8 chunks done, 1 resumed, 1 failed, of 20; one of two workers has left."""
    state = RunState(target_gbps=2.0)
    state.begin({"data": [1000] * 10, "ttbar": [1000] * 10}, START)
    state.take(receipt("data", 0, "resumed"), START + 1)
    for n in range(8):
        state.take(
            receipt("data", n, wall_s=1.0 + 0.1 * n, started=START + n - 0.1 * n), START + n + 1
        )
    state.take(receipt("data", 9, "failed", error_type="OSError", stage="read"), START + 10)
    samples = [Sample(START + t, 2, 4, 2 * 10**9, 8 * 10**9, 10**9, 300.0, 3, 0) for t in range(11)]
    state.watch(samples, [load("tcp://a", START + 10), load("tcp://b", START + 2)])
    return state
