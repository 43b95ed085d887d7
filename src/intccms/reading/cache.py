"""Columns of chunks that were read before, kept as Feather files within bounds.

A file has the columns that an analysis needed of a chunk, of the events that pass the skim
selection; each buffer of each column is a list in the one row of its table.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.feather
from awkward.contents import Content
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from intccms.storage import is_local, put, remove_oldest, sizes_below

log = logging.getLogger(__name__)

FORMAT = 2  # another number: files of the other are not read
PORTION = 50  # the bound is looked at whenever a worker has written this part of it
FOLDER = "columns"


@dataclass(frozen=True)
class KeptColumns:
    """The columns of one chunk.

    Parameters
    ----------
    whole
        What is known of all events of the chunk, in terms of JSON.
    layout
        Of the file that they come from, see `Source.layout`.
    index
        Which events of the chunk they are of.
    columns
        By branch.
    inputs
        What decided which events these are, besides the file: digests by kind and name.
    """

    whole: dict[str, Any]
    layout: str
    index: NDArray[np.int64]
    columns: dict[str, Content]
    inputs: dict[str, dict[str, str]] = field(
        default_factory=lambda: {"files": {}, "variables": {}}
    )


@dataclass
class ColumnCache:
    """A folder, or any URL that fsspec knows, with the columns of chunks.

    It can be pickled; many workers may use one at the same time.

    Parameters
    ----------
    url
        Where; the files are in a folder ``columns`` there.
    max_bytes
        How much is kept: what was not used for longest goes first.
    """

    url: str
    max_bytes: int
    _n_unchecked: int | None = field(default=None, init=False)  # bytes written since the last look

    @staticmethod
    def key_of(parts: dict[str, Any]) -> str:
        """Name the file of a chunk: a digest of what identifies it."""
        text = json.dumps({"format": FORMAT, **parts}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def load(self, key: str) -> KeptColumns | None:
        """Return what is kept under `key`; None where nothing is that can be trusted."""
        fs, path = self._at(f"{key[:2]}/{key}.feather")
        try:
            with fs.open(path, "rb") as file:
                kept = _decoded(file.read())
            if is_local(fs):
                os.utime(path)  # it was used
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as exc:
            if isinstance(exc, OSError) and not fs.exists(path):  # not all raise the right one
                return None
            log.warning("the kept columns %s are left out and made again: %s", path, exc)
            return None
        return kept

    def save(self, key: str, kept: KeptColumns) -> None:
        """Keep the columns of a chunk; then remove the oldest if there are too many.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        fs, path = self._at(f"{key[:2]}/{key}.feather")
        data = _encoded(kept)
        put(fs, path, data, durable=False)
        if self._n_unchecked is None or self._n_unchecked + len(data) > self.max_bytes / PORTION:
            self.prune()
        else:
            self._n_unchecked += len(data)

    def prune(self) -> int:
        """Remove what was not used for longest, down to the bound; return how many files."""
        self._n_unchecked = 0
        fs, root = self._at("")
        sizes = sizes_below(fs, root)
        columns = {path: size for path, size in sizes.items() if path.endswith(".feather")}
        other_bytes = sum(sizes.values()) - sum(columns.values())
        return remove_oldest(fs, columns, self.max_bytes - other_bytes)

    def base_form(self, layout: str) -> dict[str, Any] | None:
        """Return what coffea's mappings say of the branches of files with this layout."""
        fs, path = self._at(f"layouts/{layout}.json.gz")
        try:
            with fs.open(path, "rb") as file:
                form: dict[str, Any] = json.loads(gzip.decompress(file.read()))
        except (OSError, EOFError, ValueError) as exc:
            log.debug("the branches %s are not known: %s", path, exc)
            return None
        return form

    def save_base_form(self, layout: str, make: Callable[[], dict[str, Any]]) -> None:
        """Keep what coffea's mappings say of the branches, if it is not there yet."""
        fs, path = self._at(f"layouts/{layout}.json.gz")
        if not fs.exists(path):
            put(fs, path, gzip.compress(json.dumps(make()).encode(), 1), durable=False)

    def _at(self, name: str) -> tuple[Any, str]:
        fs, root = url_to_fs(self.url)
        return fs, f"{root}/{FOLDER}/{name}".rstrip("/")


def _encoded(kept: KeptColumns) -> bytes:
    arrays: dict[str, NDArray[Any]] = {"": kept.index}
    forms: dict[str, Any] = {}
    for name, column in kept.columns.items():
        form, length, buffers = ak.to_buffers(ak.to_packed(column, highlevel=False))
        forms[name] = {"form": form.to_dict(), "length": length, "buffers": list(buffers)}
        arrays |= {
            f"{name}/{key}": np.asarray(buffer).reshape(-1) for key, buffer in buffers.items()
        }
    about = {
        "whole": kept.whole,
        "layout": kept.layout,
        "inputs": kept.inputs,
        "forms": forms,
        "digests": {name: _digest(array) for name, array in arrays.items()},
    }
    metadata = json.dumps(about)
    cells = [
        pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), pa.array(array))
        for array in arrays.values()
    ]
    table = pa.Table.from_arrays(cells, names=list(arrays)).replace_schema_metadata(
        {"intccms": metadata, "intccms_sha256": hashlib.sha256(metadata.encode()).hexdigest()}
    )
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(table, sink, compression="lz4")
    return bytes(sink.getvalue())


def _decoded(data: bytes) -> KeptColumns:
    """Read a file; whatever is wrong with it is raised."""
    table = pyarrow.feather.read_table(pa.BufferReader(data), use_threads=False)
    metadata = table.schema.metadata[b"intccms"]
    if hashlib.sha256(metadata).hexdigest().encode() != table.schema.metadata[b"intccms_sha256"]:
        raise ValueError("its description is damaged")
    about = json.loads(metadata)
    arrays: dict[str, NDArray[Any]] = {}
    for name, digest in about["digests"].items():
        cell = table.column(name).chunk(0).values
        arrays[name] = np.array(cell.to_numpy(zero_copy_only=False))
        if _digest(arrays[name]) != digest:
            raise ValueError(f"the column {name!r} is damaged")
    columns = {
        branch: ak.from_buffers(
            one["form"],
            one["length"],
            {key: arrays[f"{branch}/{key}"] for key in one["buffers"]},
            highlevel=False,
        )
        for branch, one in about["forms"].items()
    }
    return KeptColumns(about["whole"], about["layout"], arrays[""], columns, about["inputs"])


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(array.dtype.str.encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
