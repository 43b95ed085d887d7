"""Runs of many small chunks whose workers, jobs or cluster are ended in the middle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Client

from intccms.analysis.runner import AnalysisResult
from tests.faults.analysis import N_EVENTS, make_config
from tests.faults.inputs import list_files, write_files
from tests.faults.runs import analysed, bits, statuses

__all__ = ["PAUSE", "Trial", "kill_one", "wait_for"]

N_FILES, CHUNK_SIZE = 4, 20
PAUSE = {"PAUSE_S": "0.1"}  # of workers, and of who goes on from what they have done


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return what is true in the end."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
    return found


def kill_one(client: Client) -> int:
    """Kill -9 the process of a worker."""
    pid = sorted(client.run(os.getpid).values())[0]
    os.kill(pid, signal.SIGKILL)
    return int(pid)


class Trial:
    """The small analysis in 60 chunks, and what it gives when nobody disturbs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = list_files(folder / "base", write_files(folder / "files", N_FILES))
        self.quiet = analysed(self.config("quiet"))

    def config(self, name: str, **general: Any) -> dict[str, Any]:
        out = str(self.folder / name)
        more = {"base_dir": str(self.base), "output_dir": out, "chunk_size": CHUNK_SIZE}
        return make_config(**more, **general)

    def run(
        self, name: str, client: Any, at: dict[int, Callable[[], object]], **general: Any
    ) -> AnalysisResult:
        """Run it and do something whenever so many chunks are done."""
        todo = dict(at)

        def on_receipt(n_done: int) -> None:
            if n_done in todo:
                todo.pop(n_done)()

        result = analysed(self.config(name, **general), client, on_receipt=on_receipt)
        assert not todo
        return result

    def is_as_quiet(self, result: AnalysisResult) -> bool:
        """Whether each event was counted exactly once, with the same bits."""
        whole = result.ledger.is_complete and result.ledger.n_processed == N_FILES * N_EVENTS
        return whole and bits(result) == bits(self.quiet)

    def check_resumed(self, name: str) -> None:
        """See that the next run, here, goes on from what a cluster that is gone has finished."""
        again = analysed(self.config(name))
        assert self.is_as_quiet(again)
        assert statuses(again)["resumed"] > 0
