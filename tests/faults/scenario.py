"""200 chunks behind an XRootD server, with everything that goes wrong in one run.

A tenth of the requests to open a file fails for once, five files are truncated, two are empty, one
has another tree and one lacks a branch; three workers are killed, and the server stalls.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.datasets import DatasetManager
from intccms.datasets.metadata import collect
from intccms.execution.executors import open_executor
from intccms.schema import Config, load_config
from tests.faults.analysis import CHUNK_SIZE, N_EVENTS, make_config
from tests.faults.inputs import broken, list_files, write_files
from tests.faults.proxy import Proxy
from tests.faults.runs import OnReceipt, analysed, bits, outcome_of
from tests.faults.servers import XRootDServer

__all__ = ["BROKEN", "N_FILES", "WAITING", "disturbed", "worker_pids"]

N_FILES = 40
N_CHUNKS = N_FILES * N_EVENTS // CHUNK_SIZE
BROKEN = {
    **dict.fromkeys((2, 9, 16, 23, 30), "truncated"),
    **dict.fromkeys((5, 26), "empty"),
    12: "wrong tree",
    35: "missing branch",
}
KILLS = (30, 70, 110)  # chunks that are done when a worker is killed
STALL, STALL_S = 50, 4.0
FAILING_OPENS = 0.1
N_WORKERS = 2
WAITING = {"XRD_REQUESTTIMEOUT": "3", "XRD_STREAMTIMEOUT": "3", "XRD_TIMEOUTRESOLUTION": "1"}


def worker_pids() -> list[int]:
    """Processes that were started by this one to work for it."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "spawn_main" in " ".join(_command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return command


class Trouble:
    """Does harm when a given number of chunks is done."""

    def __init__(self, proxy: Proxy, seed: int) -> None:
        self.proxy, self.seed = proxy, seed
        self.killed: list[int] = []
        self._end_of_stall = threading.Timer(STALL_S, proxy.flow)

    def __call__(self, n_done: int) -> None:
        if n_done in KILLS and (pids := worker_pids()):
            self.killed.append(pids[len(self.killed) % len(pids)])
            os.kill(self.killed[-1], signal.SIGKILL)
        if n_done == STALL:
            self.proxy.stall()
            self._end_of_stall.start()


@contextmanager
def served() -> Iterator[tuple[Path, Proxy]]:
    """Give a folder of good files, and the proxy before the server that exports it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_files(folder / "store", N_FILES)
        with XRootDServer(folder, folder / "run") as server, Proxy(server.port) as proxy:
            yield folder, proxy


def disturbed(executor: str, work: Path, seed: int = 1) -> dict[str, Any]:
    """Run the analysis through all of it; return what came out, and what should have.

    Parameters
    ----------
    executor
        ``iterative`` has no workers to be killed.
    work
        Folder for listings and results.
    seed
        Decides which requests fail.
    """
    with served() as (folder, proxy):
        names = [f"/store/{number}.root" for number in range(N_FILES)]
        good = [folder / name[1:] for i, name in enumerate(names) if i not in BROKEN]
        base = list_files(work / "good", good)
        clean = analysed(make_config(base_dir=str(base), output_dir=str(work / "clean")))
        general = {"executor": executor, "n_workers": N_WORKERS, "output_dir": str(work / "out")}
        base = list_files(work / "all", names)
        settings = make_config([proxy.redirector], max_retries=3, base_dir=str(base), **general)
        begin = time.monotonic()
        trouble = Trouble(proxy, seed)
        result = _processed(load_config(settings), folder / "store", trouble)
        return {
            **outcome_of(result),
            "expected_bits": bits(clean),
            "n_chunks": len(result.reports),
            "n_killed": len(trouble.killed),
            "n_failed_opens": proxy.n_failed_opens,
            "seconds": time.monotonic() - begin,
        }


def _processed(config: Config, store: Path, trouble: Trouble) -> AnalysisResult:
    """Count the good files, break some, and process them while the rest goes wrong."""
    for number, how in BROKEN.items():
        if how == "missing branch":  # it opens, and its events are counted
            broken(store / f"{number}.root", how)
    fileset = DatasetManager(config).fileset()
    processor = runner.make_processor(config, fileset)
    with open_executor(config.general) as executor:
        metadata = collect(fileset, executor, chunk_size=runner.chunk_size(config))
    for number, how in BROKEN.items():
        if how != "missing branch":
            broken(store / f"{number}.root", how)
    trouble.proxy.fail_opens(FAILING_OPENS, trouble.seed)
    with open_executor(config.general) as executor:
        observer = OnReceipt(trouble)
        return runner.process(config, metadata, executor, processor=processor, observer=observer)


def main() -> None:
    """Run it with an executor, in a folder, with a seed: the arguments."""
    executor, work, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    outcome = disturbed(executor, work, seed)
    (work / "outcome.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
