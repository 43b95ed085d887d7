"""Keeps what the cells of a notebook show, so that ``pytest --nbval-lax`` compares with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import papermill

from intccms.errors import InputError, IntccmsError
from intccms.storage import write_text

KEPT = "keep_output"  # nbstripout's name
CHECKED = "nbval-check-output"  # nbval's name


def pin(notebook: Path) -> int:
    """Execute a notebook twice and keep, in it, what its checked cells show.

    Where no cell is tagged, those are tagged that show the same text both times and no picture.
    The second time results are taken up again, as they are whenever the test runs.

    Returns
    -------
    int
        How many cells are checked.

    Raises
    ------
    InputError
        If there is no such notebook, or nothing in it can be checked.
    IntccmsError
        If a cell fails; the notebook is then as before.
    """
    if not notebook.is_file():
        raise InputError(f"no notebook {notebook}")
    once, again = _executed(notebook), _executed(notebook)
    content: Any = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    if not any(map(is_checked, content.cells)):
        for cell, first, second in zip(content.cells, once.cells, again.cells, strict=True):
            if cell.cell_type == "code" and _text(first) and _text(first) == _text(second):
                cell.metadata["tags"] = [*cell.metadata.get("tags", ()), CHECKED, KEPT]
    checked = keep(content, again)
    if not checked:
        raise InputError(f"{notebook}: no cell shows the same text twice")
    write_text(notebook, nbformat.writes(content) + "\n")  # type: ignore[no-untyped-call]
    return checked


def is_checked(cell: Any) -> bool:
    """Whether nbval compares what a cell shows."""
    return CHECKED in cell.metadata.get("tags", ())


def keep(content: Any, executed: Any) -> int:
    """Take the outputs of the checked cells over from an executed notebook; count them."""
    pairs = zip(content.cells, executed.cells, strict=True)
    checked = [(cell, shown) for cell, shown in pairs if is_checked(cell)]
    for cell, shown in checked:
        cell.outputs, cell.execution_count = shown.outputs, shown.execution_count
    return len(checked)


def _executed(notebook: Path) -> Any:
    try:
        return papermill.execute_notebook(notebook, None, cwd=notebook.parent, progress_bar=False)
    except papermill.PapermillExecutionError as error:
        raise IntccmsError(f"{notebook}: {error.ename}: {error.evalue}") from None


def _text(cell: Any) -> list[str]:
    """Return the text of each output, nothing where a cell shows anything but text."""
    found = [one.get("data", {}) for one in cell.outputs]
    return [] if any(one.keys() - {"text/plain", "text/html"} or not one for one in found) else [
        one["text/plain"] for one in found
    ]  # fmt: skip
