"""The books of a large run fit on a laptop."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults.runs import finished

N_CHUNKS = 100_000
# In a process of its own: the memory of this one is not that of the books.
BOOKS = """
import json, resource, sys, time
from intccms.execution.accounting import Ledger
from intccms.execution.tasks import ChunkReport

n_chunks, n_datasets = 100_000, 20
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
receipts = [
    ChunkReport(
        dataset=f"dataset_{i % n_datasets}",
        file=f"/store/mc/campaign/dataset_{i % n_datasets}/{i // 10:08d}.root",
        uuid=f"{i // 10:036d}",
        entry_start=100_000 * (i % 10),
        entry_stop=100_000 * (i % 10 + 1),
        status="failed" if i % 1000 == 0 else "done",
        n_events=0 if i % 1000 == 0 else 100_000,
        error_type="OSError",
        error="operation expired",
        sumw=1.0,
    )
    for i in range(n_chunks)
]
begin = time.perf_counter()
ledger = Ledger.closed([f"dataset_{i}" for i in range(n_datasets)], receipts, [])
text = json.dumps(ledger.to_dict())
rows = ledger.rows()
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcome = {
    "seconds": seconds,
    "mb": (peak - start) / 1024,
    "lost": len(ledger.lost_chunks),
    "processed": ledger.n_processed,
    "rows": len(rows),
}
open(sys.argv[1], "w").write(json.dumps(outcome))
"""


def test_a_hundred_thousand_chunks_are_booked_quickly_in_little_memory(tmp_path: Path) -> None:
    out = tmp_path / "outcome.json"
    finished(["-c", BOOKS, str(out)], tmp_path / "log", seconds=100)
    outcome = json.loads(out.read_text())
    assert outcome["lost"] == N_CHUNKS // 1000
    assert outcome["processed"] == (N_CHUNKS - N_CHUNKS // 1000) * 100_000
    assert outcome["rows"] >= 21
    assert outcome["seconds"] < 10
    assert outcome["mb"] < 500
