"""Executes jobs with papermill, some at a time, and keeps how each has ended.

Starts processes and writes into the directories of the jobs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat
import yaml

from intccms.batch.jobs import Job
from intccms.storage import write_json, write_text

__all__ = ["Outcome", "execute", "run_all"]

Status = Literal["done", "incomplete", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How a job has ended.

    Parameters
    ----------
    status
        ``incomplete``: more events are lost than allowed; the same command goes on from there.
    error
        The error of the cell that failed, in one line.
    digest
        Of what was executed, see `Job.digest`.
    summary
        The ``run_summary.json`` that the notebook left.
    earlier
        Whether the job was done before and was not repeated.
    """

    name: str
    status: Status
    wall_s: float
    error: str = ""
    digest: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    earlier: bool = False


def run_all(
    jobs: Sequence[Job], *, n_parallel: int = 1, on_outcome: Callable[[Outcome], None]
) -> list[Outcome]:
    """Execute jobs, `n_parallel` at a time; those that are done already are left out.

    Returns
    -------
    list of Outcome
        In the order of `jobs`.
    """
    outcomes: dict[str, Outcome] = {}
    with ThreadPoolExecutor(n_parallel) as pool:
        waiting = [pool.submit(execute, job) for job in jobs]
        try:
            for future in as_completed(waiting):
                outcome = future.result()
                outcomes[outcome.name] = outcome
                on_outcome(outcome)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    return [outcomes[job.name] for job in jobs]


def execute(job: Job) -> Outcome:
    """Execute one job, unless the same one is done; its record says how it ended."""
    earlier = _recorded(job)
    if earlier is not None:
        return earlier
    job.directory.mkdir(parents=True, exist_ok=True)
    job.record.unlink(missing_ok=True)
    given = job.directory / "parameters.yaml"
    write_text(given, yaml.safe_dump(dict(job.parameters), sort_keys=True))
    command = [sys.executable, "-m", "papermill", str(job.notebook), str(job.executed)]
    begin = time.monotonic()
    with job.log.open("w") as log:
        done = subprocess.run(
            [*command, "-f", str(given), "--no-progress-bar"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            check=False,
        )
    summary = _summary(job)
    error = "" if done.returncode == 0 else _error(job)
    status: Status = "done" if done.returncode == 0 else "failed"
    if summary.get("status") == "incomplete":
        status = "incomplete"
    wall_s = time.monotonic() - begin
    outcome = Outcome(job.name, status, wall_s, error=error, digest=job.digest, summary=summary)
    write_json(job.record, asdict(outcome))
    return outcome


def _recorded(job: Job) -> Outcome | None:
    try:
        record = json.loads(job.record.read_text())
    except (OSError, ValueError):
        return None
    if record.get("status") != "done" or record.get("digest") != job.digest:
        return None
    return Outcome(**{**record, "earlier": True})


def _summary(job: Job) -> dict[str, Any]:
    path = Path(str(job.parameters.get("output_dir", job.directory))) / "run_summary.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _error(job: Job) -> str:
    """Return what the failed cell raised, or the end of the log."""
    try:
        notebook = nbformat.read(job.executed, as_version=4)  # type: ignore[no-untyped-call]
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                if output.output_type == "error":
                    return f"{output.ename}: {' '.join(output.evalue.split())}"
    except (OSError, ValueError):
        pass
    lines = job.log.read_text().strip().splitlines()
    return lines[-1] if lines else "no message"
