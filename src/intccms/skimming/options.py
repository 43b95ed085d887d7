"""Options of the writers: checked on the client, resolved where something is written or read."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import awkward as ak

from intccms.errors import ConfigError, nearest
from intccms.schema import SkimOutput, WorkerEval

__all__ = ["check_options", "resolved"]

# Of ak.to_parquet; what to write and where is not the user's to say.
PARQUET = set(inspect.signature(ak.to_parquet).parameters) - {"array", "destination"}
# Of uproot.recreate and of mktree or mkrntuple; names of branches are NanoAOD's.
ROOT = {"compression", "compression_level", "initial_directory_bytes", "storage_options"}
WRITER = {
    "parquet": PARQUET,
    "ttree": ROOT | {"title", "initial_basket_capacity", "resize_factor"},
    "rntuple": ROOT | {"description"},
}


def resolved(value: Any) -> Any:
    """Replace every `WorkerEval` inside dicts, lists and tuples by its value; on a worker only."""
    if isinstance(value, WorkerEval):
        return value.resolve()
    if isinstance(value, Mapping):
        return {name: resolved(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(resolved(entry) for entry in value)
    return value


def check_options(output: SkimOutput) -> None:
    """Refuse an option that the writer does not know.

    Raises
    ------
    ConfigError
        Naming the nearest one.
    """
    for name in output.to_kwargs:
        if name not in WRITER[output.format]:
            raise ConfigError(
                f"preprocess.skimming.output.to_kwargs: the writer of {output.format} files has no "
                f"option {name!r}; {nearest(name, WRITER[output.format])}"
            )
