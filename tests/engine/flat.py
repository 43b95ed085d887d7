"""Small files of plain columns, with the trees of sums and of luminosity sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import uproot


def write(path: Path, n: int, *, seed: int = 1, runs: Any = None, **columns: Any) -> Path:
    """Write `n` events in section 1 of run 1; `runs` are sum and number of generated events."""
    generator = np.random.default_rng(seed)
    events = {
        "run": np.ones(n, "u4"),
        "luminosityBlock": np.ones(n, "u4"),
        "event": np.arange(n, dtype="u8"),
        "MET_pt": generator.uniform(0, 200, n).astype("f4"),
        "MET_phi": np.zeros(n, "f4"),
        "genWeight": np.ones(n, "f4"),
        **columns,
    }
    trees = {"Events": events}
    if runs is not None:
        trees["Runs"] = {"genEventSumw": np.array([runs[0]], "f8")}
        trees["Runs"]["genEventCount"] = np.array([runs[1]], "i8")
    if "genWeight" in columns and columns["genWeight"] is None:
        del events["genWeight"]
        trees["LuminosityBlocks"] = {"run": np.ones(1, "u4"), "luminosityBlock": np.ones(1, "u4")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        for name, arrays in trees.items():
            file.mktree(name, {key: array.dtype for key, array in arrays.items()})
            if len(next(iter(arrays.values()))):
                file[name].extend(arrays)
    return path
