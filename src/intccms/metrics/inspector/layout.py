"""How the columns of one open file are stored: bytes, baskets, clusters and compression.

Everything comes from headers and footers; no event is read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet
import uproot
from uproot.behaviors.RNTuple import RNTuple

__all__ = ["Layout", "interned", "layout_of"]

IntArray = npt.NDArray[np.int64]

NO_COMPRESSION = "none"


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a file, see `FileRecord`."""

    format: str
    compressions: tuple[str, ...]
    branches: tuple[str, ...]
    compressed_bytes: IntArray
    uncompressed_bytes: IntArray
    n_baskets: IntArray
    clusters: IntArray


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
    if any(branch.branches for branch in branches):  # not in NanoAOD
        branches = [tree[name] for name in tree.keys()]  # noqa: SIM118 - a TTree is no dict
    numbers = [
        (branch.member("fZipBytes"), branch.member("fTotBytes"), branch.num_baskets)
        for branch in branches
    ]
    names = tuple(branch.name for branch in branches) if branches is tree.branches else tree.keys()
    return Layout(
        "TTree",
        _compressions(branches),
        interned(tuple(names)),
        *_columns(np.array(numbers, dtype=np.int64).reshape(-1, 3)),
        _clusters_of(branches, int(tree.num_entries)),
    )


def _compressions(branches: list[Any]) -> tuple[str, ...]:
    """Name the compressions of all branches, the most common one first.

    Some files say that nothing is compressed where it is; then a basket is asked.
    """
    codes = Counter(branch.member("fCompress") for branch in branches)
    names = dict.fromkeys(_compression(code) for code, _ in codes.most_common())
    packed = [one for one in branches if one.member("fZipBytes") < one.member("fTotBytes")]
    if tuple(names) == (NO_COMPRESSION,) and packed:
        blocks = min(packed, key=_zip_bytes).basket(0).block_compression_info or ()
        names = dict.fromkeys(block[0] for block in blocks) or names
    return tuple(names)


def _zip_bytes(branch: Any) -> int:
    return int(branch.member("fZipBytes"))


def _clusters_of(branches: list[Any], n_events: int) -> IntArray:
    """Find where clusters begin and end: at each of them every branch starts a basket.

    ROOT does not always keep the list of clusters; the branch with the fewest baskets shows them.
    """
    if n_events == 0 or not branches:
        return np.zeros(1, dtype=np.int64)
    fewest = min(branches, key=lambda branch: branch.num_baskets or n_events + 1)
    offsets = fewest.entry_offsets if fewest.num_baskets else [0, n_events]
    return np.asarray(offsets, dtype=np.int64)


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
    return Layout(
        "RNTuple",
        tuple(_compression(code) for code, _ in codes.most_common() if code is not None),
        interned(names),
        *_columns(numbers),
        np.asarray([0, *ends], dtype=np.int64),
    )


def _owners(tree: Any) -> tuple[tuple[str, ...], dict[int, int]]:
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
    return tuple(names), owner | sources


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
    if metadata.num_rows == 0:
        clusters = [0]
    return Layout(
        "parquet",
        tuple(codec for codec, _ in codecs.most_common()),
        interned(names),
        *_columns(numbers),
        np.asarray(clusters, dtype=np.int64),
    )


def _columns(numbers: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    return numbers[:, 0].copy(), numbers[:, 1].copy(), numbers[:, 2].copy()


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
