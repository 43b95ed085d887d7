from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot


def _write_nano(path: Path, n_events: int = 100, *, tree: str = "Events", **runs: Any) -> Path:
    """Write a small file like NanoAOD; `runs` are the branches of its Runs tree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        events = file.mktree(tree, {"run": "uint32", "genWeight": "float32"})
        if n_events:
            weights = np.where(np.arange(n_events) % 5, 1.0, -1.0).astype("float32")
            events.extend({"run": np.ones(n_events, "uint32"), "genWeight": weights})
        if runs:
            columns = {name: np.asarray(values) for name, values in runs.items()}
            table = file.mktree("Runs", {name: array.dtype for name, array in columns.items()})
            table.extend(columns)
    return path


@pytest.fixture(scope="session")
def write_nano() -> Callable[..., Path]:
    return _write_nano
