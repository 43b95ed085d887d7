"""Awkward arrays of one chunk whose usual operations run on NumPy; see the README beside it."""

from chunkcolumns.arrays import ChunkArray, Lists, Pick, plain
from chunkcolumns.collection import Collection, as_chunk_array, shared, taken
from chunkcolumns.columns import Column, aligned, as_column

__all__ = [
    "ChunkArray", "Collection", "Column", "Lists", "Pick", "aligned", "as_chunk_array", "as_column",
    "plain", "shared", "taken",
]  # fmt: skip
