"""A small notebook with typed parameters, as ours have them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

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
