"""A notebook of the user's own keeps what it shows, and a later change of it is noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from intccms.batch import pinning
from intccms.cli import main
from intccms.errors import InputError, IntccmsError
from tests.batch.conftest import write_notebook

COUNT = "f'{n} events'  # the result"


def cells(notebook: Path) -> list[nbformat.NotebookNode]:
    return list(nbformat.read(notebook, as_version=4).cells)


def passes(notebook: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"]
    command += ["--nbval-current-env", notebook.name]
    done = subprocess.run(command, cwd=notebook.parent, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_a_notebook_shows_twice_is_pinned_and_only_a_changed_number_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = write_notebook(
        tmp_path / "mine.ipynb",
        "n = 3",
        COUNT,
        "import time\ntime.time_ns()",
        "print('in passing')",
    )
    assert main(["pin", str(notebook)]) == 0
    assert "1 cells are checked" in capsys.readouterr().out
    assert [pinning.is_checked(cell) for cell in cells(notebook)] == [False, True, False, False]
    assert passes(notebook)
    text = notebook.read_text()
    notebook.write_text(text.replace("# the result", "# in words"))
    assert passes(notebook)
    notebook.write_text(text.replace("n = 3", "n = 4"))
    assert not passes(notebook)
    assert pinning.pin(notebook) == 1  # that is what was meant
    assert passes(notebook)


def test_a_cell_that_fails_leaves_the_notebook_as_it_was(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "wrong.ipynb", "n = 3", "n / 0")
    before = notebook.read_bytes()
    with pytest.raises(IntccmsError, match="ZeroDivisionError: division by zero"):
        pinning.pin(notebook)
    assert notebook.read_bytes() == before


def test_a_notebook_that_shows_nothing_cannot_be_pinned(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cell shows the same text"):
        pinning.pin(write_notebook(tmp_path / "silent.ipynb", "n = 3"))
    with pytest.raises(InputError, match="no notebook"):
        pinning.pin(tmp_path / "absent.ipynb")
