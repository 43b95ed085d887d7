"""From names of datasets to listings of files: DAS names (Rucio), records of CERN Open Data.

Reads ``sources.yaml`` beside the directories of a configuration, asks the services, writes
listings there. A listing says in its head where it is from and when: that is the cache.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from intccms.datasets.fileset import read_listing
from intccms.errors import InputError, IntccmsError, ServiceError
from intccms.schema import Config
from intccms.storage import write_text

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
        files = [file for one in names for file in client.list_files(scope, one)]
    except DataIdentifierNotFound as error:
        raise _unknown(client, name, scope) from error
    except RucioException as error:
        raise ServiceError(f"Rucio: {' '.join(str(error).split())}") from error
    if not files:
        raise _unknown(client, name, scope)
    return [ListedFile(file["name"], file.get("bytes"), file.get("events")) for file in files]


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


SOURCES = "sources.yaml"
SHOWN = 10  # names of files

Source = str | int  # a DAS name, maybe with wildcards; the number of a record

_HEAD = re.compile(r"^# resolved (\S+) from (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Services:
    """Who is asked.

    Parameters
    ----------
    rucio
        Gives a client when the first DAS name is to be resolved.
    scope
        Rucio's scope of the datasets.
    opendata
        Server of the portal; None: CERN's.
    """

    rucio: Callable[[], Any]
    scope: str = "cms"
    opendata: str | None = None

    def files(self, source: Source) -> list[ListedFile]:
        """Ask for the files of a dataset."""
        if isinstance(source, int):
            return opendata_files(source, self.opendata)
        return rucio_files(self.rucio(), source, self.scope)


@dataclass(frozen=True)
class Change:
    """What became of one listing."""

    dataset: str
    listing: Path
    source: str
    status: Literal["new", "changed", "same", "cached", "foreign", "no source", "failed"]
    n_files: int = 0
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    date: str = ""
    error: IntccmsError | None = None

    def shown(self, names: tuple[str, ...]) -> list[str]:
        """Return the first names of a listing that has changed; of a new one none."""
        if self.status != "changed":
            return []
        rest = [f"… and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
        return [*names[:SHOWN], *rest]

    def __str__(self) -> str:
        """Return one line for people."""
        name = f"{self.dataset}: {self.listing.name}"
        texts = {
            "new": f"{self.n_files:,} files, new, from {self.source}",
            "changed": f"{self.n_files:,} files, {len(self.added):,} added, "
            f"{len(self.removed):,} removed, from {self.source}",
            "same": f"{self.n_files:,} files, unchanged, from {self.source}",
            "cached": f"{self.n_files:,} files, resolved {self.date} from {self.source}",
            "foreign": f"{self.n_files:,} files, not from {SOURCES}, read all the same",
            "no source": f"{SOURCES} names no source for {self.listing.parent}",
            "failed": f"{self.error}",
        }
        if self.status == "no source":
            return f"{self.dataset}: {texts[self.status]}"
        return f"{name}: {texts[self.status]}"


def discover(config: Config, services: Services, *, refresh: bool = False) -> Iterator[Change]:
    """Resolve the sources of all datasets and write their listings.

    Parameters
    ----------
    config
        Its datasets whose `file_pattern` names listings; ``general.processes`` restricts them.
    services
        Who is asked.
    refresh
        Ask again for what is listed already.

    Yields
    ------
    Change
        One per listing, as it is done. A source that fails leaves its listing as it was.

    Raises
    ------
    InputError
        If a ``sources.yaml`` is not as it should be.
    """
    wanted = config.general.processes
    for entry in config.datasets.datasets:
        if wanted is not None and entry.name not in wanted:
            continue
        for key, directory in zip(entry.keys(), entry.directories, strict=True):
            folder = config.general.input_path(directory).absolute()
            if Path(entry.file_pattern).suffix == ".txt":
                yield from _listings(key, folder, services, refresh)


def _listings(key: str, folder: Path, services: Services, refresh: bool) -> Iterator[Change]:
    sources = _sources(folder)
    if not sources:
        yield Change(key, folder / "0.txt", "", "no source")
    written = set()
    for number, source in enumerate(sources):
        listing = folder / f"{number}.txt"
        written.add(listing)
        yield _resolved(key, listing, source, services, refresh)
    for other in sorted(set(folder.glob("*.txt")) - written):
        if sources:
            yield Change(key, other, "", "foreign", len(read_listing(other)))


def _sources(folder: Path) -> list[Source]:
    """Look for the sources of a directory in the nearest ``sources.yaml`` above it."""
    for parent in (folder, *folder.parents):
        path = parent / SOURCES
        if path.is_file():
            return _read(path, folder.relative_to(parent).as_posix())
    return []


def _read(path: Path, name: str) -> list[Source]:
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    entries = table.get(name, []) if isinstance(table, dict) else None
    entries = entries if isinstance(entries, list) else [entries]
    for entry in entries:
        is_name = isinstance(entry, str) and entry.startswith("/") and entry.count("/") == 3
        if isinstance(entry, bool) or not (is_name or isinstance(entry, int)):
            raise InputError(
                f"{path}, {name}: {entry!r} is neither a DAS name (/primary/processed/tier) nor "
                "the number of a CERN Open Data record"
            )
    return entries


def _resolved(key: str, listing: Path, source: Source, services: Services, refresh: bool) -> Change:
    label = f"record {source}" if isinstance(source, int) else source
    before = read_listing(listing) if listing.is_file() else []
    head = _HEAD.search(listing.read_text(encoding="utf-8-sig")) if before else None
    change = Change(key, listing, label, "cached", len(before))
    if head is not None and head[2] == label and not refresh:
        return replace(change, date=head[1])
    try:
        files = services.files(source)
    except (InputError, ServiceError) as error:
        return replace(change, status="failed", error=error)
    names = {file.name for file in files}
    remaining = [name for name in before if name in names]  # their positions number the files
    added = sorted(names.difference(remaining))
    removed = tuple(name for name in before if name not in names)
    today = datetime.now(UTC).date().isoformat()
    write_text(listing, _text(label, today, files, [*remaining, *added]))
    status: Literal["new", "changed", "same"] = "new" if not before else "same"
    if before and (added or removed):
        status = "changed"
    return replace(
        change, status=status, n_files=len(names), added=tuple(added), removed=removed, date=today
    )


def _text(label: str, date: str, files: list[ListedFile], names: list[str]) -> str:
    parts = [f"{len(names):,} files"]
    if all(file.n_events is not None for file in files):
        parts.append(f"{sum(file.n_events or 0 for file in files):,} events")
    if all(file.size_bytes is not None for file in files):
        parts.append(f"{sum(file.size_bytes or 0 for file in files):,} bytes")
    head = [f"# resolved {date} from {label}", f"# {', '.join(parts)}"]
    return "\n".join([*head, *names]) + "\n"
