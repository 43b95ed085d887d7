"""Ready submit files: one array job, each element of which executes one job of the grid."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from intccms.storage import write_text

__all__ = ["write_submit_file"]

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
