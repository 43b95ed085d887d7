"""Workers as batch jobs, by dask-jobqueue; the scheduler is in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
from distributed import Client
from distributed.security import Security

from intccms.datasets.xrootd import WAITING
from intccms.errors import InputError
from intccms.facility.scheduling import scheduler_settings
from intccms.interrupts import handlers_kept

__all__ = ["jobqueue_client", "jobqueue_cluster"]

log = logging.getLogger(__name__)

N_WORKERS = 10
# Of a job, where neither the user nor Dask's configuration (jobqueue.<system>) says more.
DEFAULTS = {"cores": 1, "memory": "4GB", "processes": 1}
MORE_DEFAULTS = {"htcondor": {"disk": "4GB"}}


@contextmanager
def jobqueue_client(
    kind: str, system: str, n_workers: int | None, options: dict[str, Any]
) -> Iterator[Client]:
    """Submit jobs, and cancel them at the end.

    Parameters
    ----------
    kind, system
        Class of dask-jobqueue, and the name of its block in Dask's configuration.
    n_workers
        Number of workers; None: 10.
    options
        Of the class: ``queue``, ``cores``, ``memory``, ``walltime``, …

    Raises
    ------
    InputError
        If dask-jobqueue is not there or refuses an option.
    """
    with TemporaryDirectory(prefix=".intccms-", dir=_shared_folder(system, options)) as folder:
        cluster = jobqueue_cluster(kind, system, options, folder)
        with cluster, Client(cluster) as client:
            cluster.scale(n_workers or N_WORKERS)
            yield client


def jobqueue_cluster(kind: str, system: str, options: dict[str, Any], folder: str) -> Any:
    """Make a cluster without jobs; arguments as for `jobqueue_client`.

    `folder` is seen by the jobs: it gets the certificates of this cluster.
    """
    try:
        with handlers_kept():
            import dask_jobqueue
    except ModuleNotFoundError as error:
        raise InputError("batch systems need dask-jobqueue: pip install dask-jobqueue") from error
    configured = dask.config.get(f"jobqueue.{system}", None) or {}
    defaults = DEFAULTS | MORE_DEFAULTS.get(system, {})
    settings = {name: one for name, one in defaults.items() if configured.get(name) is None}
    prologue = [f"export {name}=${{{name}:-{value}}}" for name, value in WAITING.items()]
    prologue += options.get("job_script_prologue", configured.get("job-script-prologue") or [])
    if "security" not in options and "protocol" not in options and find_spec("cryptography"):
        settings["security"] = _certified(Path(folder))  # credentials go to the workers
    scheduler = {"dashboard_address": "127.0.0.1:0"}
    scheduler |= options.get("scheduler_options", configured.get("scheduler-options") or {})
    settings |= options | {"job_script_prologue": prologue, "scheduler_options": scheduler}
    try:
        with scheduler_settings():
            return getattr(dask_jobqueue, kind)(**settings)
    except (TypeError, ValueError) as error:
        why = str(error).partition(". ")[0]  # the rest repeats all options
        raise InputError(f"facility {system!r}: {why}") from error


def _certified(folder: Path) -> Security:
    """Write certificates of one cluster, which only their owner can read."""
    made = Security.temporary().get_tls_config_for_role("worker")
    files = {}
    for name in ("ca_file", "cert", "key"):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(made[name])
        files[name] = str(path)
    roles = {
        f"tls_{role}_{name}": files[name]
        for role in ("client", "scheduler", "worker")
        for name in ("cert", "key")
    }
    return Security(tls_ca_file=files["ca_file"], require_encryption=True, **roles)


def _shared_folder(system: str, options: dict[str, Any]) -> str:
    """Say where to keep files for the workers: home and work directories are mostly shared."""
    given = options.pop("shared_temp_directory", None)
    configured = dask.config.get(f"jobqueue.{system}.shared-temp-directory", None)
    return str(given or configured or ".")
