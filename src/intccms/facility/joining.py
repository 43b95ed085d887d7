"""Clients of schedulers that run somewhere else, and what is said when there is none."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client
from distributed.security import Security

from intccms.errors import InputError

__all__ = ["joined"]

CONNECT_S = 8.0  # until a scheduler must have answered


@contextmanager
def joined(address: str, security: Security | None = None) -> Iterator[Client]:
    """Connect to a scheduler, and leave it as it is at the end.

    Parameters
    ----------
    address
        ``tcp://host:port`` or ``tls://host:port``.
    security
        Certificates; None: those of Dask's configuration (``distributed.comm.tls``).

    Raises
    ------
    InputError
        If no scheduler answers, or it does not take the certificate.
    """
    try:
        client = Client(address, security=security, timeout=CONNECT_S)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(_refused(address, security, error)) from error
    with client:
        yield client


def _refused(address: str, security: Security | None, error: BaseException) -> str:
    """Say what was tried, what came of it and what to do."""
    reasons = list(_chain(error))
    tried = f"no Dask scheduler at {address} answered within {CONNECT_S:g} s"
    advice = "is it running, and is this its address?"
    if address.startswith("tls://"):
        tried += f", tried with {_certificates(security)}"
        advice = "is it running, and are these certificate and authority its own?"
        if any(isinstance(one, ssl.SSLError) for one in reasons):
            advice = "this certificate or authority does not belong to it"
    why = " ".join(str(reasons[-1]).split()) or type(reasons[-1]).__name__
    return f"{tried}: {why}; {advice}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _certificates(security: Security | None) -> str:
    settings: dict[str, Any] = (security or Security()).get_tls_config_for_role("client")
    named = [
        f"{name} {settings[name]}"
        for name in ("ca_file", "cert", "key")
        if settings[name] and "\n" not in settings[name]  # else the certificate itself
    ]
    return ", ".join(named) or "no certificate (see distributed.comm.tls in Dask's configuration)"
