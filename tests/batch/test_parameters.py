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
