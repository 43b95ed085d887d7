"""One job for each point of a grid of parameters; every job has a directory of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intccms.batch.parameters import Parameters
from intccms.errors import InputError

__all__ = ["Job", "plan", "split_grid"]

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
