"""Runs of the small analysis, here and in processes of their own, and what they gave."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.execution.tasks import ChunkReport, Silent
from intccms.schema import load_config
from tests.faults.analysis import CHUNK_SIZE, make_config
from tests.faults.inputs import list_files

__all__ = [
    "OnReceipt",
    "analysed",
    "bits",
    "check_replaced",
    "end",
    "finished",
    "outcome_of",
    "started",
    "statuses",
]

ROOT = Path(__file__).resolve().parents[2]


class OnReceipt(Silent):
    """Calls a function with the number of chunks that are done, as they are."""

    def __init__(self, call: Callable[[int], None]) -> None:
        self.call, self.n = call, 0

    def report(self, report: ChunkReport) -> None:
        self.n += 1
        self.call(self.n)


def analysed(
    configuration: Any, client: Any = None, *, on_receipt: Callable[[int], None] | None = None
) -> AnalysisResult:
    """Run an analysis in this process."""
    observer = OnReceipt(on_receipt) if on_receipt else None
    return runner.run(load_config(configuration), client, observer=observer)


def bits(result: AnalysisResult) -> str:
    """Digest of every bit of the histograms and of the cutflow."""
    digest = hashlib.sha256()
    for key, histogram in sorted(result.histograms.histograms.items()):
        labels = [list(axis) for axis in histogram.axes[1:]]
        digest.update(repr((key, labels)).encode())
        digest.update(histogram.view(flow=True).tobytes())
    digest.update(repr(result.cutflow).encode())
    return digest.hexdigest()


def statuses(result: AnalysisResult) -> dict[str, int]:
    """Count chunks by status."""
    return dict(Counter(receipt.status for receipt in result.reports))


def check_replaced(
    configuration: Any, result: AnalysisResult, one: Path, other: Path, folder: Path
) -> None:
    """See that of a file, replaced after two chunks, nothing of `other` is counted as of `one`.

    A server may go on to give what was opened. The next run counts what is there now.
    """
    if result.ledger.is_complete:
        assert bits(result) == bits(of_one_file(one, folder))
    else:
        assert result.ledger.n_processed == 2 * CHUNK_SIZE
    for lost in result.ledger.lost_chunks:
        assert "is not the file that was planned" in lost.error or "was changed" in lost.error
    again = analysed(configuration)
    assert again.ledger.is_complete
    assert bits(again) == bits(of_one_file(other, folder))


def of_one_file(path: Path, folder: Path) -> AnalysisResult:
    """Run the analysis of one local file."""
    base = list_files(folder / path.stem, [path])
    return analysed(make_config(base_dir=str(base), output_dir=str(base / "out")))


def outcome_of(result: AnalysisResult) -> dict[str, Any]:
    """What another process has to know of a result, ready for JSON."""
    return {"bits": bits(result), "statuses": statuses(result), "ledger": result.ledger.to_dict()}


def started(arguments: list[str], log: Path, **env: str) -> subprocess.Popen[bytes]:
    """Start Python as the leader of its own group of processes, so that all can be killed."""
    paths = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": paths, **env},
        )


def finished(arguments: list[str], log: Path, *, seconds: float, **env: str) -> None:
    """Run Python to its end; whatever it has started ends with it."""
    run = started(arguments, log, **env)
    try:
        status: int | str = run.wait(seconds)
    except subprocess.TimeoutExpired:
        status = f"not done after {seconds:.0f} s"
    finally:
        end(run)
    if status != 0:
        raise RuntimeError(f"exit status {status}:\n{log.read_text()[-4000:]}")


def end(run: subprocess.Popen[bytes]) -> None:
    """Kill -9 a run with all its processes."""
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def main() -> None:
    """Run with the settings in the JSON of the first argument; write the outcome to the second."""
    settings, out = json.loads(sys.argv[1]), Path(sys.argv[2])
    result = analysed(make_config(**settings))
    out.with_suffix(".tmp").write_text(json.dumps(outcome_of(result)))
    out.with_suffix(".tmp").replace(out)


if __name__ == "__main__":
    main()
