"""Where clients come from: the table of facilities, and how each gets its Dask client.

A site is a row of `FACILITIES`: a way to open a client and what is special there. Schedulers of
others are left as they were; what is started here is closed at the end.
"""

from __future__ import annotations

import inspect
import logging
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, WorkerPlugin
from distributed.deploy.cluster import Cluster
from distributed.security import Security

from intccms.errors import InputError, nearest
from intccms.facility.clusters import gateway_client, jobqueue_client, scheduler_settings
from intccms.interrupts import unheard

log = logging.getLogger(__name__)

Opener = Callable[[int | None, dict[str, Any]], AbstractContextManager[Client]]

QUEUE_S = 3600.0  # in which a first job should have started
CONNECT_S = 8.0  # until a scheduler must have answered
# While a cluster of ours runs: it gives up a worker that its nanny does not start anew in 15 s, for
# good, and a busy machine takes longer.
PATIENT = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
CASA_ADDRESS = "tls://localhost:8786"
CASA_SECRETS = Path("/etc/cmsaf-secrets")  # certificate and key in one file, beside the authority
CASA_TOKENS = ("/etc/cmsaf-secrets-chown/access_token", "/etc/cmsaf-secrets/access_token")


@dataclass(frozen=True)
class Facility:
    """One way to get a client.

    Parameters
    ----------
    open
        Called with the wanted number of workers (None: the default) and the user's options;
        gives a client, and closes at the end what it has started.
    patience_s
        How long a first worker may take to come.
    is_here
        Whether its workers run in the environment of this process: then code and credentials
        need not be brought to them.
    token_files
        Where the site keeps the user's bearer token, beside the usual places.
    """

    open: Opener
    patience_s: float = 60.0
    is_here: bool = False
    token_files: tuple[str, ...] = ()


@contextmanager
def _local(n_workers: int | None, options: dict[str, Any]) -> Iterator[Client]:
    """Start workers on this machine; `options` are those of `distributed.LocalCluster`."""
    settings = {
        "n_workers": n_workers or os.cpu_count() or 1,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
    }
    with scheduler_settings(), unheard():  # also by workers that its threads start later
        cluster = LocalCluster(**settings | options)
    nannies = logging.getLogger("distributed.nanny")
    before = nannies.level
    try:
        with dask.config.set(PATIENT), cluster, closing(Client(cluster)) as client:
            client.register_plugin(_Quiet())
            try:
                yield client
            finally:
                nannies.setLevel(logging.ERROR)  # they may kill what still runs: it was told to end
    finally:
        nannies.setLevel(before)


class _Quiet(WorkerPlugin):
    """Workers do not warn of what they were doing when they were told to end."""

    def setup(self, worker: Any) -> None:
        logging.getLogger("distributed.worker.state_machine").setLevel(logging.ERROR)


@contextmanager
def _existing(n_workers: int | None, options: dict[str, Any]) -> Iterator[Client]:
    """Join; `options`: ``address``, ``security``, or ``client``."""
    ready = options.pop("client", None)
    address = options.pop("address", None) or dask.config.get("scheduler-address", None)
    security = options.pop("security", None)
    if options:
        raise InputError(f"facility 'client' knows no option {sorted(options)}")
    if ready is not None:
        yield ready
    elif address:
        with _joined(address, security) as client:
            yield client
    else:
        raise InputError(
            "facility 'client' needs an address: address='tcp://host:8786', the same as the name "
            "of the facility, or DASK_SCHEDULER_ADDRESS in the environment"
        )


@contextmanager
def _casa_condor(n_workers: int | None, options: dict[str, Any]) -> Iterator[Client]:
    """Join the scheduler that coffea-casa starts with a session, over TLS.

    Its workers are HTCondor jobs that it asks for by itself when there are tasks. `options`:
    ``address``; ``security``, a `distributed.Security`; ``secrets``, the folder of ``ca.pem`` and
    ``hostcert.pem``. Where Dask's configuration names certificates already these are used.
    """
    address = options.pop("address", CASA_ADDRESS)
    secrets = Path(options.pop("secrets", CASA_SECRETS))
    security = options.pop("security", None)
    if options:
        raise TypeError(f"coffeacasa-condor takes no {sorted(options)}")
    if n_workers is not None:
        log.warning("coffeacasa-condor starts workers as they are needed: n_workers has no effect")
    certificate = secrets / "hostcert.pem"
    is_configured = dask.config.get("distributed.comm.tls.ca-file", None)
    if security is None and not is_configured and certificate.exists():
        security = Security(
            tls_ca_file=str(secrets / "ca.pem"),
            tls_client_cert=str(certificate),
            tls_client_key=str(certificate),
            require_encryption=True,
        )
    with _joined(address, security) as client:
        yield client


@contextmanager
def _joined(address: str, security: Security | None) -> Iterator[Client]:
    """Connect to a scheduler, and leave it as it is at the end."""
    try:
        client = Client(address, security=security, timeout=CONNECT_S)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(_refused(address, security, error)) from error
    with client:
        yield client


def _refused(address: str, security: Security | None, error: BaseException) -> str:
    """Say what was tried, what came of it and what to do."""
    reasons = [error]
    while cause := reasons[-1].__cause__ or reasons[-1].__context__:
        reasons.append(cause)
    tried = f"no Dask scheduler at {address} answered within {CONNECT_S:g} s"
    advice = "is it running, and is this its address?"
    if address.startswith("tls://"):
        tried += f", tried with {_certificates(security)}"
        advice = "is it running, and are these certificate and authority its own?"
        if any(isinstance(one, ssl.SSLError) for one in reasons):
            advice = "this certificate or authority does not belong to it"
    why = " ".join(str(reasons[-1]).split()) or type(reasons[-1]).__name__
    return f"{tried}: {why}; {advice}"


def _certificates(security: Security | None) -> str:
    settings: dict[str, Any] = (security or Security()).get_tls_config_for_role("client")
    named = [
        f"{name} {settings[name]}"
        for name in ("ca_file", "cert", "key")
        if settings[name] and "\n" not in settings[name]  # else the certificate itself
    ]
    return ", ".join(named) or "no certificate (see distributed.comm.tls in Dask's configuration)"


FACILITIES: dict[str, Facility] = {
    "client": Facility(_existing),
    "coffeacasa-condor": Facility(_casa_condor, patience_s=600.0, token_files=CASA_TOKENS),
    # The addresses of both gateways stand in the session's Dask configuration.
    "coffeacasa-gateway": Facility(gateway_client, patience_s=600.0, token_files=CASA_TOKENS),
    "htcondor": Facility(
        partial(jobqueue_client, "HTCondorCluster", "htcondor"), patience_s=3600.0
    ),
    "local": Facility(_local, is_here=True),
    # A new cluster needs the site's options pixi_project or conda_env: an environment on storage
    # that the workers see.
    "purdue-af": Facility(gateway_client, patience_s=600.0),
    "slurm": Facility(partial(jobqueue_client, "SLURMCluster", "slurm"), QUEUE_S),
}


def known() -> tuple[str, ...]:
    """Name the facilities; ``module:function`` and the address of a scheduler are others."""
    return tuple(sorted(FACILITIES))


def find_facility(name: str | Client) -> Facility:
    """Return the facility of a name, as `intccms.facility.connect` takes it.

    Raises
    ------
    InputError
        If there is none.
    """
    if isinstance(name, Client) or "://" in name:
        key = "client" if isinstance(name, Client) else "address"
        return Facility(lambda n_workers, options: _existing(n_workers, {key: name} | options))
    if ":" in name:
        return _of_function(name)
    if name not in FACILITIES:
        close = nearest(name, known())
        listed = "" if close.startswith("known") else f" known: {list(known())},"
        text = f"unknown facility {name!r}; {close}{listed or ','}"
        raise InputError(f"{text} module:function, or the address of a scheduler")
    return FACILITIES[name]


def _of_function(name: str) -> Facility:
    """Make a facility of ``module:function``.

    The function is called with the user's options, and with ``n_workers`` if it takes that; it
    returns a client, a cluster, or a context manager that gives one. That is closed at the end.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise InputError(f"facility {name!r}: cannot import {module_name!r}: {error}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        routines = [key for key, value in vars(module).items() if inspect.isroutine(value)]
        hint = nearest(function_name, routines)
        raise InputError(f"facility {name!r}: no such function; {hint}")
    return Facility(partial(_made_by, name, function))


@contextmanager
def _made_by(
    name: str, function: Callable[..., Any], n_workers: int | None, options: dict[str, Any]
) -> Iterator[Client]:
    if "n_workers" in inspect.signature(function).parameters:
        options = {"n_workers": n_workers} | options
    with ExitStack() as stack:
        made = function(**options)
        if isinstance(made, Client) and isinstance(made.cluster, Cluster):
            stack.enter_context(made.cluster)  # a client leaves the cluster that it was given
        # clients are closed, here as elsewhere: what one enters, only the same thread may leave
        if hasattr(made, "__enter__"):
            made = stack.enter_context(closing(made) if isinstance(made, Client) else made)
        if hasattr(made, "get_client"):
            made = stack.enter_context(closing(made.get_client()))
        if not isinstance(made, Client):
            raise InputError(f"facility {name!r} gave a {type(made).__name__}, not a Dask client")
        yield made
