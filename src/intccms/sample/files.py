"""Writing one NanoAOD file with uproot: ``Events``, ``Runs`` and ``LuminosityBlocks``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot

from intccms.sample.kinematics import Array
from intccms.sample.slots import Jagged
from intccms.sample.tables import Table

__all__ = ["FileFormat", "write_file"]

FileFormat = Literal["ttree", "rntuple"]

CLUSTER_EVENTS = 25_000


def write_file(
    path: Path, table: Table, file_format: FileFormat, *, tree_name: str, identity: str
) -> int:
    """Write a file and return its size in bytes.

    The file's UUID is made from `identity`. uproot writes the time into every record, so two files
    of the same content differ in those words and nowhere else.
    """
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"intccms-sample:{identity}")
    with uproot.recreate(path, compression=uproot.ZSTD(1), uuid_function=lambda: name) as file:
        _write_tree(file, tree_name, _branches(table), file_format)
        for tree, columns in {"Runs": _runs(table), "LuminosityBlocks": _sections(table)}.items():
            _write_tree(file, tree, columns, file_format)
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
    out: dict[str, Any] = {
        "run": runs,
        "genEventCount": np.array([len(weight)], dtype=np.int64),
        "genEventSumw": np.array([weight.sum()]),
        "genEventSumw2": np.array([(weight**2).sum()]),
    }
    for name, short in {"LHEScaleWeight": "LHEScaleSumw", "LHEPdfWeight": "LHEPdfSumw"}.items():
        vector = table.collections[name].columns[""].reshape(len(weight), -1).astype(np.float64)
        sums = (vector * weight[:, np.newaxis]).sum(axis=0) / weight.sum()
        out[f"n{short}"] = np.array([len(sums)], dtype=np.uint32)
        out[short] = _list(Jagged(np.array([len(sums)]), {}), sums)
    return out


def _sections(table: Table) -> dict[str, Any]:
    """Make the columns of ``LuminosityBlocks``."""
    run, section = table.sections.astype(np.uint32).T
    return {"run": run, "luminosityBlock": section}


def _write_tree(file: Any, name: str, columns: Mapping[str, Any], file_format: FileFormat) -> None:
    """Write columns as a TTree, cluster by cluster, or as an RNTuple."""
    n_entries = len(columns["run"])
    starts = range(0, max(n_entries, 1), CLUSTER_EVENTS)
    if file_format == "rntuple":
        ntuple = file.mkrntuple(name, {k: v[:CLUSTER_EVENTS] for k, v in columns.items()})
        for start in starts[1:]:
            ntuple.extend({k: v[start : start + CLUSTER_EVENTS] for k, v in columns.items()})
        return
    # counters come from the lists themselves: uproot writes them as int32 whatever is asked
    lists = {key for key, value in columns.items() if isinstance(value, ak.Array)}
    counters = {f"n{key.split('_')[0]}" for key in lists}
    kept = {key: value for key, value in columns.items() if key not in counters}
    types = {k: v.type.content if k in lists else v.dtype for k, v in kept.items()}
    tree = file.mktree(
        name,
        types,
        counter_name=lambda branch: f"n{branch.split('_')[0]}",
        initial_basket_capacity=len(starts) + 2,  # never full, so the tree is laid out only once
    )
    for start in starts:
        tree.extend({k: v[start : start + CLUSTER_EVENTS] for k, v in kept.items()})
