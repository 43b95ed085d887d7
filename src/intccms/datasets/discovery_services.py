"""Asking Rucio and the CERN Open Data portal, through their own clients, which files there are."""

from __future__ import annotations

import contextlib
import io
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from intccms.errors import InputError, ServiceError

__all__ = ["ListedFile", "opendata_files", "rucio_files"]

EVENT_FILES = (".root", ".parquet")
INDEX_SUFFIX = "_file_index.json"
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a dataset, as a service names it."""

    name: str  # an LFN from Rucio, a URL from the portal
    size_bytes: int | None = None
    n_events: int | None = None


def rucio_files(client: Any, name: str, scope: str) -> list[ListedFile]:
    """List the files of all datasets that a DAS name stands for.

    Parameters
    ----------
    client
        A `rucio.client.Client`.
    name
        ``/primary/processed/tier``, maybe with ``*``.
    scope
        Rucio's scope of them.

    Raises
    ------
    InputError
        If there is none.
    ServiceError
        If Rucio fails.
    """
    from rucio.common.exception import DataIdentifierNotFound, RucioException

    try:
        names = [name]
        if "*" in name:
            names = sorted(client.list_dids(scope, {"name": name}, did_type="container"))
        found = [file for one in names for file in client.list_files(scope, one)]
    except DataIdentifierNotFound as error:
        raise _unknown(client, name, scope) from error
    except RucioException as error:
        raise ServiceError(f"Rucio: {' '.join(str(error).split())}") from error
    if not found:
        raise _unknown(client, name, scope)
    return [ListedFile(file["name"], file.get("bytes"), file.get("events")) for file in found]


def _unknown(client: Any, name: str, scope: str) -> InputError:
    text = f"Rucio knows no files of {name!r} in scope {scope!r}"
    if scope not in set(client.list_scopes()):
        text += ", which does not exist"
    return InputError(text)


def opendata_files(recid: int, server: str | None = None) -> list[ListedFile]:
    """List the event files of a record of the CERN Open Data portal.

    Parameters
    ----------
    recid
        Number of the record.
    server
        URL of the portal; None: CERN's.

    Raises
    ------
    InputError
        If there is no such record, or it has no event file.
    ServiceError
        If the portal cannot be reached.
    """
    from cernopendata_client.config import SERVER_HTTPS_URI
    from cernopendata_client.searcher import get_files_list, get_record_as_json

    server = server or SERVER_HTTPS_URI
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            record = get_record_as_json(server, recid)
            listed = get_files_list(server, record, protocol="xrootd", expand=True)
    except SystemExit as error:  # what the client does when it finds nothing
        raise InputError(f"CERN Open Data has no record {recid} ({server})") from error
    except (OSError, ValueError) as error:  # what `requests` raises is an OSError
        text = " ".join(str(error).split())[:300]
        raise ServiceError(f"CERN Open Data ({server}): {text}") from error
    files = [ListedFile(uri, size) for uri, size, _ in listed if uri.endswith(EVENT_FILES)]
    indices = [uri for uri, *_ in listed if uri.endswith(INDEX_SUFFIX)]
    if not files:
        files = [file for uri in indices for file in _indexed(uri, server)]
    if not files:
        raise InputError(f"record {recid} of CERN Open Data lists no ROOT or parquet file")
    return files


def _indexed(uri: str, server: str) -> Iterator[ListedFile]:
    """Read a file index, which some records have instead of the files themselves."""
    url = f"{server}/eos/{uri.partition('//eos/')[2]}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310
            entries = json.load(answer)
    except (OSError, ValueError) as error:
        raise ServiceError(f"CERN Open Data: {' '.join(str(error).split())[:300]}") from error
    for entry in entries:
        yield ListedFile(entry["uri"], entry.get("size"))
