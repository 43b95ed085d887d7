"""Options of writers and readers: checked on the client, resolved where something is written."""

from __future__ import annotations

import inspect
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from intccms.errors import ConfigError, SkimWriteError, nearest
from intccms.schema import SkimOutput, WorkerEval
from intccms.skimming.formats import SUFFIX, write_file

# Of ak.to_parquet; what is written and where is not the user's to say.
PARQUET = set(inspect.signature(ak.to_parquet).parameters) - {"array", "destination"}
# Of uproot.recreate and of mktree or mkrntuple; the names of branches are NanoAOD's.
ROOT = {"compression", "compression_level", "initial_directory_bytes", "storage_options"}
WRITER = {
    "parquet": PARQUET,
    "ttree": ROOT | {"title", "initial_basket_capacity", "resize_factor"},
    "rntuple": ROOT | {"description"},
}
READER = {
    "parquet": {"storage_options", "parquet_options"},
    "ttree": {"storage_options", *uproot.open.defaults},
    "rntuple": {"storage_options", *uproot.open.defaults},
}


def resolved(value: Any) -> Any:
    """Replace every `WorkerEval` inside dicts, lists and tuples by its value; on a worker only.

    Raises
    ------
    SkimWriteError
        If one cannot be evaluated here.
    """
    if isinstance(value, WorkerEval):
        try:
            return value.resolve()
        except Exception as exc:
            raise SkimWriteError(
                "a WorkerEval in preprocess.skimming.output cannot be evaluated on "
                f"{socket.gethostname()}: {type(exc).__name__}: {exc}"
            ) from exc
    if isinstance(value, Mapping):
        return {name: resolved(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(resolved(entry) for entry in value)
    return value


def secrets(value: Any) -> Iterator[str]:
    """Give the texts that no message may hold: the values of each `WorkerEval` inside `value`."""
    if isinstance(value, WorkerEval):
        yield from _texts(resolved(value))
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from secrets(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from secrets(entry)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _texts(entry)


def check_options(output: SkimOutput) -> None:
    """Refuse options that writer or reader do not take; nothing but a scratch file is written.

    Raises
    ------
    ConfigError
        Naming the option and the nearest valid one.
    """
    where = "preprocess.skimming.output"
    if (output.output_dir or "").rstrip("/").endswith((".root", ".parquet")):
        raise ConfigError(
            f"{where}.output_dir: {output.output_dir} is the name of a file; the skim is a folder, "
            f"and {where}.format says what is in it"
        )
    for key, given, known in (
        ("to_kwargs", output.to_kwargs, WRITER[output.format]),
        ("from_kwargs", output.from_kwargs, READER[output.format]),
    ):
        for name in given:
            if name not in known:
                hint = nearest(name, known)
                kind = "writer" if key == "to_kwargs" else "reader"
                text = f"the {kind} of {output.format} has no option {name!r}; {hint}"
                raise ConfigError(f"{where}.{key}: {text}")
    _try(output, f"{where}.to_kwargs")


def _try(output: SkimOutput, where: str) -> None:
    """Write two events, with the options that can be known here: values can be wrong too."""
    known = {name: value for name, value in output.to_kwargs.items() if not any(_evals(value))}
    columns = {
        "run": ak.Array(np.ones(2, np.uint32)),
        "Muon_pt": ak.Array([[1.0], [2.0, 3.0]]),
        "nMuon": ak.Array(np.array([1, 2], np.int32)),
    }
    with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
        path = Path(folder) / f"trial.{SUFFIX[output.format]}"
        try:
            write_file(path, output.format, [columns], tree="Events", record=[], options=known)
        except OSError:
            raise
        except Exception as exc:
            text = " ".join(str(exc).split("\n\n")[0].split())
            raise ConfigError(f"{where}: the writer of {output.format} says: {text}") from exc


def _evals(value: Any) -> Iterator[bool]:
    if isinstance(value, WorkerEval):
        yield True
    elif isinstance(value, Mapping | list | tuple):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _evals(entry)
