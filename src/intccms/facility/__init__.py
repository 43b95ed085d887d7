"""Where it runs: Dask clients of laptops, clusters and analysis facilities.

>>> from intccms import facility
>>> facility.known()
('client', 'coffeacasa-condor', 'coffeacasa-gateway', 'htcondor', 'local', 'purdue-af', 'slurm')
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from distributed import Client

from intccms.errors import InputError, nearest
from intccms.facility import (
    client,
    coffeacasa_condor,
    coffeacasa_gateway,
    htcondor,
    local,
    purdue_af,
    slurm,
)
from intccms.facility.credentials import Credential, find_credentials
from intccms.facility.factory import of_factory
from intccms.facility.kinds import Facility
from intccms.facility.packages import inputs_of, modules_of
from intccms.facility.shipping import Shipment, shipped

__all__ = ["check", "connect", "credentials", "inputs_of", "known", "modules_of"]

FACILITIES: dict[str, Facility] = {
    "client": client.FACILITY,
    "coffeacasa-condor": coffeacasa_condor.FACILITY,
    "coffeacasa-gateway": coffeacasa_gateway.FACILITY,
    "htcondor": htcondor.FACILITY,
    "local": local.FACILITY,
    "purdue-af": purdue_af.FACILITY,
    "slurm": slurm.FACILITY,
}


def known() -> tuple[str, ...]:
    """Name the facilities; ``module:function`` and the address of a scheduler are others."""
    return tuple(sorted(FACILITIES))


def check(name: str) -> None:
    """See that there is such a facility; nothing is started.

    Raises
    ------
    InputError
        If there is none.
    """
    _found(name)


def credentials(name: str | None = None) -> list[Credential]:
    """Find the user's proxy and token, at the usual places and at those of a facility.

    Raises
    ------
    InputError
        If there is no such facility, or a file that the user has named is not there.
    """
    return find_credentials(() if name is None else _found(name).token_files)


def _found(name: str | Client) -> Facility:
    if isinstance(name, Client):
        return client.of_client(name)
    if "://" in name:
        return client.of_address(name)
    if ":" in name:
        return of_factory(name)
    if name not in FACILITIES:
        close = nearest(name, known())
        listed = "" if close.startswith("known") else f" known: {list(known())},"
        text = f"unknown facility {name!r}; {close}{listed or ','}"
        raise InputError(f"{text} module:function, or the address of a scheduler")
    return FACILITIES[name]


@contextmanager
def connect(
    name: str | Client, *, n_workers: int | None = None, **options: Any
) -> Iterator[Client]:
    """Give a client whose workers have the code, the environment and the credentials they need.

    Parameters
    ----------
    name
        One of `known`, ``module:function``, the address of a scheduler, or a client.
    n_workers
        How many to start; None: the facility's default. It has no effect where workers are not
        ours to start.
    **options
        The fields of `intccms.facility.shipping.Shipment`, and what the facility itself takes.

    Yields
    ------
    Client
        At the end what was started is closed; what was joined stays.

    Raises
    ------
    InputError
        If there is no such facility, no scheduler, or something does not fit.

    Examples
    --------
    ::

        with connect("local", n_workers=1) as client:
            client.submit(sum, [1, 2, 3]).result()
    """
    facility = _found(name)
    ours = {one.name for one in fields(Shipment)}
    shipment = Shipment(**{key: value for key, value in options.items() if key in ours})
    rest = {key: value for key, value in options.items() if key not in ours}
    bag = shipment.pack(facility)
    with facility.open(n_workers, rest) as opened, shipped(opened, shipment, bag, facility):
        yield opened
