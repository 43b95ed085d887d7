"""Parameters of a notebook are known, typed and checked before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from intccms.batch import Parameters
from intccms.errors import InputError
from tests.batch.conftest import write_notebook


def test_names_types_defaults_and_comments_come_from_the_cell(notebook: Path) -> None:
    parameters = Parameters(notebook)
    assert parameters.types["processes"] == "list[str]"
    assert parameters.defaults["scale"] == 1.0
    assert parameters.comments["n_workers"] == "0: one per core"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("label", "2017", "2017"),
        ("n_workers", "3", 3),
        ("scale", "1e-3", 1e-3),
        ("processes", "[signal, data]", ["signal", "data"]),
    ],
)
def test_a_value_is_read_as_the_type_that_is_declared(
    notebook: Path, name: str, text: str, value: object
) -> None:
    parameters = Parameters(notebook)
    assert parameters.checked({name: parameters.parsed(name, text)}) == {name: value}


def test_a_whole_number_is_good_where_a_float_is_wanted(notebook: Path) -> None:
    assert Parameters(notebook).checked({"scale": 2}) == {"scale": 2}


def test_an_unknown_parameter_is_an_error_that_names_the_nearest(notebook: Path) -> None:
    with pytest.raises(InputError, match="no parameter 'proceses'.*processes"):
        Parameters(notebook).checked({"proceses": []})


@pytest.mark.parametrize(
    ("name", "value"), [("n_workers", "many"), ("processes", "signal"), ("overrides", [1])]
)
def test_a_value_of_another_type_is_an_error_that_names_the_parameter(
    notebook: Path, name: str, value: object
) -> None:
    with pytest.raises(InputError, match=f"parameter {name} of small.ipynb is a "):
        Parameters(notebook).checked({name: value})


def test_a_notebook_without_parameters_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cell tagged"):
        Parameters(write_notebook(tmp_path / "empty.ipynb", "# nothing"))


def test_a_notebook_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no notebook"):
        Parameters(tmp_path / "absent.ipynb")


CELL = """%matplotlib inline
a: str = "k=v"  # text with =
b: None | str = None
c: int | None = None
d: Optional[str] = "1e3"
e: str = "a # b"
f: Literal["1", "2"] = "1"  # one of two
g: list[str] = [
    "x",
]  # over several lines
h: MyOwn = MyOwn(3)
i = 2
"""


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("a", "x=y", "x=y"),
        ("b", "0012", "0012"),
        ("b", "None", None),
        ("c", "3", 3),
        ("c", "None", None),
        ("d", "007", "007"),
        ("e", "None", "None"),
        ("f", "2", "2"),
        ("g", "[x, y]", ["x", "y"]),
        ("i", "true", True),
    ],
)
def test_optional_types_and_texts_that_look_like_something_else_keep_their_type(
    tmp_path: Path, name: str, text: str, value: object
) -> None:
    parameters = Parameters(write_notebook(tmp_path / "odd.ipynb", CELL))
    assert parameters.checked({name: parameters.parsed(name, text)}) == {name: value}


def test_defaults_are_those_of_python_and_comments_those_behind_the_line(tmp_path: Path) -> None:
    parameters = Parameters(write_notebook(tmp_path / "odd.ipynb", CELL))
    assert parameters.defaults["e"] == "a # b"
    assert parameters.comments["e"] == ""
    assert parameters.comments["a"] == "text with ="
    assert parameters.comments["g"] == "over several lines"
    assert parameters.defaults["h"] == "MyOwn(3)"


def test_a_cell_that_is_no_python_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2"):
        Parameters(write_notebook(tmp_path / "wrong.ipynb", "a = 1\nb ==== 2"))
