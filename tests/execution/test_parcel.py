from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from intccms.execution.executors import open_executor
from intccms.schema import General

N_WORKERS, N_ITEMS = 2, 12


class Counted:
    """Leaves a file each time when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__.update(state)
        (self.folder / f"{os.getpid()}_{uuid4().hex}").touch()


def process_of(_: int, counted: Counted) -> int:
    return os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["futures", "dask"])
def test_what_all_items_share_comes_to_a_worker_once(name: str, tmp_path: Path) -> None:
    general = General(lumi=1.0, weight_branch="w", executor=name, n_workers=N_WORKERS)
    with open_executor(general) as executor:
        answers = dict(executor.map(process_of, range(N_ITEMS), arguments=(Counted(tmp_path),)))
    assert len(answers) == N_ITEMS
    unpacked = Counter(path.name.split("_")[0] for path in tmp_path.iterdir())
    assert set(map(str, answers.values())) <= set(unpacked)
    # Dask makes it on one worker and copies it to the others: at most once more where it is made
    assert sum(unpacked.values()) <= N_WORKERS + (name == "dask")
