"""The record of one inspected file: what it holds, how it is stored, or why it cannot be read."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow.parquet
import uproot
from uproot.behaviors.RNTuple import RNTuple

from intccms.datasets.contents import FileCount
from intccms.engine.objects import event_seeds
from intccms.histograms.exact import WeightSpectrum
from intccms.redaction import redacted

IntArray = npt.NDArray[np.int64]

NO_COMPRESSION = "none"


class Layout(NamedTuple):
    """Columns of a file, see `FileRecord`."""

    format: str
    compressions: tuple[str, ...]
    branches: tuple[str, ...]
    compressed_bytes: IntArray
    uncompressed_bytes: IntArray
    n_baskets: IntArray
    clusters: IntArray

    @classmethod
    def of(cls, kind: str, packing: Iterable[str], names: Iterable[str], numbers: Any,
           clusters: Any) -> Layout:  # fmt: skip
        """Make it of rows of compressed bytes, uncompressed bytes and baskets, one a branch."""
        packed, bare, n_baskets = np.array(numbers, dtype=np.int64).reshape(-1, 3).T.copy()
        cuts = np.asarray(clusters, dtype=np.int64)
        branches = interned(tuple(names))
        return cls(kind, tuple(packing), branches, packed, bare, n_baskets, cuts)


def layout_of(tree: Any) -> Layout:
    """Describe a TTree, an RNTuple or a parquet file.

    Parameters
    ----------
    tree
        As uproot or pyarrow has opened it.
    """
    if isinstance(tree, pyarrow.parquet.ParquetFile):
        return _of_parquet(tree)
    return _of_rntuple(tree) if isinstance(tree, RNTuple) else _of_ttree(tree)


def _of_ttree(tree: Any) -> Layout:
    branches = tree.branches
    names = [branch.name for branch in branches]
    if any(branch.branches for branch in branches):  # not in NanoAOD
        names = tree.keys()
        branches = [tree[name] for name in names]
    numbers = [
        (branch.member("fZipBytes"), branch.member("fTotBytes"), branch.num_baskets)
        for branch in branches
    ]
    clusters = _clusters_of(branches, int(tree.num_entries))
    return Layout.of("TTree", _compressions(branches), names, numbers, clusters)


def _compressions(branches: list[Any]) -> tuple[str, ...]:
    """Name the compressions of all branches, the most common one first.

    Some files say that nothing is compressed where it is; then a basket is asked.
    """
    codes = Counter(branch.member("fCompress") for branch in branches)
    names = dict.fromkeys(_compression(code) for code, _ in codes.most_common())
    packed = [one for one in branches if one.member("fZipBytes") < one.member("fTotBytes")]
    if tuple(names) == (NO_COMPRESSION,) and packed:
        smallest = min(packed, key=lambda branch: int(branch.member("fZipBytes")))
        blocks = smallest.basket(0).block_compression_info or ()
        names = dict.fromkeys(block[0] for block in blocks) or names
    return tuple(names)


def _clusters_of(branches: list[Any], n_events: int) -> Any:
    """Find where clusters begin and end: at each of them every branch starts a basket.

    ROOT does not always keep the list of clusters; the branch with the fewest baskets shows them.
    """
    if n_events == 0 or not branches:
        return [0]
    fewest = min(branches, key=lambda branch: branch.num_baskets or n_events + 1)
    return fewest.entry_offsets if fewest.num_baskets else [0, n_events]


def _of_rntuple(tree: Any) -> Layout:
    """Add up the pages of all columns; a projected field names the bytes of its source."""
    names, owner = _owners(tree)
    numbers = np.zeros((len(names), 3), dtype=np.int64)
    codes: Counter[int] = Counter()
    columns = [(owner[record.field_id], record.nbits) for record in tree.column_records]
    for cluster in tree.page_link_list:
        for (index, n_bits), pages in zip(columns, cluster, strict=False):
            codes[pages.compression_settings] += 1
            for page in pages.pages:
                n_bytes = (page.num_elements * n_bits + 7) // 8
                numbers[index] += (page.locator.num_bytes, n_bytes, 1)
    ends = [one.num_first_entry + one.num_entries for one in tree.cluster_summaries]
    packing = (_compression(code) for code, _ in codes.most_common() if code is not None)
    return Layout.of("RNTuple", packing, names, numbers, [0, *ends])


def _owners(tree: Any) -> tuple[list[str], dict[int, int]]:
    """Name the top-level fields and say to which of them each field's bytes belong."""
    records = tree.field_records
    top: dict[int, int] = {}
    names: list[str] = []
    for index, record in enumerate(records):
        if record.parent_field_id == index:
            top[index] = len(names)
            names.append(record.field_name)

    def ancestor(index: int) -> int:
        while records[index].parent_field_id != index:
            index = records[index].parent_field_id
        return top[index]

    owner = {index: ancestor(index) for index in range(len(records))}
    projected = [
        (record.source_field_id, "Cardinality" in record.type_name, index)
        for index, record in enumerate(records)
        if record.source_field_id is not None
    ]
    # Last wins: the offsets of a collection belong to its counter, not to one of its fields.
    sources = {source: ancestor(index) for source, _, index in sorted(projected)}
    sources |= {source: ancestor(index) for source, counts, index in projected if counts}
    return names, owner | sources


def _of_parquet(file: Any) -> Layout:
    names = tuple(file.schema_arrow.names)
    index = {name: i for i, name in enumerate(names)}
    numbers = np.zeros((len(names), 3), dtype=np.int64)
    codecs: Counter[str] = Counter()
    clusters = [0]
    metadata = file.metadata
    for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
        clusters.append(clusters[-1] + group.num_rows)
        for column in (group.column(i) for i in range(group.num_columns)):
            codecs[column.compression] += 1
            name = column.path_in_schema
            owner = index.get(name, index.get(name.partition(".")[0], 0))
            numbers[owner] += (column.total_compressed_size, column.total_uncompressed_size, 1)
    packing = (codec for codec, _ in codecs.most_common())
    return Layout.of("parquet", packing, names, numbers, clusters if metadata.num_rows else [0])


@lru_cache(maxsize=64)
def interned(names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the one copy of a list of names that all files of a campaign share."""
    return names


@lru_cache(maxsize=64)
def _compression(code: int) -> str:
    """Write ``LZMA-9`` for ROOT's code 209, ``none`` for level 0."""
    found = uproot.compression.Compression.from_code(code)
    if found is None or found.level == 0:
        return NO_COMPRESSION
    return f"{found.name}-{found.level}"


def _none() -> IntArray:
    return np.empty(0, dtype=np.int64)


# What a record and a count of a file have both, beside its dataset and name.
COUNTED = tuple(one.name for one in fields(FileCount) if one.name not in ("dataset", "lfn"))


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
    digest: str = ""  # see `datasets.files`
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

    def damaged(self, error_type: str, error: str) -> FileRecord:
        """Make the record of a file with this error."""
        return replace(self, error_type=error_type, error=error or error_type)

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
        columns = ("compressed_bytes", "uncompressed_bytes", "n_baskets")
        return {column: int(getattr(self, column)[index]) for column in columns}

    def count(self, dataset: str | None = None) -> FileCount | None:
        """Give what `metadata` needs of this file; None if it cannot be trusted."""
        if self.error is not None or self.n_events is None:
            return None
        fields: dict[str, Any] = {name: getattr(self, name) for name in COUNTED}
        return FileCount(self.dataset if dataset is None else dataset, self.path, **fields)

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


KEPT_HASHES = 256  # smallest hashes of event identities; files of fewer events keep all
IDENTITY = ("run", "luminosityBlock", "event")
BLOCK_BYTES = 1 << 22
ROWS = 100_000  # of a column that are decompressed at a time


@dataclass(frozen=True, slots=True)
class Look:
    """Looks at one open file, on the worker.

    Parameters
    ----------
    record
        Says which file it is; what is found is added to it.
    read_events
        Read the identities of the events, and the weights of simulation.
    verify
        Decompress every column, add up the checksum of the file.
    """

    record: FileRecord
    read_events: bool = True
    verify: bool = False

    def __call__(self, tree: Any, counted: FileCount) -> FileRecord:
        """Return the record of the file."""
        known: Any = {name: getattr(counted, name) for name in COUNTED}
        record = replace(self.record, **known, **layout_of(tree)._asdict())
        if not isinstance(tree, pyarrow.parquet.ParquetFile):
            file = tree.file
            record = replace(record, root_version=file.root_version)
            missing = file.fEND - (counted.size_bytes or 0)
            if missing > 0:
                what = f"the last {missing:,} of {file.fEND:,} bytes are missing"
                record = record.damaged("TruncatedFile", f"{what} ({redacted(counted.pfn)})")
        if self.read_events and counted.n_events:
            record = _with_identities(tree, record)
            if record.weight_branch in record.branches:
                record = _with_weights(tree, record)
        return _verified(tree, record, counted.n_events) if self.verify else record


def _with_identities(tree: Any, record: FileRecord) -> FileRecord:
    """Read which events there are: ranges, and the smallest hashes, by which twins are known."""
    columns = {name: _column(tree, name) for name in IDENTITY if name in record.branches}
    ranges = {name: (int(values.min()), int(values.max())) for name, values in columns.items()}
    hashes = record.event_hashes
    if len(columns) == len(IDENTITY):
        hashes = np.unique(event_seeds(*columns.values()))[:KEPT_HASHES].copy()
    runs, lumis = ranges.get("run"), ranges.get("luminosityBlock")
    return replace(record, run_range=runs, lumi_range=lumis, event_hashes=hashes)


def _with_weights(tree: Any, record: FileRecord) -> FileRecord:
    """Read how the weights are spread; one that is no number is an error."""
    values = np.asarray(_column(tree, record.weight_branch), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        text = f"{record.weight_branch} is {values[bad[0]]:g} at entry {bad[0]} ({record.pfn})"
        return record.damaged("BadContent", text)
    spectrum = WeightSpectrum.of(values).to_json()
    return replace(record, weights=json.dumps(spectrum, separators=(",", ":")))


def _column(tree: Any, name: str) -> npt.NDArray[Any]:
    if isinstance(tree, pyarrow.parquet.ParquetFile):
        return np.asarray(tree.read(columns=[name]).column(0).to_numpy())
    return np.asarray(tree[name].array(library="np"))


def _verified(tree: Any, record: FileRecord, n_events: int) -> FileRecord:
    """Decompress every column and compute the checksum; the first damage is the error."""
    checksum = 1
    with fsspec.open(record.pfn, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            checksum = zlib.adler32(block, checksum)
    record = replace(record, adler32=f"{checksum:08x}")
    for name in record.branches:
        try:
            _decompress(tree, name, n_events)
        except Exception as error:  # noqa: BLE001  whatever a damaged column makes of it
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return record.damaged("DamagedColumn", f"{name}: {text} ({redacted(record.pfn)})")
    return record


def _decompress(tree: Any, name: str, n_events: int) -> None:
    if isinstance(tree, pyarrow.parquet.ParquetFile):
        for group in range(tree.num_row_groups):
            tree.read_row_group(group, columns=[name])
        return
    for start in range(0, n_events, ROWS):
        tree[name].array(entry_start=start, entry_stop=min(start + ROWS, n_events))
