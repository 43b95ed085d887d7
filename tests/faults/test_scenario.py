"""Everything goes wrong in one run of 200 chunks: the books are exact and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.analysis import CHUNK_SIZE, N_EVENTS
from tests.faults.runs import finished
from tests.faults.scenario import BROKEN, N_FILES, WAITING
from tests.faults.servers import is_installed

REASONS = {
    "truncated": "is not the file that was planned",  # its size is another
    "empty": "expected Chunk of length",
    "wrong tree": "not found: 'Events'",
    "missing branch": "MET",
}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["dask", "futures"])
def test_of_200_chunks_exactly_those_of_the_nine_broken_files_are_lost(
    executor: str, tmp_path: Path, require: Callable[[object, str], None]
) -> None:
    require(is_installed(), "no XRootD server here (Debian: xrootd-server)")
    arguments = ["-m", "tests.faults.scenario", executor, str(tmp_path), "1"]
    finished(arguments, tmp_path / "log", seconds=240, **WAITING)
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert outcome["n_killed"] == 3
    assert outcome["n_failed_opens"] > 0
    assert outcome["n_chunks"] == N_FILES * N_EVENTS // CHUNK_SIZE == 200
    check_ledger(outcome["ledger"])
    assert outcome["bits"] == outcome["expected_bits"]


def check_ledger(ledger: dict[str, Any]) -> None:
    book = ledger["datasets"]["ttbar"]
    n_good = N_FILES - len(BROKEN)
    counts = {key: (book[key]["files"], book[key]["events"]) for key in ("processed", "lost")}
    assert counts == {
        "processed": (n_good, n_good * N_EVENTS),
        "lost": (len(BROKEN), len(BROKEN) * N_EVENTS),
    }
    assert book["files_of_unknown_size"] == 0
    entries: dict[str, list[tuple[int, int]]] = {}
    reasons: dict[str, str] = {}
    for lost in ledger["lost_chunks"]:
        entries.setdefault(lost["file"], []).append(tuple(lost["entries"]))
        reasons[lost["file"]] = reasons.get(lost["file"], "") + lost["error"]
    whole = [(start, start + CHUNK_SIZE) for start in range(0, N_EVENTS, CHUNK_SIZE)]
    assert entries == {f"/store/{number}.root": whole for number in BROKEN}
    for number, how in BROKEN.items():
        assert REASONS[how] in reasons[f"/store/{number}.root"]
