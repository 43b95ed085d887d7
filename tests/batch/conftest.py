"""A small notebook with typed parameters, as ours have them, and one of ours."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.pipeline.runs import NOMINAL_ONLY

PARAMETERS = """\
label: str = "a"  # words
n_workers: int = 0  # 0: one per core
scale: float = 1.0  # in GeV
processes: list[str] = []  # []: all
overrides: list[str] = []  # settings
output_dir: str = ""  # where results go
"""
BODY = """\
import json, pathlib
assert label != "bad", "a bad label"
out = pathlib.Path(output_dir)
out.mkdir(parents=True, exist_ok=True)
(out / "seen.json").write_text(json.dumps([label, n_workers, scale, processes, overrides]))
"""


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook whose first cell holds the parameters."""
    made = [nbformat.v4.new_code_cell(source) for source in cells]
    made[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=made)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return write_notebook(tmp_path / "small.ipynb", PARAMETERS, BODY)


@pytest.fixture(scope="session")
def first_notebook(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first notebook, without the figures that take most of its time."""
    notebook = nbformat.read(root / "notebooks" / "full_processing.ipynb", as_version=4)
    slow = ('session.plots("observables")', 'session.plots("systematics")')
    assert set(slow) < {cell.source for cell in notebook.cells}
    notebook.cells = [cell for cell in notebook.cells if cell.source not in slow]
    path = tmp_path_factory.mktemp("notebook") / "full_processing.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="session")
def nominal(tiny_sample: Path) -> list[str]:
    """Arguments of `intccms batch` for a run of few seconds."""
    overrides = ["general.executor=iterative", *NOMINAL_ONLY, "general.chunk_size=50"]
    given = {"base_dir": str(tiny_sample), "overrides": f"[{', '.join(overrides)}]"}
    return [part for name, value in given.items() for part in ("-p", name, value)]
