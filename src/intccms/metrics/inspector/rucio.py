"""What Rucio knows of the input files: sizes, checksums, events, and the sites that have them.

Asks a Rucio server through the official client; its configuration and credentials are the user's.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from intccms.datasets import DatasetManager, Fileset
from intccms.errors import InputError, ServiceError, nearest
from intccms.facility.credentials import find_credentials
from intccms.metrics.inspector.record import FileRecord
from intccms.storage import write_json

log = logging.getLogger(__name__)

AVAILABLE = "AVAILABLE"
BATCH = 500  # files in one query


@dataclass(frozen=True, slots=True)
class FileSize:
    """What Rucio says of one file."""

    lfn: str
    size_bytes: int | None
    adler32: str | None
    n_events: int | None
    states: dict[str, str] = field(default_factory=dict)  # of the replica at each site
    pfns: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by site

    @property
    def available_at(self) -> tuple[str, ...]:
        """Sites whose replica can be read."""
        return tuple(site for site, state in self.states.items() if state == AVAILABLE)


@dataclass(frozen=True)
class SizeSummary:
    """All files that were asked for.

    Parameters
    ----------
    files
        By LFN.
    errors
        Why nothing is known of a file, by its name.
    sites
        Kind of each site, ``DISK`` or ``TAPE``.
    fetched
        When, in UTC.
    """

    files: dict[str, FileSize] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    sites: dict[str, str] = field(default_factory=dict)
    scope: str = "cms"
    fetched: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes or 0 for file in self.files.values())

    def file(self, path: str) -> FileSize | None:
        """Give the entry of a file by its LFN, or by a URL that ends with it."""
        return self.files.get(lfn_of(path) or path)

    def size_of(self, path: str) -> int | None:
        """Give the size of a file in bytes, if it is known."""
        entry = self.file(path)
        return None if entry is None else entry.size_bytes

    def disagreement(self, record: FileRecord) -> str | None:
        """Say in what a file differs from its entry here, or None."""
        entry = self.file(record.path)
        if entry is None:
            return None
        pairs = {
            "bytes": (record.size_bytes, entry.size_bytes),
            "events": (record.n_events, entry.n_events),
            "as adler32": (record.adler32, entry.adler32),
        }
        texts = [
            f"it has {found} {what}, Rucio says {known}"
            for what, (found, known) in pairs.items()
            if None not in (found, known) and found != known
        ]
        if not self.on_disk(entry):
            texts.append("no disk has a replica that can be read")
        return "; ".join(texts) or None

    def on_disk(self, entry: FileSize) -> bool:
        """Whether a replica can be read without staging it from tape."""
        return any(self.sites.get(site) != "TAPE" for site in entry.available_at)

    def by_site(self) -> dict[str, dict[str, int]]:
        """Count the available files and their bytes at each site, the fullest first."""
        n_files: Counter[str] = Counter()
        n_bytes: Counter[str] = Counter()
        for file in self.files.values():
            for site in file.available_at:
                n_files[site] += 1
                n_bytes[site] += file.size_bytes or 0
        return {
            site: {"n_files": n, "size_bytes": n_bytes[site]} for site, n in n_files.most_common()
        }

    def redirectors(self, lfns: Iterable[str] | None = None) -> tuple[str, ...]:
        """Give the redirectors in front of available replicas on disk, those with most files first.

        Parameters
        ----------
        lfns
            For these files only.

        Returns
        -------
        tuple of str
            What ``redirector`` of a dataset takes, to be tried in this order.
        """
        chosen = self.files if lfns is None else {lfn_of(lfn) or lfn for lfn in lfns}
        redirectors: Counter[str] = Counter()
        for file in (self.files[lfn] for lfn in chosen if lfn in self.files):
            for site in file.available_at:
                pfns = file.pfns.get(site, ()) if self.sites.get(site) != "TAPE" else ()
                redirectors.update({_redirector(pfn, file.lfn) for pfn in pfns})
        return tuple(sorted(redirectors, key=lambda name: (-redirectors[name], name)))

    def summary(self) -> dict[str, Any]:
        """Give the numbers, ready for JSON."""
        return {
            "scope": self.scope,
            "fetched": self.fetched,
            "n_files": len(self.files),
            "size_bytes": self.size_bytes,
            "n_not_on_disk": sum(not self.on_disk(file) for file in self.files.values()),
            "by_site": self.by_site(),
            "redirectors": self.redirectors(),
            "errors": self.errors,
        }


def lfn_of(path: str) -> str | None:
    """Find the logical name in a path or URL.

    Examples
    --------
    >>> lfn_of("root://xcache//store/mc/a.root"), lfn_of("/home/me/a.root")
    ('/store/mc/a.root', None)
    """
    _, found, rest = path.partition("/store/")
    return found + rest if found and (path.startswith("/store/") or "://" in path) else None


def _redirector(pfn: str, lfn: str) -> str:
    """Give what stands before the LFN in a PFN, as ``redirector`` of a dataset takes it."""
    head = pfn.removesuffix(lfn)
    scheme, _, place = head.partition("://")
    return f"{scheme}://{place.rstrip('/')}/" if "/" not in place.rstrip("/") else head


def connect() -> Any:
    """Open a session with the Rucio server of the user's configuration.

    Returns
    -------
    rucio.client.Client
        Authenticated.

    Raises
    ------
    ModuleNotFoundError
        If the client is not installed.
    ServiceError
        If there is no configuration, no server, or it does not know the user; an expired proxy
        is named.
    """
    try:
        from rucio.client import Client
    except ModuleNotFoundError as error:
        text = "the Rucio client is not installed: pip install rucio-clients"
        raise ModuleNotFoundError(text) from error
    except Exception as error:  # the client reads its configuration when it is imported
        raise ServiceError(f"Rucio: {_one_line(error)}") from error
    try:
        return Client(logger=log.getChild("client"))
    except Exception as error:
        raise ServiceError(f"Rucio: {_one_line(error)}{_expired()}") from error


def _one_line(error: Exception) -> str:
    if isinstance(error, KeyError) and "proxy" in str(error):
        return "there is no X509 proxy"
    return " ".join(str(error).split()) or type(error).__name__


def _expired() -> str:
    try:
        for credential in find_credentials(token=False):
            credential.check()
    except InputError as error:
        return f"; {error}"
    return ""


def fetch_file_sizes(  # noqa: PLR0913 - all but the first three by name
    dataset_manager: DatasetManager | Fileset,
    processes: Sequence[str] | None = None,
    scope: str = "cms",
    *,
    client: Any = None,
    cache: str | Path | None = None,
    refresh: bool = False,
    batch: int = BATCH,
) -> SizeSummary:
    """Ask Rucio for the sizes and replicas of all input files.

    Parameters
    ----------
    dataset_manager
        Knows the files; those with ``/store/`` in their names are asked for.
    processes
        Names of processes; None: as the configuration says.
    scope
        Rucio's scope of the files.
    client
        A `rucio.client.Client`; None: `connect`.
    cache
        A JSON file: what stands in it is not asked again, new answers are added.
    refresh
        Ask again for everything.
    batch
        Files in one query.

    Raises
    ------
    ServiceError
        If Rucio cannot be reached; what it does not know is an entry in `errors`.
    InputError
        If it has no such scope.
    """
    if isinstance(dataset_manager, DatasetManager):
        dataset_manager = dataset_manager.fileset(processes)
    names = [lfn for files in dataset_manager for lfn in files.lfns]
    errors = {name: "it has no /store/ name" for name in names if lfn_of(name) is None}
    lfns = list(dict.fromkeys(lfn for name in names if (lfn := lfn_of(name)) is not None))
    known = SizeSummary() if cache is None or refresh else _load(Path(cache), scope)
    files = {lfn: known.files[lfn] for lfn in lfns if lfn in known.files}
    todo = [lfn for lfn in lfns if lfn not in files]
    sites, fetched = known.sites, known.fetched
    if todo:
        client = connect() if client is None else client
        fetched = datetime.now(UTC).isoformat(timespec="seconds")
        sites = sites | {one["rse"]: str(one.get("rse_type")) for one in client.list_rses()}
        for start in range(0, len(todo), batch):
            for lfn, answer in _asked(client, scope, todo[start : start + batch]):
                if isinstance(answer, FileSize):
                    files[lfn] = answer
                else:
                    errors[lfn] = answer
        if not any(lfn in files for lfn in todo):
            _check_scope(client, scope)
    summary = SizeSummary(files, errors, sites, scope, fetched)
    if cache is not None and todo:
        write_json(cache, asdict(replace(summary, files=known.files | files)))
    return summary


def _load(path: Path, scope: str) -> SizeSummary:
    try:
        saved = TypeAdapter(SizeSummary).validate_json(path.read_bytes())
        if saved.scope == scope:
            return saved
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        log.warning("the saved answers of Rucio are not used: %s: %s", path, error)
    return SizeSummary()


def _asked(client: Any, scope: str, lfns: list[str]) -> Iterator[tuple[str, FileSize | str]]:
    """Ask for some files; if the query fails, for half of them, down to the one that fails."""
    dids = [{"scope": scope, "name": lfn} for lfn in lfns]
    try:
        about = {one["name"]: one for one in client.get_metadata_bulk(dids)}
        present = [did for did in dids if did["name"] in about]
        asked = {"schemes": ["root"], "all_states": True}
        listed = client.list_replicas(present, **asked) if present else ()
        replicas = {one["name"]: one for one in listed}
    except Exception as error:  # noqa: BLE001  one bad name must not hide the others
        if len(lfns) == 1:
            yield lfns[0], f"{type(error).__name__}: {_one_line(error)}"
            return
        middle = len(lfns) // 2
        yield from _asked(client, scope, lfns[:middle])
        yield from _asked(client, scope, lfns[middle:])
        return
    for lfn in lfns:
        if lfn not in about:
            yield lfn, f"Rucio does not know it in scope {scope!r}"
            continue
        size, checksum, n = (about[lfn].get(name) for name in ("bytes", "adler32", "events"))
        replica = replicas.get(lfn, {})
        pfns = {site: tuple(names) for site, names in (replica.get("rses") or {}).items()}
        yield lfn, FileSize(lfn, size, checksum, n, dict(replica.get("states") or {}), pfns)


def _check_scope(client: Any, scope: str) -> None:
    scopes = list(client.list_scopes())
    if scope not in scopes:
        raise InputError(f"Rucio has no scope {scope!r}; {nearest(scope, scopes)}")
