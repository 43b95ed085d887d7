"""Executes jobs with papermill, some at a time, and keeps how each has ended.

Starts processes and writes into the directories of the jobs.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat
import yaml
from nbconvert import HTMLExporter

from intccms.batch.jobs import Job
from intccms.errors import InputError
from intccms.metrics.tables import Table, with_error
from intccms.storage import write_json, write_text

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


PARTS = ("processed", "lost")


def results_table(outcomes: Iterable[Outcome]) -> Table:
    """List how each job ended, what it processed and its fit and limit, signal by signal."""
    rows = [["job", "status", "events", "lost", "signal", "strength", "limit (exp.)"]]
    for outcome in outcomes:
        summary = outcome.summary
        books = summary.get("datasets", {}).values()
        counts = [
            f"{sum(book[part]['events'] or 0 for book in books):,}"
            for part in ("processed", "lost")
        ]
        first = [outcome.name, outcome.status, *(counts if summary else ("-", "-"))]
        for fitted in _fits(summary) or [["-", "-", "-"]]:
            rows.append([*first, *fitted])
            first = [""] * len(first)
    return Table("Jobs", rows)


def _fits(summary: dict[str, Any]) -> list[list[str]]:
    limits = summary.get("limits") or {}
    found = []
    for signal, fit in (summary.get("fit") or {}).items():
        strength = with_error(fit["signal_strength"], fit["signal_strength_error"])
        expected = limits.get(signal, {}).get("expected")
        found.append([signal, strength, "-" if expected is None else f"{expected:.3g}"])
    return found


System = Literal["htcondor", "slurm"]

_SLURM = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task={cores}
#SBATCH --mem={memory_mb}M
#SBATCH --time={hours}:00:00
#SBATCH --chdir={directory}
#SBATCH --output={out}/slurm-%A_%a.log
# Submit with: sbatch {path}
# A job that is done is not repeated: submitting again goes on with what is missing.
exec {command} --only "$SLURM_ARRAY_TASK_ID"
"""

_HTCONDOR = """\
# Submit with: condor_submit {path}
# A job that is done is not repeated: submitting again goes on with what is missing.
universe = vanilla
executable = {script}
arguments = $(Process)
initialdir = {directory}
should_transfer_files = IF_NEEDED
request_cpus = {cores}
request_memory = {memory_mb}
+MaxRuntime = {seconds}
output = {out}/condor-$(Process).out
error = {out}/condor-$(Process).err
log = {out}/condor.log
queue {count}
"""


def write_submit_file(
    system: System,
    arguments: Sequence[str],
    out: Path,
    *,
    n_jobs: int,
    cores: int = 2,
) -> Path:
    """Write what ``sbatch`` or ``condor_submit`` takes.

    Parameters
    ----------
    system
        Which batch system.
    arguments
        Of ``intccms batch``, without those that say how to run.
    out
        Where the jobs have their directories; it must be seen by the machines that work, as the
        working directory and this Python must be.
    n_jobs, cores
        Jobs of the grid, cores of each.
    """
    out = out.absolute()
    command = shlex.join([sys.executable, "-m", "intccms", "batch", *arguments])
    path = out / ("submit.sbatch" if system == "slurm" else "submit.sub")
    values = {
        "name": shlex.quote(out.name),
        "last": n_jobs - 1,
        "count": n_jobs,
        "cores": cores,
        "memory_mb": 2000 * cores,
        "hours": 12,
        "seconds": 12 * 3600,
        "directory": Path.cwd(),
        "out": out,
        "path": path,
        "command": command,
        "script": out / "job.sh",
    }
    if system == "htcondor":
        script = f'#!/bin/bash\nexec {command} --only "$1"\n'
        write_text(out / "job.sh", script)
        (out / "job.sh").chmod(0o755)
    write_text(path, (_SLURM if system == "slurm" else _HTCONDOR).format(**values))
    return path


# nbconvert's page without what it would fetch: RequireJS, MathJax, Mermaid. Scripts and
# widgets need those; what they drew is there as a picture.
_TEMPLATE = """\
{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block data_javascript scoped %}{% endblock %}
{% block data_widget_view scoped %}{% endblock %}
"""


def write_page(notebook: Path, page: Path) -> None:
    """Write what a saved notebook shows as a page.

    Parameters
    ----------
    notebook, page
        What is read and what is written.

    Raises
    ------
    InputError
        If there is no such notebook.
    """
    try:
        content = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise InputError(f"cannot read the notebook {notebook}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{notebook} is not a notebook: {error}") from None
    content.metadata.pop("widgets", None)
    make: Any = HTMLExporter
    exporter = make(raw_template=_TEMPLATE, embed_images=True)
    named = {"metadata": {"name": notebook.stem}}
    text, _ = exporter.from_notebook_node(content, named)
    write_text(page, text)
