"""Events that are there more than once are counted exactly, however the sections are cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from intccms.datasets import DatasetFiles, Fileset, metadata
from intccms.engine import duplicates
from intccms.engine.duplicates import Duplicates, count_duplicates
from intccms.execution.executors import IterativeExecutor
from tests.engine.flat import write


def found(*datasets: DatasetFiles) -> dict[str, Duplicates]:
    executor = IterativeExecutor()
    counted = metadata.collect(Fileset(datasets), executor, chunk_size=1000)
    return {one.group: one for one in count_duplicates(counted, executor)}


def dataset(name: str, *paths: Path, is_data: bool = True) -> DatasetFiles:
    return DatasetFiles(name, name, None, is_data, 1.0, tuple(map(str, paths)))


def identities(seed: int, n: int, n_sections: int = 40) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "run": generator.integers(1, 3, n).astype("u4"),
        "luminosityBlock": generator.integers(1, n_sections, n).astype("u4"),
        "event": generator.integers(0, 30, n).astype("u8"),
    }


def expected(*several: dict[str, Any]) -> int:
    rows = np.concatenate([np.stack(list(one.values()), axis=1) for one in several])
    return len(rows) - len(np.unique(rows.astype("u8"), axis=0))


@pytest.mark.parametrize("n_at_once", [10_000, 100, 7])
def test_the_number_is_that_of_numpy_for_any_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_at_once: int
) -> None:
    monkeypatch.setattr(duplicates, "EVENTS", n_at_once)
    monkeypatch.setattr(duplicates, "ROWS", 50)
    events = [identities(seed, 400) for seed in range(3)]
    paths = [
        write(tmp_path / f"{i}.root", 400, genWeight=None, **one) for i, one in enumerate(events)
    ]
    one = found(dataset("mu", *paths[:2]), dataset("el", paths[2]))["data"]
    assert (one.n_events, one.n_repeated) == (1200, expected(*events))
    assert sum(n for *_, n in one.pairs) == one.n_repeated
    run, section, event, *names = one.first[0]
    assert set(names) <= set(map(str, paths))
    rows = np.concatenate([np.stack(list(columns.values()), axis=1) for columns in events])
    assert (rows == [run, section, event]).all(axis=1).sum() > 1


def test_simulation_is_compared_within_its_dataset(tmp_path: Path) -> None:
    one, other = (write(tmp_path / f"{name}.root", 50) for name in "ab")
    apart = found(dataset("a", one, is_data=False), dataset("b", other, is_data=False))
    assert {name: found.n_repeated for name, found in apart.items()} == {"a": 0, "b": 0}
    assert found(dataset("both", one, other, is_data=False))["both"].n_repeated == 50


def test_equal_hashes_would_not_be_enough(tmp_path: Path) -> None:
    columns = {"event": np.arange(50, dtype="u8") + (1 << 63)}
    one = write(tmp_path / "a.root", 50, genWeight=None, **columns)
    other = write(tmp_path / "b.root", 50, genWeight=None)
    assert found(dataset("a", one), dataset("b", other))["data"].n_repeated == 0


def test_files_without_identities_are_named(tmp_path: Path) -> None:
    one, path = write(tmp_path / "a.root", 50), tmp_path / "b.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"run": "u4", "luminosityBlock": "u4"})
        file["Events"].extend({name: np.ones(9, "u4") for name in ("run", "luminosityBlock")})
    result = found(dataset("a", one, path, is_data=False))["a"]
    assert (result.n_events, result.n_repeated, result.unread) == (50, 0, (str(path),))
