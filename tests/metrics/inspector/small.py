"""Small files whose numbers are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import uproot


def write_file(
    path: Path,
    events: Sequence[int],
    *,
    run: int = 1,
    extra: Sequence[str] = (),
    compression: object = None,
    n_noise: int = 1,
) -> Path:
    """Events with these numbers, in section 7 of a run; `extra` branches; `n_noise` Jets each."""
    n = len(events)
    generator = np.random.default_rng(n)
    columns = {
        "run": np.full(n, run, dtype=np.uint32),
        "luminosityBlock": np.full(n, 7, dtype=np.uint32),
        "event": np.asarray(events, dtype=np.uint64),
        "genWeight": np.ones(n, dtype=np.float32),
        **{f"Noise_{i}": generator.random(n) for i in range(n_noise)},
        **{name: np.zeros(n, dtype=np.float32) for name in extra},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {} if compression is None else {"compression": compression}
    with uproot.recreate(path, **options) as file:
        file.mktree("Events", {name: column.dtype for name, column in columns.items()})
        if n:
            file["Events"].extend(columns)
        file.mktree("Runs", {"run": "uint32", "genEventSumw": "float64", "genEventCount": "int64"})
        file["Runs"].extend(
            {
                "run": np.array([run], np.uint32),
                "genEventSumw": np.array([2.0 * n]),
                "genEventCount": np.array([2 * n], np.int64),
            }
        )
    return path
