"""One file of a skim: written, opened again and read, in each of the three formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import awkward as ak

__all__ = ["SUFFIX", "write_file"]

RECORD = "intccms_skim"
SUFFIX = {"parquet": "parquet", "ttree": "root", "rntuple": "root"}

Columns = Mapping[str, ak.Array]


def write_file(
    path: Path, kind: str, batches: Iterable[Columns], *, tree: str, record: Any, options: Any
) -> None:
    """Write a local file.

    Parameters
    ----------
    path
        Where to; what is there is overwritten.
    kind
        ``parquet``, ``ttree`` or ``rntuple``.
    batches
        Branches by name, all with the same names and types.
    tree
        Name of the tree.
    record
        Plain data, kept in the file.
    options
        Of the writer, resolved.
    """
    text = json.dumps(record)
    options = {name: value for name, value in options.items() if name != "storage_options"}
    arrays = (ak.zip(dict(batch), depth_limit=1) for batch in batches)
    arrays = (ak.Array(array.layout, attrs={RECORD: text}) for array in arrays)
    ak.to_parquet_row_groups(arrays, str(path), **{"extensionarray": False, **options})
