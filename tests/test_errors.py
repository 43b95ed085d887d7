"""What any call may raise, taken as its answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from intccms.errors import attempted


def test_what_a_call_raises_is_its_answer() -> None:
    assert attempted(int, "12") == 12
    assert attempted(int, "f", base=16) == 15
    assert isinstance(attempted(int, "x"), ValueError)


def test_ctrl_c_is_no_answer() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempted(interrupted)


def shown(cell: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a cell as a notebook does, and return the lines of its error."""
    InteractiveShell().run_cell(cell)
    return capsys.readouterr().out.rstrip().splitlines()


def test_a_notebook_shows_one_line_of_our_errors(capsys: pytest.CaptureFixture[str]) -> None:
    cell = "from intccms.schema import load_config; load_config({'generl': {}})"
    [line] = shown(cell, capsys)
    assert line.startswith("ConfigError: ")
    assert "general" in line


def test_of_a_function_of_the_user_it_shows_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "def met_cut(met):\n    return met > MET_MIN\n"
    (tmp_path / "cuts_of_mine.py").write_text(code)
    cell = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from cuts_of_mine import met_cut
from intccms.errors import FunctionError
try:
    met_cut(1.0)
except NameError as error:
    raise FunctionError(f"channel SR: {{error}}") from error
"""
    first, *rest = shown(cell, capsys)
    assert first == "FunctionError: channel SR: name 'MET_MIN' is not defined"
    assert any("cuts_of_mine.py" in line and "line 2" in line for line in rest)
    assert "return met > MET_MIN" in "".join(rest)
