"""``coffeacasa-condor``: the scheduler that coffea-casa starts with a session, over TLS.

Its workers are HTCondor jobs that it asks for by itself when there are tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.security import Security

from intccms.facility.joining import joined
from intccms.facility.kinds import Facility

__all__ = ["FACILITY", "TOKEN_FILES"]

log = logging.getLogger(__name__)

ADDRESS = "tls://localhost:8786"
SECRETS = Path("/etc/cmsaf-secrets")  # certificate and key in one file, beside the authority
TOKEN_FILES = ("/etc/cmsaf-secrets-chown/access_token", "/etc/cmsaf-secrets/access_token")


@contextmanager
def _opened(n_workers: int | None, options: dict[str, Any]) -> Iterator[Client]:
    """Join the session's scheduler.

    `options`: ``address``; ``security``, a `distributed.Security`; ``secrets``, the folder of
    ``ca.pem`` and ``hostcert.pem``.
    """
    address = options.pop("address", ADDRESS)
    security = options.pop("security", None) or _security(Path(options.pop("secrets", SECRETS)))
    if options:
        raise TypeError(f"coffeacasa-condor takes no {sorted(options)}")
    if n_workers is not None:
        log.warning("coffeacasa-condor starts workers as they are needed: n_workers has no effect")
    with joined(address, security) as client:
        yield client


def _security(secrets: Path) -> Security | None:
    """Give the session's certificates; None where Dask's configuration names them already."""
    authority, certificate = secrets / "ca.pem", secrets / "hostcert.pem"
    if dask.config.get("distributed.comm.tls.ca-file", None) or not certificate.exists():
        return None
    return Security(
        tls_ca_file=str(authority),
        tls_client_cert=str(certificate),
        tls_client_key=str(certificate),
        require_encryption=True,
    )


FACILITY = Facility(_opened, patience_s=600.0, token_files=TOKEN_FILES)
