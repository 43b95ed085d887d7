"""``client``: a scheduler by its address, or a client that is there already and stays open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client

from intccms.errors import InputError
from intccms.facility.joining import joined
from intccms.facility.kinds import Facility

__all__ = ["FACILITY", "of_address", "of_client"]


@contextmanager
def _opened(n_workers: int | None, options: dict[str, Any]) -> Iterator[Client]:
    """Join; `options`: ``address``, ``security``, or ``client``."""
    ready = options.pop("client", None)
    address = options.pop("address", None) or dask.config.get("scheduler-address", None)
    security = options.pop("security", None)
    if options:
        raise InputError(f"facility 'client' knows no option {sorted(options)}")
    if ready is not None:
        yield ready
    elif address:
        with joined(address, security) as client:
            yield client
    else:
        raise InputError(
            "facility 'client' needs an address: address='tcp://host:8786', the same as the name "
            "of the facility, or DASK_SCHEDULER_ADDRESS in the environment"
        )


def of_address(address: str) -> Facility:
    """Make the facility of one scheduler."""
    return Facility(lambda n_workers, options: _opened(n_workers, {"address": address} | options))


def of_client(client: Client) -> Facility:
    """Make the facility of a client, which stays open."""
    return Facility(lambda n_workers, options: _opened(n_workers, {"client": client} | options))


FACILITY = Facility(_opened)
