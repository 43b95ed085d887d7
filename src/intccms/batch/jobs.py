"""What a notebook can be asked: its cell tagged ``parameters``, read as a typed model."""

from __future__ import annotations

import ast
import hashlib
import io
import itertools
import json
import re
import tokenize
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import yaml
from pydantic import TypeAdapter, ValidationError

from intccms.errors import InputError, nearest
from intccms.schema.overrides import check_finite

TAG = "parameters"


@dataclass(frozen=True)
class _Parameter:
    """One line of the cell; without an annotation any value is good."""

    annotation: str
    kind: Any
    default: Any
    comment: str

    @property
    def takes_text(self) -> bool:
        """Whether a text stands for itself: ``str``, ``str | None``."""
        return self.kind is str or set(typing.get_args(self.kind)) == {str, type(None)}

    def accepts(self, value: Any) -> bool:
        """Whether a value is of the declared type; a whole number is a float, too."""
        try:
            TypeAdapter(self.kind).validate_python(value, strict=True)
        except ValidationError:
            return False
        return True


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
        self.notebook = notebook
        self._parameters = {name: one for cell in _cells(notebook) for name, one in _read(cell)}
        if not self._parameters:
            raise InputError(f"{notebook} has no cell tagged {TAG!r} with parameters in it")
        self.types = {name: one.annotation for name, one in self._parameters.items()}
        self.comments = {name: one.comment for name, one in self._parameters.items()}
        self.defaults = {name: one.default for name, one in self._parameters.items()}

    def parsed(self, name: str, text: str) -> Any:
        """Read the value of a parameter as YAML; a text parameter takes it as it stands."""
        self._known(name)
        one = self._parameters[name]
        if one.takes_text:
            return None if text == "None" and one.kind is not str else text
        value = yaml_of(text)
        return value if one.accepts(value) or not one.accepts(text) else text

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values`, all known and of the type that the notebook declares.

        Raises
        ------
        InputError
            If one is unknown, with the nearest known name, or of another type.
        """
        for name, value in values.items():
            self._known(name)
            if not self._parameters[name].accepts(value):
                wanted = self.types[name]
                raise InputError(
                    f"parameter {name} of {self.notebook.name} is a {wanted}, got {value!r}"
                )
        return dict(values)

    def _known(self, name: str) -> None:
        if name not in self.types:
            known = nearest(name, self.types)
            raise InputError(f"{self.notebook.name} has no parameter {name!r}; {known}")


def _cells(notebook: Path) -> Iterator[str]:
    """Yield the source of the cell with the parameters; a notebook has one at most."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        raise InputError(f"{notebook} is not a notebook: {error}") from None
    tagged = (cell for cell in cells if TAG in cell.metadata.get("tags", ()))
    for cell in tagged:
        # what is for IPython, such as %matplotlib, is no Python
        lines = cell.source.splitlines()
        yield "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)
        return


def _read(source: str) -> Iterator[tuple[str, _Parameter]]:
    """Yield name and parameter of each assignment to a name."""
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        where = f"line {error.lineno}: {error.msg}"
        raise InputError(f"the cell tagged {TAG!r} is no Python: {where}") from None
    comments = {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    target: ast.expr
    for statement in statements:
        if isinstance(statement, ast.AnnAssign):
            annotation, target = ast.unparse(statement.annotation), statement.target
        elif isinstance(statement, ast.Assign):
            annotation, target = "", statement.targets[0]
        else:
            continue
        if isinstance(target, ast.Name) and statement.value is not None:
            comment = comments.get(statement.end_lineno or 0, "")
            value = _value(statement.value)
            yield target.id, _Parameter(annotation or "value", _type(annotation), value, comment)


def _value(expression: ast.expr) -> Any:
    """Evaluate a literal; of anything else, such as a call, the text."""
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return ast.unparse(expression)


def _type(annotation: str) -> Any:
    """Find what an annotation means; one of the notebook's own types says nothing to us."""
    # papermill writes no paths into a notebook, only texts
    known = {name: getattr(typing, name) for name in typing.__all__} | {"Path": str}
    try:
        kind = eval(annotation or "object", {"typing": typing, **known})  # noqa: S307
        TypeAdapter(kind)
    except Exception:  # noqa: BLE001 - whatever stands there, it is the notebook that runs it
        return object
    return kind


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
        check_finite(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read the value {text!r}: {error}") from None
    if isinstance(value, str) and value == text:
        try:  # YAML 1.1 takes 1e-3 for a text
            return float(value)
        except ValueError:
            pass
    return value


MAX_NAME = 80  # characters of a directory


@dataclass(frozen=True)
class Job:
    """One execution of a notebook.

    Parameters
    ----------
    name
        Says which point of the grid it is.
    notebook
        What is executed.
    directory
        Holds the executed notebook, its log and, where the notebook has a parameter
        ``output_dir``, its results.
    parameters
        All that differ from the defaults.
    """

    name: str
    notebook: Path
    directory: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def executed(self) -> Path:
        """The executed notebook."""
        return self.directory / self.notebook.name

    @property
    def log(self) -> Path:
        """What papermill and the cells printed."""
        return self.directory / f"{self.notebook.stem}.log"

    @property
    def record(self) -> Path:
        """How it ended."""
        return self.directory / "job.json"

    @property
    def digest(self) -> str:
        """Of the notebook and the parameters: a job that is done with the same is not repeated."""
        asked = json.dumps(dict(self.parameters), sort_keys=True, default=str)
        return hashlib.sha256(self.notebook.read_bytes() + asked.encode()).hexdigest()


def plan(
    notebook: Path,
    out: Path,
    *,
    given: Iterable[tuple[str, str]] = (),
    grid: Sequence[str] = (),
) -> list[Job]:
    """Make the jobs of a grid, all checked before any is started.

    Parameters
    ----------
    notebook, out
        What to execute; where each job gets a directory.
    given
        Names and values, in YAML, of parameters that all jobs share.
    grid
        ``"processes=signal,wjets"``: one job for each value; several span a grid. A key with
        dots is a setting: it goes into the parameter ``overrides``.

    Raises
    ------
    InputError
        If a parameter is unknown or a value has another type.
    """
    parameters, out = Parameters(notebook), out.absolute()
    shared = {name: parameters.parsed(name, text) for name, text in given}
    axes = [_axis(entry, parameters) for entry in grid]
    jobs = []
    for point in itertools.product(*axes):
        values = dict(shared)
        for key, value in point:
            _put(values, key, value)
        name = _name([(key, value) for key, value in point])
        directory = out / name if axes else out
        if "output_dir" in parameters.types and "output_dir" not in values:
            values["output_dir"] = str(directory)
        jobs.append(Job(name, notebook, directory, parameters.checked(values)))
    if len({job.name for job in jobs}) != len(jobs):
        raise InputError("two points of the grid are the same")
    return jobs


def _axis(entry: str, parameters: Parameters) -> list[tuple[str, Any]]:
    """Return the values of one axis, each with its name."""
    key, sign, text = entry.partition("=")
    if not sign or not text:
        raise InputError(f"--grid takes NAME=VALUE,VALUE,..., got {entry!r}")
    values = split_grid(text)
    if "." in key:
        return [(key, value) for value in values]
    axis = []
    for value in values:
        parsed = parameters.parsed(key, value)
        is_list = parameters.types[key].startswith("list")
        axis.append((key, [parsed] if is_list and not isinstance(parsed, list) else parsed))
    return axis


def split_grid(text: str) -> list[str]:
    """Split at the commas that stand outside brackets.

    Examples
    --------
    >>> split_grid("signal,[ttbar_had,ttbar_lep],data")
    ['signal', '[ttbar_had,ttbar_lep]', 'data']
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    if "." in key:
        values["overrides"] = [*values.get("overrides", []), f"{key}={value}"]
    else:
        values[key] = value


def _name(point: Sequence[tuple[str, Any]]) -> str:
    """Make a directory name of a point of the grid; a long one ends in its digest."""
    if not point:
        return "job"
    words = [f"{key.rpartition('.')[2]}-{_word(value)}" for key, value in point]
    name = "_".join(words)
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _word(value: Any) -> str:
    text = "+".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^\w.+-]+", "-", text).strip("-") or "none"
