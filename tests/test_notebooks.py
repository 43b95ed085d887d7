"""The notebooks are thin; run on a small sample they show what they keep in git."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import nbformat
import pytest

from intccms.batch import Parameters
from intccms.batch.pinning import CHECKED, KEPT
from tools.references import NOTEBOOKS, prepare, write_sample

PARAMETERS = {
    "config", "overrides", "processes", "base_dir", "output_dir", "facility", "n_workers"
}  # fmt: skip
MAX_CELL_LINES = 15
LOGIC = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Try)
HEAVY = ("cabinetry", "jsonschema", "pyhf", "scipy.stats")
# A rate, a time, a place on a machine: nothing that another run could not show.
NOT_TO_BE_KEPT = (" Hz", "kHz", "bit/s", " took ", "/home", "/root", "/tmp", "/work", "\\\\")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python_of(cell: Any) -> str:
    """Source of a cell without its magics."""
    return "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))


def is_tagged(cell: Any) -> bool:
    return KEPT in cell.metadata.get("tags", [])


@pytest.fixture(scope="session")
def reference_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample that the references are made of: read it, never write to it."""
    sample = tmp_path_factory.mktemp("references") / "sample"
    write_sample(sample)
    return sample


@pytest.fixture
def folder(reference_sample: Path, tmp_path: Path) -> Path:
    """A place where a notebook finds the sample."""
    (tmp_path / "sample").symlink_to(reference_sample)
    return tmp_path


def differing(notebook: Path) -> list[str]:
    """Run pytest --nbval-lax on a notebook; return the sources of the cells that fail."""
    report = notebook.with_suffix(".xml")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    options = ["-q", "-p", "no:cacheprovider", "--nbval-cell-timeout=300", f"--junitxml={report}"]
    paths = [str(notebook.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [*command, *options, str(notebook)],
        cwd=notebook.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout[-5000:] + done.stderr[-2000:]
    sys.stdout.write(done.stdout[-5000:])
    cases = ElementTree.parse(report).getroot().iter("testcase")
    cells = code_cells(notebook)
    results = dict(zip([cell.source for cell in cells], cases, strict=True))
    return [source for source, case in results.items() if len(case)]


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
def test_only_the_checked_cells_keep_outputs(path: Path) -> None:
    for cell in code_cells(path):
        assert cell.execution_count is None
        assert bool(cell.outputs) == is_tagged(cell)
        assert is_tagged(cell) == (CHECKED in cell.metadata.get("tags", []))


def test_the_hook_that_strips_outputs_leaves_those_of_the_checked_cells(
    root: Path, tmp_path: Path
) -> None:
    arguments = ["--keep-id"]
    entry = f"entry: .venv/bin/nbstripout {' '.join(arguments)}\n"
    assert entry in (root / ".pre-commit-config.yaml").read_text()
    copies = [Path(shutil.copy(path, tmp_path)) for path in NOTEBOOKS]
    for copy in copies:
        notebook = nbformat.read(copy, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code" and not is_tagged(cell):
                cell.outputs = [nbformat.v4.new_output("stream", text="in passing\n")]
                cell.execution_count = 3
        nbformat.write(notebook, copy)
    subprocess.run([sys.executable, "-m", "nbstripout", *arguments, *copies], check=True)
    for copy, path in zip(copies, NOTEBOOKS, strict=True):
        assert copy.read_text() == path.read_text()


@every_notebook
def test_what_is_kept_tells_no_time_and_no_place(path: Path) -> None:
    kept = json.dumps([cell.outputs for cell in code_cells(path)], ensure_ascii=False)
    assert not [text for text in NOT_TO_BE_KEPT if text in kept]


def test_the_imports_of_the_first_cells_do_not_wait_for_what_comes_late() -> None:
    statements = {
        ast.unparse(node)
        for path in NOTEBOOKS
        for cell in code_cells(path)
        for node in ast.parse(python_of(cell)).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert "from intccms import notebook" in statements
    ask = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"
    source = "\n".join([*statements, ask])
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.slow
@every_notebook
def test_a_notebook_shows_what_it_keeps(path: Path, folder: Path) -> None:
    assert differing(prepare(path, folder)) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nbval_works_by_itself(root: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider"]
    notebook = root / "notebooks" / "input_inspector.ipynb"
    done = subprocess.run(
        [*command, "--nbval-current-env", str(notebook)],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert f"{len(code_cells(notebook))} passed" in done.stdout


@pytest.mark.slow
def test_one_changed_cut_is_noticed(root: Path, folder: Path) -> None:
    shutil.copytree(root / "example_opendata", folder / "example_opendata")
    cuts = folder / "example_opendata" / "configs" / "cuts.py"
    changed = cuts.read_text().replace("pt_min: float = 55.0", "pt_min: float = 60.0")
    assert changed != cuts.read_text()
    cuts.write_text(changed)
    notebook = prepare(
        root / "notebooks" / "full_processing.ipynb", folder, until="session.cutflow()"
    )
    assert differing(notebook) == ["session.yields()", "session.cutflow()"]
