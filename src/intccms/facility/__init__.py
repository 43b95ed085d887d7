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

from intccms.facility.credentials import Credential, find_credentials
from intccms.facility.sites import find_facility, known
from intccms.facility.upload import Upload, inputs_of, modules_of, uploaded

__all__ = ["check", "connect", "credentials", "inputs_of", "known", "modules_of"]


def check(name: str) -> None:
    """See that there is such a facility; nothing is started.

    Raises
    ------
    InputError
        If there is none.
    """
    find_facility(name)


def credentials(name: str | None = None) -> list[Credential]:
    """Find the user's proxy and token, at the usual places and at those of a facility.

    Raises
    ------
    InputError
        If there is no such facility, or a file that the user has named is not there.
    """
    return find_credentials(() if name is None else find_facility(name).token_files)


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
        The fields of `intccms.facility.upload.Shipment`, and what the facility itself takes.

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
    facility = find_facility(name)
    ours = {one.name for one in fields(Upload)}
    upload = Upload(**{key: value for key, value in options.items() if key in ours})
    rest = {key: value for key, value in options.items() if key not in ours}
    setup = upload.prepare(facility)
    with facility.open(n_workers, rest) as client, uploaded(client, upload, setup, facility):
        yield client
