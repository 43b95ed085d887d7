"""What a catalogue says of the input files: sizes, checksums, events, and where they are. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from intccms.metrics.inspector.record import FileRecord

__all__ = ["FileSize", "SizeSummary", "lfn_of"]

AVAILABLE = "AVAILABLE"


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
        """Give the doors in front of available replicas on disk, those with most files first.

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
        doors: Counter[str] = Counter()
        for file in (self.files[lfn] for lfn in chosen if lfn in self.files):
            for site in file.available_at:
                if self.sites.get(site) != "TAPE":
                    doors.update({_door(pfn, file.lfn) for pfn in file.pfns.get(site, ())})
        return tuple(sorted(doors, key=lambda door: (-doors[door], door)))

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


def _door(pfn: str, lfn: str) -> str:
    """Give what stands before the LFN in a PFN, as ``redirector`` of a dataset takes it."""
    head = pfn.removesuffix(lfn)
    scheme, _, place = head.partition("://")
    return f"{scheme}://{place.rstrip('/')}/" if "/" not in place.rstrip("/") else head
