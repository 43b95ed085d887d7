from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.edits import Kernels, answers

# All edits on all executors: python -m benchmarks.chaos
SOME = (
    ("constant", "iterative"),
    ("lru_cache", "iterative"),
    ("module used by a cell", "iterative"),
    ("correction file", "iterative"),
    ("environment variable", "iterative"),
    ("helper of helper", "futures"),
    ("class attribute", "client"),
    ("constant", "kept"),
    ("helper of helper", "kept"),
    ("correction file", "kept"),
    ("environment variable", "kept"),
)


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "executor"), SOME)
def test_the_answer_is_that_of_a_clean_run(
    name: str, executor: str, kernels: Kernels, tmp_path: Path
) -> None:
    found = answers(kernels, name, [executor], tmp_path)
    assert len(found) == 3
    assert not {at: wrong for at, wrong in found.items() if wrong}
