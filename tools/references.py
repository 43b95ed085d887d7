"""Make the outputs that the notebooks keep in git, with which the tests compare.

    python -m tools.references [NOTEBOOK ...]

Executes notebooks on a small synthetic sample with a fixed seed, and takes over the outputs of
the cells tagged ``keep_output``; those are the cells that ``pytest --nbval-lax`` checks.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import papermill

from intccms.batch.pinning import is_checked
from intccms.cli import main as intccms

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SAMPLE = ["--files-per-process", "1", "--events-per-file", "10000", "--seed", "1"]
# Nothing that an output shows may depend on the place or the machine.
PARAMETERS = {
    "base_dir": "sample",
    "output_dir": "out",
    "overrides": ["general.executor=iterative", "general.chunk_size=5000"],
}


def write_sample(path: Path) -> None:
    """Write the sample that the references are made of."""
    status = intccms(["sample", "--out", str(path), *SAMPLE])
    if status != 0:
        raise SystemExit(status)


def prepare(notebook: Path, folder: Path, *, until: str = "", **parameters: Any) -> Path:
    """Write a notebook with its parameters, and the outputs it keeps, into a folder.

    Parameters
    ----------
    notebook
        One of `NOTEBOOKS`.
    folder
        Has the sample, or a link to it, in ``sample``, and no earlier results.
    until
        The last cell, by its source; the others are left out.
    **parameters
        Besides `PARAMETERS`.
    """
    target = folder / notebook.name
    papermill.execute_notebook(
        notebook, target, parameters={**PARAMETERS, **parameters}, prepare_only=True
    )
    content = nbformat.read(target, as_version=4)
    if until:
        last = next(n for n, cell in enumerate(content.cells) if cell.source == until)
        content.cells = content.cells[: last + 1]
    for cell in content.cells:
        if cell.get("outputs"):
            cell.execution_count = 1  # nbval asks for one, nbstripout keeps none
    nbformat.write(content, target)
    return target


def refresh(notebook: Path, folder: Path) -> None:
    """Execute a notebook in a folder with the sample, and keep what its tagged cells show."""
    executed = papermill.execute_notebook(
        prepare(notebook, folder), None, cwd=folder, progress_bar=False
    )
    shown = {cell.id: cell for cell in executed.cells}
    content = nbformat.read(notebook, as_version=4)
    for cell in filter(is_checked, content.cells):
        cell.outputs = shown[cell.id].outputs
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = None
    nbformat.write(content, notebook)


def main() -> int:
    """Refresh the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=NOTEBOOKS)
    with tempfile.TemporaryDirectory() as directory:
        sample = Path(directory) / "sample"
        write_sample(sample)
        for notebook in parser.parse_args().notebooks:
            folder = Path(directory) / notebook.stem
            folder.mkdir()
            (folder / "sample").symlink_to(sample)
            refresh(notebook, folder)
            sys.stdout.write(f"{notebook.name}: refreshed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
