"""Clusters of a Dask Gateway: the user's own one is joined, else one is made and shut down."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client

from intccms.errors import InputError, nearest

__all__ = ["gateway_client"]

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
    with _connected(gateway, name) if name else _started(gateway, options) as cluster:
        if n_workers is not None:
            cluster.scale(n_workers)
        elif not name:
            cluster.adapt(minimum=1)
        with cluster.get_client() as client:
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


def _connected(gateway: Any, name: str) -> Any:
    return gateway.connect(name, shutdown_on_close=False)


def _started(gateway: Any, options: dict[str, Any]) -> Any:
    try:
        return gateway.new_cluster(shutdown_on_close=True, **options)
    except Exception as error:  # as above
        why = " ".join(str(error).split()) or type(error).__name__
        offered = sorted(gateway.cluster_options())
        text = f"the Dask Gateway at {gateway.address} starts no cluster: {why}"
        raise InputError(f"{text}; its options: {offered}") from error
