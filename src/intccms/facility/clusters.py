"""Clusters that are started for a run: by a Dask Gateway, or as jobs of a batch system."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
from distributed import Client
from distributed.security import Security

from intccms.datasets.files import WAITING
from intccms.errors import InputError, nearest
from intccms.interrupts import handlers_kept

ALLOWED_FAILURES = 1  # of a task's worker, before Dask gives the task up at the next
PRELOAD = "intccms.metrics.preload"  # our pages on the dashboard; by name: it stands above us


@contextmanager
def scheduler_settings() -> Iterator[None]:
    """Give a scheduler that is started within the block our pages and our patience."""
    preload = list(dask.config.get("distributed.scheduler.preload", None) or ())
    if PRELOAD not in preload and find_spec(PRELOAD) is not None:
        preload.append(PRELOAD)
    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        "distributed.scheduler.preload": preload,
    }
    with dask.config.set(settings):
        yield


log = logging.getLogger(__name__)

GATEWAY_OPTIONS = ("address", "proxy_address", "public_address", "auth")


@contextmanager
def gateway_client(n_workers: int | None, options: dict[str, Any]) -> Iterator[Client]:
    """Join the user's running cluster, or start one for the time of the block.

    Parameters
    ----------
    n_workers
        What the cluster is scaled to. None: what is joined stays as it is, what is started
        adapts itself.
    options
        ``address``, ``proxy_address``, ``public_address``, ``auth`` of `dask_gateway.Gateway`;
        ``cluster``, the name of the one to join, or ``"new"``; the others are the site's cluster
        options.

    Raises
    ------
    InputError
        If the gateway does not answer, knows no such option or cannot start a cluster.
    """
    given = {name: options.pop(name) for name in GATEWAY_OPTIONS if name in options}
    wanted = options.pop("cluster", None)
    gateway = _gateway(given)
    # It is not closed here: it closes itself when it is dropped, and fails if that was done.
    name = _running(gateway, wanted)
    joined = gateway.connect(name, shutdown_on_close=False) if name else _started(gateway, options)
    with joined as cluster:
        if n_workers is not None:
            cluster.scale(n_workers)
        elif not name:
            cluster.adapt(minimum=1)
        with closing(cluster.get_client()) as client:
            yield client


def _gateway(given: dict[str, Any]) -> Any:
    try:
        from dask_gateway import Gateway  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise InputError("a gateway needs dask-gateway: pip install dask-gateway") from error
    try:
        return Gateway(**given)
    except ValueError as error:  # no address, neither given nor in Dask's configuration
        raise InputError(f"no Dask Gateway: {error}; set gateway.address or address=…") from error


def _running(gateway: Any, wanted: str | None) -> str | None:
    """Name the cluster to join; None: start one."""
    try:
        reports = gateway.list_clusters()
    except Exception as error:  # a client, an authentication and a server error have no base
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the Dask Gateway at {gateway.address} does not answer: {why}") from error
    if wanted == "new":
        return None
    names = [report.name for report in sorted(reports, key=lambda one: one.start_time)]
    if wanted is not None and wanted not in names:
        raise InputError(f"no gateway cluster {wanted!r} is running; {nearest(wanted, names)}")
    if len(names) > 1 and wanted is None:
        log.warning("of your %d clusters the newest is used, %s", len(names), names[-1])
    return wanted or (names[-1] if names else None)


def _started(gateway: Any, options: dict[str, Any]) -> Any:
    try:
        return gateway.new_cluster(shutdown_on_close=True, **options)
    except Exception as error:  # as above
        why = " ".join(str(error).split()) or type(error).__name__
        offered = sorted(gateway.cluster_options())
        text = f"the Dask Gateway at {gateway.address} starts no cluster: {why}"
        raise InputError(f"{text}; its options: {offered}") from error


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
    # Where the workers see files, too: home and work directories are mostly shared.
    configured = dask.config.get(f"jobqueue.{system}.shared-temp-directory", None)
    shared = options.pop("shared_temp_directory", None) or configured or "."
    with TemporaryDirectory(prefix=".intccms-", dir=shared) as folder:
        cluster = jobqueue_cluster(kind, system, options, folder)
        with cluster, closing(Client(cluster)) as client:
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
