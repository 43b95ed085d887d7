"""A Slurm of one node on loopback (Debian: slurmctld slurmd slurm-client munge), as root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import free_port

PROGRAMS = ("slurmctld", "slurmd", "sinfo", "munged", "setpriv")
SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Say why there can be no Slurm here; empty if there can."""
    absent = [one for one in PROGRAMS if shutil.which(one) is None]
    if absent:
        return f"no {', '.join(absent)} here (Debian: slurmctld slurmd slurm-client munge)"
    return "" if os.geteuid() == 0 else "the daemons of a Slurm must be started by root"


def squeue(configuration: Path, what: str = "%T") -> list[str]:
    """States of the jobs that wait or run, or what else squeue says of them."""
    command = ["squeue", "--noheader", f"--format={what}"]
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def scancel(configuration: Path, jobs: list[str]) -> None:
    """End jobs, as an administrator or their limit of time does."""
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    subprocess.run(["scancel", *jobs], env=environment, check=True)


@contextmanager
def running() -> Iterator[Path]:
    """Run a Slurm; give the configuration file, for ``SLURM_CONF``."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # pytest's own folders are closed to the user munge
        with _daemons(Path(folder)) as configuration:
            yield configuration


@contextmanager
def _daemons(folder: Path) -> Iterator[Path]:
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    ports = {"controller": free_port(), "node": free_port()}
    configuration = folder / "slurm.conf"
    cpus = os.cpu_count() or 1
    configuration.write_text(SETTINGS.format(host=host, folder=folder, cpus=cpus, **ports))
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    with ExitStack() as stack:
        stack.enter_context(_daemon(_munge(folder / "munge"), folder, environment))
        _until(lambda: (folder / "munge" / "socket").exists(), folder, "munged")
        (folder / "munge").chmod(0o755)
        for program in ("slurmctld", "slurmd"):
            command = [program, "-D", "-f", str(configuration)]
            stack.enter_context(_daemon(command, folder, environment))
        _until(lambda: _is_idle(environment), folder, "an idle node")
        try:
            yield configuration
        finally:  # a job's own daemon outlives these
            subprocess.run(["scancel", "--user=root"], env=environment, check=False)
            _until(lambda: not squeue(configuration), folder, "an empty queue")


def _munge(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    subprocess.run(["chown", "-R", "munge:munge", str(folder)], check=True)
    folder.chmod(0o700)
    key.chmod(0o600)
    files = {"key-file": "munge.key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
    files["seed-file"] = "seed"
    options = [f"--{name}={folder / file}" for name, file in files.items()]
    user = ["setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups"]
    return [*user, "munged", "--foreground", "--force", *options]


@contextmanager
def _daemon(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / "output.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(15)


def _is_idle(environment: dict[str, str]) -> bool:
    command = ["sinfo", "--noheader", "--format=%t"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return "idle" in done.stdout


def _until(is_so: object, folder: Path, what: str) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        if is_so():  # type: ignore[operator]
            return
        time.sleep(0.2)
    logs = "\n".join(path.read_text()[-1000:] for path in folder.glob("*.log"))
    pytest.fail(f"there was never {what}: {logs}")
