"""Bringing to the workers of a client what they need, and seeing that it has arrived."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import cloudpickle
from distributed import Client, PipInstall
from distributed.diagnostics.plugin import ForwardOutput

from intccms.errors import InputError, IntccmsError
from intccms.facility import luggage
from intccms.facility.credentials import Credential, find_credentials
from intccms.facility.environment import worker_environment
from intccms.facility.kinds import Facility
from intccms.facility.luggage import Luggage
from intccms.facility.packages import OURS, packed
from intccms.facility.versions import check_versions

__all__ = ["Shipment", "shipped"]

log = logging.getLogger(__name__)

# What processing a chunk needs beside our own and the user's modules.
MAX_INPUTS_MB = 200.0
IMPORTS = ("awkward", "coffea.nanoevents", "correctionlib", "hist", "uproot")


@dataclass(frozen=True)
class Shipment:
    """What the user wants on the workers.

    Parameters
    ----------
    modules
        Of the user; the whole packages that they belong to are sent.
    inputs
        Files that get the same path on workers which lack them, until the connection ends.
    pip
        Requirements that each worker installs.
    environment
        Variables; they win over those of ``.env``.
    proxy, token
        Files of an X509 proxy and a bearer token; None: those at the usual places, False: none.
    forward_logs
        Show the workers' output and logs here.
    patience_s
        How long a first worker may take to come; None: the facility's default.
    check
        Compare versions and try the imports, before anything is run.
    """

    modules: Sequence[str] = ()
    inputs: Sequence[str | Path] = ()
    pip: Sequence[str] = ()
    environment: Mapping[str, str] | None = None
    proxy: str | Path | bool | None = None
    token: str | Path | bool | None = None
    forward_logs: bool = False
    patience_s: float | None = None
    check: bool = True

    def pack(self, facility: Facility) -> Luggage:
        """Put together what every worker gets.

        Raises
        ------
        InputError
            If something is not there, or has expired.
        """
        environment = worker_environment(self.environment)
        wanted = [*self.modules] if facility.is_here else [*OURS, *self.modules]
        inputs = {} if facility.is_here else _contents(self.inputs)
        files = {}
        for one in self._credentials(facility):
            files[one.variable] = one.content
        if environment:
            log.info("sent to the workers as environment: %s", ", ".join(sorted(environment)))
        name = f"intccms-luggage-{uuid4().hex}"
        code = packed(wanted)
        return Luggage(name, code, environment=environment, files=files, inputs=inputs)

    def _credentials(self, facility: Facility) -> Iterator[Credential]:
        is_wanted = self.proxy or self.token
        if facility.is_here and not is_wanted:  # workers see the same files
            return
        found = find_credentials(facility.token_files, proxy=self.proxy, token=self.token)
        for one in found:
            try:
                one.check()
            except InputError as error:
                if one.is_named:
                    raise
                log.warning("%s; it is not sent to the workers", error)
            else:
                log.info("%s %s is sent to the workers", one.kind, one.origin)
                yield one


def _contents(paths: Sequence[str | Path]) -> dict[str, bytes]:
    n_bytes = sum(Path(path).stat().st_size for path in paths)
    if n_bytes > MAX_INPUTS_MB * 1e6:
        log.warning("%.0f MB of input files are too much to send to each worker", n_bytes / 1e6)
        return {}
    return {str(Path(path).absolute()): Path(path).read_bytes() for path in paths}


@contextmanager
def shipped(client: Client, shipment: Shipment, bag: Luggage, facility: Facility) -> Iterator[None]:
    """Have `bag` on all workers of a client, also on those that come later, within the block.

    Raises
    ------
    InputError
        If versions do not fit, or a worker cannot install or import what it needs.
    IntccmsError
        If no worker comes.
    """
    is_checked = shipment.check and not facility.is_here
    if is_checked:
        _wait_for_worker(client, shipment.patience_s or facility.patience_s)
        check_versions(client)
    with _by_value():
        _register(client, bag, "cannot unpack what was sent")
        with suppress(Exception):  # a courtesy for our pages and counters; no task needs it
            client.run_on_scheduler(luggage.bring_to_scheduler, bag.archive, bag.digests)
    try:
        if shipment.pip:
            _register(client, PipInstall(list(shipment.pip)), f"cannot install {shipment.pip}")
        if shipment.forward_logs:
            _register(client, ForwardOutput(), "cannot forward output")
            client.forward_logging()
        if is_checked:
            _check_imports(client, [*bag.digests, *shipment.modules, *IMPORTS])
        yield
    finally:
        with suppress(Exception):  # the scheduler may be gone: there is nothing to take away then
            if client.status == "running":
                client.unregister_worker_plugin(bag.name)


def _wait_for_worker(client: Client, patience_s: float) -> None:
    """Wait until a worker has run something; an adaptive cluster starts none before."""
    if not client.nthreads():
        log.warning("waiting for a first worker, up to %g s", patience_s)
    try:
        client.submit(platform.python_version, pure=False).result(timeout=patience_s)
    except TimeoutError:
        where = client.scheduler.address if client.scheduler else "the scheduler"
        text = f"no worker has come to {where} within {patience_s:g} s"
        raise IntccmsError(f"{text}; look at the queue and the logs of its jobs") from None


@contextmanager
def _by_value() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(luggage)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(luggage)


def _register(client: Client, plugin: Any, what: str) -> None:
    try:
        client.register_plugin(plugin)
    except Exception as error:  # whatever happened on a worker
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the workers {what}: {text}") from error


def _check_imports(client: Client, names: Sequence[str]) -> None:
    with _by_value():
        answers: dict[str, Any] = client.run(
            luggage.failed_imports, list(dict.fromkeys(names)), on_error="return"
        )
    failed = {address: answer for address, answer in answers.items() if answer}
    if not failed:
        return
    address, answer = next(iter(failed.items()))
    if isinstance(answer, dict):
        answer = "; ".join(f"{name}: {why}" for name, why in answer.items())
    text = f"{len(failed)} of {len(answers)} workers cannot import what the run needs"
    advice = "install it there, or send it: modules=[…] for your own code, pip=[…] for packages"
    raise InputError(f"{text}, e.g. {address}: {answer}; {advice}")
