"""Writing one NanoAOD file with uproot: ``Events``, ``Runs`` and ``LuminosityBlocks``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot

from intccms.sample.events.kinematics import Array
from intccms.sample.events.slots import Jagged
from intccms.sample.events.tables import Table

__all__ = ["FileFormat", "write_file"]

FileFormat = Literal["ttree", "rntuple"]

CLUSTER_EVENTS = 25_000


def write_file(path: Path, table: Table, file_format: FileFormat, identity: tuple[str, str]) -> int:
    """Write a file and return its size in bytes.

    `identity` is the name of the tree of events, and what the file's UUID is made from. uproot
    writes the time into every record, so two files of the same content differ in those words and
    nowhere else.
    """
    tree_name, origin = identity
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"intccms-sample:{origin}")
    run, section = table.sections.astype(np.uint32).T
    with uproot.recreate(path, compression=uproot.ZSTD(1), uuid_function=lambda: name) as file:
        _write_tree(file, tree_name, _branches(table), file_format)
        _write_tree(file, "Runs", _runs(table), file_format)
        blocks = {"run": run, "luminosityBlock": section}
        _write_tree(file, "LuminosityBlocks", blocks, file_format)
    return path.stat().st_size


def _branches(table: Table) -> dict[str, Any]:
    """Name every branch as NanoAOD does."""
    out: dict[str, Any] = dict(table.scalars)
    for collection, jagged in table.collections.items():
        out[f"n{collection}"] = jagged.counts.astype(np.uint32)
        for name, values in jagged.columns.items():
            out[f"{collection}_{name}" if name else collection] = _list(jagged, values)
    return out


def _list(jagged: Jagged, values: Array) -> ak.Array:
    """Give flat values the structure of their collection."""
    offsets = np.concatenate([[0], np.cumsum(jagged.counts)])
    content = ak.contents.NumpyArray(np.ascontiguousarray(values))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), content))


def _runs(table: Table) -> dict[str, Any]:
    """Make the columns of ``Runs``: per run, for simulation with the sums of weights."""
    runs = np.unique(table.sections[:, 0]).astype(np.uint32)
    if "genWeight" not in table.scalars:
        return {"run": runs}
    weight = table.scalars["genWeight"].astype(np.float64)
    sums = {"genEventSumw": weight.sum(), "genEventSumw2": (weight**2).sum()}
    count = {"run": runs, "genEventCount": np.array([len(weight)], dtype=np.int64)}
    return count | {name: np.array([value]) for name, value in sums.items()}


def _write_tree(file: Any, name: str, columns: Mapping[str, Any], file_format: FileFormat) -> None:
    """Write columns as a TTree, cluster by cluster, or as an RNTuple."""
    # the counters of a TTree come from its lists: uproot writes them as int32 whatever is asked
    lists = {key for key, value in columns.items() if isinstance(value, ak.Array)}
    made = set() if file_format == "rntuple" else {f"n{key.split('_')[0]}" for key in lists}
    kept = {key: value for key, value in columns.items() if key not in made}
    starts = range(0, max(len(columns["run"]), 1), CLUSTER_EVENTS)
    clusters = [{k: v[i : i + CLUSTER_EVENTS] for k, v in kept.items()} for i in starts]
    if file_format == "rntuple":
        tree = file.mkrntuple(name, clusters.pop(0))
    else:
        tree = file.mktree(
            name,
            {k: v.type.content if k in lists else v.dtype for k, v in kept.items()},
            counter_name=lambda branch: f"n{branch.split('_')[0]}",
            initial_basket_capacity=len(starts) + 2,  # never full: the tree is laid out only once
        )
    for cluster in clusters:
        tree.extend(cluster)
