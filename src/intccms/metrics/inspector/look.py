"""What the inspector notes of an open file beyond the count of its events."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow.parquet

from intccms.datasets.contents import FileCount
from intccms.engine.objects import event_seeds
from intccms.histograms.spectrum import WeightSpectrum
from intccms.metrics.inspector.layout import layout_of
from intccms.redaction import redacted

__all__ = ["KEPT_HASHES", "Look"]

KEPT_HASHES = 256  # smallest hashes of event identities; files of fewer events keep all
IDENTITY = ("run", "luminosityBlock", "event")
BLOCK_BYTES = 1 << 22
ROWS = 100_000  # of a column that are decompressed at a time


@dataclass(frozen=True, slots=True)
class Look:
    """Looks at one open file; shipped to the workers.

    Parameters
    ----------
    read_events
        Read the identities of the events, and the weights of simulation.
    verify
        Decompress every column, add up the checksum of the file.
    """

    read_events: bool = True
    verify: bool = False
    weight_branch: str | None = None

    def __call__(self, tree: Any, counted: FileCount) -> dict[str, Any]:
        """Return fields of a `FileRecord`."""
        layout = layout_of(tree)
        found: dict[str, Any] = {name: getattr(layout, name) for name in layout.__slots__}
        if not isinstance(tree, pyarrow.parquet.ParquetFile):
            file = tree.file
            found["root_version"] = file.root_version
            missing = file.fEND - (counted.size_bytes or 0)
            if missing > 0:
                found["error_type"] = "TruncatedFile"
                what = f"the last {missing:,} of {file.fEND:,} bytes are missing"
                found["error"] = f"{what} ({redacted(counted.pfn)})"
        if self.read_events and counted.n_events:
            found |= _identities(tree, set(layout.branches))
            if self.weight_branch in layout.branches:
                found |= _weights(tree, self.weight_branch or "", counted.pfn)
        if self.verify:
            found |= _verified(tree, layout.branches, counted)
        return found


def _identities(tree: Any, branches: set[str]) -> dict[str, Any]:
    """Read which events there are: ranges, and the smallest hashes, by which twins are known."""
    names = [name for name in IDENTITY if name in branches]
    columns = {name: _column(tree, name) for name in names}
    found: dict[str, Any] = {
        key: (int(columns[name].min()), int(columns[name].max()))
        for key, name in (("run_range", "run"), ("lumi_range", "luminosityBlock"))
        if name in columns
    }
    if len(names) == len(IDENTITY):
        hashes = np.unique(event_seeds(*(columns[name] for name in IDENTITY)))
        found["event_hashes"] = hashes[:KEPT_HASHES].copy()
    return found


def _weights(tree: Any, branch: str, pfn: str) -> dict[str, Any]:
    """Read how the weights are spread; one that is no number is an error."""
    values = np.asarray(_column(tree, branch), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        text = f"{branch} is {values[bad[0]]:g} at entry {bad[0]} ({pfn})"
        return {"error_type": "BadContent", "error": text}
    return {"weights": json.dumps(WeightSpectrum.of(values).to_json(), separators=(",", ":"))}


def _column(tree: Any, name: str) -> npt.NDArray[Any]:
    if isinstance(tree, pyarrow.parquet.ParquetFile):
        return np.asarray(tree.read(columns=[name]).column(0).to_numpy())
    return np.asarray(tree[name].array(library="np"))


def _verified(tree: Any, branches: tuple[str, ...], counted: FileCount) -> dict[str, Any]:
    """Decompress every column and compute the checksum; the first damage is the error."""
    found: dict[str, Any] = {"adler32": _adler32(counted.pfn)}
    for name in branches:
        try:
            _decompress(tree, name, counted.n_events)
        except Exception as error:  # noqa: BLE001  whatever a damaged column makes of it
            text = " ".join(str(error).split())[:200]
            found["error_type"] = "DamagedColumn"
            found["error"] = f"{name}: {type(error).__name__}: {text} ({redacted(counted.pfn)})"
            break
    return found


def _decompress(tree: Any, name: str, n_events: int) -> None:
    if isinstance(tree, pyarrow.parquet.ParquetFile):
        for group in range(tree.num_row_groups):
            tree.read_row_group(group, columns=[name])
        return
    for start in range(0, n_events, ROWS):
        tree[name].array(entry_start=start, entry_stop=min(start + ROWS, n_events))


def _adler32(pfn: str) -> str:
    value = 1
    with fsspec.open(pfn, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            value = zlib.adler32(block, value)
    return f"{value:08x}"
