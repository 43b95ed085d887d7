"""The record of one inspected file: what it holds, how it is stored, or why it cannot be read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from intccms.datasets.contents import FileCount
from intccms.histograms.spectrum import WeightSpectrum

__all__ = ["FileRecord", "collection_of"]

IntArray = npt.NDArray[np.int64]


def _none() -> IntArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class FileRecord:
    """One file.

    Numbers of a file that failed are None, its lists are empty; a file that was found to be
    damaged keeps the numbers it had.
    """

    path: str  # as it was asked for: an LFN, a URL or a path
    dataset: str = ""
    process: str = ""
    error: str | None = None  # one line
    error_type: str | None = None
    pfn: str = ""  # where it was opened
    tree_name: str = "Events"
    is_data: bool = False
    uuid: str = ""
    n_events: int | None = None
    size_bytes: int | None = None
    modified: str = ""  # see `Stamp`
    digest: str = ""  # see `datasets.identity`
    format: str = ""  # "TTree", "RNTuple" or "parquet"
    root_version: str = ""
    compressions: tuple[str, ...] = ()  # "ZLIB-1", that of most branches first
    branches: tuple[str, ...] = ()
    compressed_bytes: IntArray = field(default_factory=_none)  # one number per branch
    uncompressed_bytes: IntArray = field(default_factory=_none)
    n_baskets: IntArray = field(default_factory=_none)  # or pages, or column chunks
    clusters: IntArray = field(default_factory=_none)  # entries between which a cluster lies
    runs_sumw: float | None = None  # sums over the Runs tree
    runs_count: int | None = None
    run_range: tuple[int, int] | None = None
    lumi_range: tuple[int, int] | None = None
    sections: str | None = None  # of data, see `FileCount`
    weight_branch: str = ""  # of simulation
    weights: str = ""  # how these are spread: a `WeightSpectrum` as JSON; empty if it is not known
    event_hashes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    adler32: str | None = None  # computed only when all bytes are verified
    open_s: float = 0.0  # seconds it took

    @property
    def n_branches(self) -> int:
        """Number of branches; of an RNTuple its top-level fields."""
        return len(self.branches)

    @property
    def compression(self) -> str:
        """Algorithm and level of most branches, e.g. ``LZMA-9``."""
        return self.compressions[0] if self.compressions else ""

    @property
    def n_clusters(self) -> int:
        """Number of clusters (row groups in parquet)."""
        return max(len(self.clusters) - 1, 0)

    def branch(self, name: str) -> dict[str, int]:
        """Give the bytes and baskets of one branch.

        Raises
        ------
        KeyError
            If the file has no such branch.
        """
        if name not in self.branches:
            raise KeyError(name)
        index = self.branches.index(name)
        return {
            "compressed_bytes": int(self.compressed_bytes[index]),
            "uncompressed_bytes": int(self.uncompressed_bytes[index]),
            "n_baskets": int(self.n_baskets[index]),
        }

    def count(self, dataset: str | None = None) -> FileCount | None:
        """Give what `metadata` needs of this file; None if it cannot be trusted."""
        if self.error is not None or self.n_events is None:
            return None
        return FileCount(
            dataset=self.dataset if dataset is None else dataset,
            lfn=self.path,
            pfn=self.pfn,
            uuid=self.uuid,
            n_events=self.n_events,
            runs_sumw=self.runs_sumw,
            runs_count=self.runs_count,
            sections=self.sections,
            size_bytes=self.size_bytes,
            modified=self.modified,
            digest=self.digest,
        )

    @property
    def spectrum(self) -> WeightSpectrum | None:
        """How the weights of its events are spread; None if it is not known."""
        return WeightSpectrum.from_json(json.loads(self.weights)) if self.weights else None

    def summary(self) -> dict[str, Any]:
        """Give everything but the single branches, ready for JSON."""
        names = (
            "path dataset process error error_type pfn uuid n_events n_branches size_bytes format "
            "root_version compression n_clusters runs_sumw runs_count run_range lumi_range adler32"
        )
        return {name: getattr(self, name) for name in names.split()}


def collection_of(branch: str, branches: frozenset[str]) -> str:
    """Name the collection of a NanoAOD branch.

    Parameters
    ----------
    branch
        ``Muon_pt``, ``nMuon``, ``run``.
    branches
        All branches of the file, by which counters are known.

    Examples
    --------
    >>> names = frozenset({"nMuon", "Muon_pt", "run", "HLT_Mu50", "nPSWeight", "PSWeight"})
    >>> [collection_of(name, names) for name in ("Muon_pt", "nMuon", "run", "HLT_Mu50")]
    ['Muon', 'Muon', 'event', 'HLT']
    >>> [collection_of(name, names) for name in ("PSWeight", "nPSWeight")]
    ['PSWeight', 'PSWeight']
    """
    head, separator, _ = branch.partition("_")
    if separator and head:
        return head
    counted = branch.removeprefix("n")
    if f"n{branch}" in branches:
        return branch
    if branch.startswith("n") and counted in _heads(branches):
        return counted
    return "event"


@lru_cache(maxsize=16)
def _heads(branches: frozenset[str]) -> frozenset[str]:
    return frozenset(name.partition("_")[0] for name in branches if not name.startswith("n"))
