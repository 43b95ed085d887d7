"""The files of every dataset: what the search for files hands to everything that reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from intccms.errors import nearest
from intccms.redaction import redacted

__all__ = ["RUNS_WEIGHT", "DatasetFiles", "Fileset", "file_format"]

RUNS_WEIGHT = "genWeight"  # whose sum the tree Runs has, and of no other

_PARQUET = re.compile(r"\.(parquet|parq|pq)\b(?!.*\.root\b)")
_XROOTD_HOST = re.compile(r"(root|xroot|roots)://[^/]+/*")


@dataclass(frozen=True, slots=True)
class DatasetFiles:
    """Input files of one dataset, e.g. ``ttbar_semilep_2017``."""

    dataset: str
    process: str
    year: str | None
    is_data: bool
    xsec_pb: float
    lfns: tuple[str, ...]  # "/store/…", URLs or absolute paths; the position numbers the file
    redirectors: tuple[str, ...] = ()  # e.g. ("root://xcache/",), tried in this order
    tree_name: str = "Events"
    weight_branch: str | None = None  # None for data
    n_listed: int = 0  # files in the complete listing, of which `lfns` may be the first
    weight_clip: float | None = None  # larger weights count as this
    has_selection: bool = False  # only a part of its events counts
    # names with credentials, by what `lfns` has in their place: needed to open, never written
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep credentials apart from names, which are written, logged and shown."""
        names = {lfn: redacted(lfn) for lfn in self.lfns}
        whole = {name: lfn for lfn, name in names.items() if name != lfn}
        if whole:
            object.__setattr__(self, "lfns", tuple(dict.fromkeys(names.values())))
            object.__setattr__(self, "credentials", {**self.credentials, **whole})

    @property
    def weight(self) -> str:
        """What an event of simulation counts, in words; empty for data."""
        clipped = "" if self.weight_clip is None else f" clipped at {self.weight_clip:g}"
        return f"{self.weight_branch or ''}{clipped}"

    @property
    def has_sum_in_runs(self) -> bool:
        """Whether the tree ``Runs`` has the sum of the weights over all generated events."""
        return self.weight_branch == RUNS_WEIGHT and self.weight_clip is None

    def pfns(self, lfn: str) -> tuple[str, ...]:
        """Every place where a file can be opened, in the order to try them.

        Parameters
        ----------
        lfn
            One of `lfns`. Names that begin with ``/store/`` get the redirectors put before
            them; a URL or any other path is opened as it stands.
        """
        lfn = self.credentials.get(lfn, lfn)
        if not self.redirectors or not lfn.startswith("/store/"):
            return (lfn,)
        return tuple(_joined(redirector, lfn) for redirector in self.redirectors)


@dataclass(frozen=True, slots=True)
class Fileset:
    """The datasets of a run, in the order of the configuration."""

    datasets: tuple[DatasetFiles, ...]

    def __iter__(self) -> Iterator[DatasetFiles]:
        """Iterate over the datasets (not over their keys)."""
        return iter(self.datasets)

    def __len__(self) -> int:
        """Give the number of datasets."""
        return len(self.datasets)

    def __getitem__(self, key: str) -> DatasetFiles:
        """Look a dataset up by its key, e.g. ``ttbar_semilep_2017``."""
        for files in self.datasets:
            if files.dataset == key:
                return files
        raise KeyError(f"unknown dataset {key!r}; {nearest(key, self.keys())}")

    def keys(self) -> tuple[str, ...]:
        """Give the dataset keys, in order."""
        return tuple(files.dataset for files in self.datasets)

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes, each once, in order."""
        return tuple(dict.fromkeys(files.process for files in self.datasets))

    @property
    def n_files(self) -> int:
        """Number of files in all datasets."""
        return sum(len(files.lfns) for files in self.datasets)


def file_format(name: str) -> Literal["root", "parquet"]:
    """Tell the format of a file by its name, as coffea does: the last suffix counts.

    Examples
    --------
    >>> file_format("root://xcache//store/a.root"), file_format("s3://skims/part_0.parquet")
    ('root', 'parquet')
    """
    return "parquet" if _PARQUET.search(name.rpartition("/")[2]) else "root"


def _joined(redirector: str, lfn: str) -> str:
    # XRootD needs two slashes after the host: with one the path is relative to the server's own.
    if _XROOTD_HOST.fullmatch(redirector):
        return f"{redirector.rstrip('/')}/{lfn}"
    return redirector + lfn
