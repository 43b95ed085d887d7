"""The notebooks are thin, stripped and run from top to bottom on a tiny sample."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from intccms.batch import Parameters

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
PARAMETERS = {
    "config", "overrides", "processes", "base_dir", "output_dir", "facility", "n_workers"
}  # fmt: skip
MAX_CELL_LINES = 15
LOGIC = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Try)

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python_of(cell: Any) -> str:
    """Source of a cell without its magics."""
    return "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))


@every_notebook
def test_the_first_code_cell_holds_the_parameters(path: Path) -> None:
    first, *others = code_cells(path)
    assert "parameters" in first.metadata.get("tags", [])
    assert not any("parameters" in cell.metadata.get("tags", []) for cell in others)
    known = Parameters(path)  # as papermill's inspector and `intccms batch` see them
    assert set(known.types) >= PARAMETERS
    assert "None" not in known.types.values()
    assert all(known.comments.values())
    assigned = [node for node in ast.parse(first.source).body if isinstance(node, ast.AnnAssign)]
    assert [ast.unparse(node.target) for node in assigned] == list(known.types)
    for node in assigned:
        ast.literal_eval(node.value)


@every_notebook
def test_cells_are_thin(path: Path) -> None:
    for cell in code_cells(path):
        source = python_of(cell)
        assert len(source.splitlines()) <= MAX_CELL_LINES
        assert "sys.path" not in source
        assert "pip install" not in cell.source
        assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, LOGIC)]


@every_notebook
def test_outputs_are_stripped(path: Path) -> None:
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.slow
@every_notebook
def test_a_notebook_runs_from_top_to_bottom(path: Path, tiny_sample: Path, tmp_path: Path) -> None:
    parameters = {
        "base_dir": str(tiny_sample),
        "output_dir": str(tmp_path / "out"),
        "overrides": ["general.executor=iterative"],
    }
    prepared = tmp_path / path.name
    papermill.execute_notebook(path, prepared, parameters=parameters, prepare_only=True)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    options = ["-q", "-p", "no:cacheprovider", "--nbval-cell-timeout=300", str(prepared)]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
