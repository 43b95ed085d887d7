"""Small event files, and the ways in which they are broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from tests.faults.analysis import N_EVENTS

__all__ = ["broken", "events_of", "list_files", "write_corrections", "write_files", "write_twins"]
PACKED = uproot.ZLIB(1)


def events_of(number: int, n: int = N_EVENTS) -> dict[str, ak.Array]:
    """Draw the events of a file; their numbers are its own."""
    rng = np.random.default_rng(number)
    n_jets = rng.poisson(3, n)

    def jets(values: np.ndarray) -> ak.Array:
        return ak.unflatten(values.astype(np.float32), n_jets)

    total = int(n_jets.sum())
    jet = {
        "pt": jets(20 + rng.exponential(50, total)),
        "eta": jets(rng.uniform(-3, 3, total)),
        "phi": jets(rng.uniform(-np.pi, np.pi, total)),
        "mass": jets(rng.uniform(1, 20, total)),
    }
    columns = {
        "Jet": ak.zip(jet),
        "MET_pt": rng.exponential(60, n).astype(np.float32),
        "MET_phi": rng.uniform(-np.pi, np.pi, n).astype(np.float32),
        "Pileup_nTrueInt": rng.uniform(5, 50, n).astype(np.float32),
        "genWeight": (rng.choice([-1, 1, 1, 1], n) * rng.uniform(90, 110, n)).astype(np.float32),
        "run": np.ones(n, dtype=np.uint32),
        "luminosityBlock": np.full(n, number + 1, dtype=np.uint32),
        "event": np.arange(n, dtype=np.uint64) + 1_000_000 * (number + 1),
    }
    return {name: ak.Array(values) for name, values in columns.items()}


def write_events(
    path: Path,
    columns: dict[str, ak.Array],
    tree: str = "Events",
    compression: uproot.compression.Compression | None = PACKED,
) -> None:
    with uproot.recreate(path, compression=compression) as file:
        file.mktree(tree, {name: ak.type(array).content for name, array in columns.items()})
        file[tree].extend(columns)


def write_files(folder: Path, n_files: int) -> list[Path]:
    """Write ``0.root``, ``1.root`` ... for everyone to read."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.root" for number in range(n_files)]
    for number, path in enumerate(paths):
        write_events(path, events_of(number))
        path.chmod(0o644)
    return paths


def write_twins(folder: Path, n: int = N_EVENTS) -> list[Path]:
    """Write two files with each byte at the same place, but for some values and the uuid.

    What is read of one at the places of the other is no error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = events_of(0, n)
    paths = [folder / f"twin-{number}.root" for number in range(2)]
    for number, path in enumerate(paths):
        columns["MET_pt"] = columns["MET_pt"] + np.float32(40 * number)
        write_events(path, columns, compression=None)
        path.chmod(0o644)
    return paths


def list_files(base: Path, names: Sequence[str | Path]) -> Path:
    """Write the listing that the configuration reads, and the corrections beside it."""
    (base / "ttbar").mkdir(parents=True, exist_ok=True)
    (base / "ttbar" / "files.txt").write_text("".join(f"{name}\n" for name in names))
    write_corrections(base / "corrections.json")
    return base


def write_corrections(path: Path, nominal: float = 1.0) -> None:
    """Write a pileup weight with its variations."""

    def binned(values: list[float]) -> dict[str, object]:
        edges = [0.0, 20.0, 40.0, 60.0]
        node = {"nodetype": "binning", "input": "n", "edges": edges, "flow": "clamp"}
        return {**node, "content": values}

    values = {"nominal": [0.9, nominal, 1.2], "up": [0.8, 1.05, 1.3], "down": [0.95, 1.0, 1.1]}
    items = [{"key": key, "value": binned(content)} for key, content in values.items()]
    correction = {
        "name": "pileup",
        "version": 1,
        "inputs": [{"name": "n", "type": "real"}, {"name": "systematic", "type": "string"}],
        "output": {"name": "weight", "type": "real"},
        "data": {"nodetype": "category", "input": "systematic", "content": items},
    }
    path.write_text(json.dumps({"schema_version": 2, "corrections": [correction]}))


def broken(path: Path, how: str) -> None:
    """Break a file: ``truncated``, ``empty``, ``wrong tree`` or ``missing branch``."""
    if how == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "wrong tree":
        write_events(path, events_of(int(path.stem)), tree="Other")
    elif how == "missing branch":
        columns = events_of(int(path.stem))
        del columns["MET_pt"]
        write_events(path, columns)
    else:
        raise ValueError(how)
