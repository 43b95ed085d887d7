"""What a notebook can be asked: its cell tagged ``parameters``, read as a typed model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import papermill
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from intccms.errors import InputError, nearest

__all__ = ["Parameters"]


class Parameters:
    """The parameters of a notebook: names, types, defaults and their comments.

    Parameters
    ----------
    notebook
        Its first code cell, tagged ``parameters``, holds lines such as
        ``n_workers: int = 0  # 0: one per core``.

    Raises
    ------
    InputError
        If there is no such notebook, or it has no parameters.
    """

    def __init__(self, notebook: Path) -> None:
        if not notebook.is_file():
            raise InputError(f"no notebook {notebook}")
        declared = papermill.inspect_notebook(notebook)
        if not declared:
            raise InputError(f"{notebook} has no cell tagged 'parameters' with parameters in it")
        self.notebook = notebook
        self.types = {name: str(entry["inferred_type_name"]) for name, entry in declared.items()}
        self.comments = {name: str(entry["help"]) for name, entry in declared.items()}
        self.defaults = {name: yaml_of(str(entry["default"])) for name, entry in declared.items()}
        fields: Any = {
            name: ("object" if kind == "None" else kind, self.defaults[name])
            for name, kind in self.types.items()
        }
        strict = ConfigDict(strict=True, extra="forbid")
        self._model: type[BaseModel] = create_model("Parameters", __config__=strict, **fields)

    def parsed(self, name: str, text: str) -> Any:
        """Read the value of a parameter as YAML; a text parameter takes it as it stands."""
        self._known(name)
        return text if self.types[name] == "str" else yaml_of(text)

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values`, all known and of the type that the notebook declares.

        Raises
        ------
        InputError
            If one is unknown, with the nearest known name, or of another type.
        """
        for name in values:
            self._known(name)
        try:
            self._model(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise InputError(
                f"parameter {name} of {self.notebook.name} is a {self.types[name]}, "
                f"got {values[name]!r}: {first['msg']}"
            ) from None
        return dict(values)

    def _known(self, name: str) -> None:
        if name not in self.types:
            known = nearest(name, self.types)
            raise InputError(f"{self.notebook.name} has no parameter {name!r}; {known}")


def yaml_of(text: str) -> Any:
    """Read a value as YAML, in which ``None`` is null as in Python.

    Examples
    --------
    >>> yaml_of("[signal, 3]"), yaml_of("None"), yaml_of("1e-3")
    (['signal', 3], None, 0.001)

    Raises
    ------
    InputError
        If it is no YAML.
    """
    if text == "None":
        return None
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"cannot read the value {text!r}: {error}") from None
    if isinstance(value, str) and value == text:
        try:  # YAML 1.1 takes 1e-3 for a text
            return float(value)
        except ValueError:
            pass
    return value
