"""Which branches a skim keeps, their values as flat NanoAOD branches, and options of writers.

Options are checked on the client, and resolved where something is written.
"""

from __future__ import annotations

import inspect
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import awkward as ak
import numpy as np
import uproot
from awkward.contents import ListOffsetArray, NumpyArray
from awkward.index import Index64

from intccms.errors import (
    ConfigError,
    MissingColumnError,
    SkimWriteError,
    attempted,
    nearest,
)
from intccms.schema import Preprocess, SkimOutput, WorkerEval
from intccms.skimming.formats import SUFFIX, write_file

EVENT_IDS = ("run", "luminosityBlock", "event")
TOP_LEVEL = "event"  # in `branches`: columns that belong to no collection


@dataclass(frozen=True)
class SkimColumns:
    """The branches that a skim keeps, as the configuration names them.

    Parameters
    ----------
    branches
        Fields by collection; ``"event"`` holds top-level columns. Empty: everything is kept.
    mc_branches
        The part of `branches` that only simulation has.
    ignore_missing
        Whether a branch that a file lacks is left out; else it is an error.
    weight_branch
        Generator weight, always kept; None: none.
    """

    branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mc_branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignore_missing: bool = False
    weight_branch: str | None = None

    @classmethod
    def of(cls, preprocess: Preprocess, weight_branch: str | None) -> SkimColumns:
        """Take them from the ``preprocess`` block of a configuration."""
        return cls(
            preprocess.branches,
            preprocess.mc_branches,
            ignore_missing=preprocess.ignore_missing,
            weight_branch=weight_branch,
        )

    def names(
        self,
        available: Collection[str],
        *,
        is_data: bool,
        source: str,
        made: Collection[str] = (),
    ) -> list[str]:
        """List the branches to keep of a file, without the counters.

        Parameters
        ----------
        available
            Branches of the file.
        is_data
            Whether the branches of simulation are left out.
        source
            The file, for the error.
        made
            What coffea makes of other branches, and will make again of the skim.

        Raises
        ------
        MissingColumnError
            If the file lacks one of them.
        """
        if not self.branches:
            return list(available)
        wanted = [*(name for name in EVENT_IDS if name in available)]
        if self.weight_branch is not None and not is_data:
            wanted.append(self.weight_branch)
        for collection, fields in self.branches.items():
            only_mc = self.mc_branches.get(collection, ()) if is_data else ()
            wanted += [_branch(collection, name) for name in fields if name not in only_mc]
            charge = f"{collection}_charge"  # coffea's leptons are nothing without it
            wanted += [charge] if charge in available else []
        missing = [name for name in wanted if name not in available and name not in made]
        if missing and not self.ignore_missing:
            collection = missing[0].partition("_")[0] + "_"
            alike = [name for name in available if name.startswith(collection)]
            raise MissingColumnError(
                f"{source} has no branch {missing[0]!r}, which preprocess.branches keeps; "
                f"{nearest(missing[0], alike or available)}; "
                "preprocess.ignore_missing=True leaves out what a file lacks"
            )
        return [name for name in dict.fromkeys(wanted) if name in available]

    def take(self, events: Any, *, is_data: bool, source: str) -> dict[str, ak.Array]:
        """Read the branches to keep of NanoEvents, counters included.

        Raises
        ------
        MissingColumnError
            If the file lacks one of them.
        """
        available, made = branches_of(events), {"_".join(where) for where, _ in _leaves(events)}
        columns: dict[str, ak.Array] = {}
        for name in self.names(available, is_data=is_data, source=source, made=made):
            columns[name] = _plain(available[name]())
        for name in list(columns):
            counter = f"n{name.split('_')[0]}"
            if columns[name].ndim > 1 and counter not in columns:
                # int32 as NanoAOD has had it since v12, and as uproot writes it to a TTree
                columns[counter] = ak.Array(ak.to_numpy(ak.num(columns[name])).astype(np.int32))
        return dict(sorted(columns.items()))


def branches_of(events: Any) -> dict[str, Callable[[], Any]]:
    """Return each branch of the file that events are from, as a call that reads it; no counters.

    What coffea adds (global indices, charges and masses of one value) is no branch: it is added
    again when the skim is read.
    """
    branches: dict[str, Callable[[], Any]] = {}
    for where, leaf in _leaves(events):
        steps = unquote(leaf.get("form_key") or "").split(",")
        if steps[1:] in (["!load"], ["!load", "!content"]) and steps[0] not in branches:
            branches[steps[0]] = partial(_read, events, steps[0], where)
    return branches


def _leaves(events: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Return place and form of each column of NanoEvents."""
    if hasattr(events, "forms"):
        forms = {name: events.forms[name].to_dict() for name in events.fields}
    else:
        form_of_all = events.attrs["@form"]
        forms = dict(zip(form_of_all["fields"], form_of_all["contents"], strict=True))
    for name, form in forms.items():
        record = form["content"] if form["class"].startswith("ListOffset") else form
        if record["class"] == "RecordArray":
            for field, leaf in zip(record["fields"], record["contents"], strict=True):
                yield (name, field), leaf
        else:
            yield (name,), form


def _read(events: Any, branch: str, where: tuple[str, ...]) -> Any:
    if hasattr(events, "columns"):
        return ak.Array(events.columns.read(branch))
    values = events
    for step in where:
        values = values[step]
    return values


def _branch(collection: str, name: str) -> str:
    return name if collection == TOP_LEVEL else f"{collection}_{name}"


def _plain(values: ak.Array) -> ak.Array:
    """Values alone: in memory, packed, without coffea's names and behaviours."""
    layout = ak.materialize(values).layout
    if isinstance(layout, ListOffsetArray) and isinstance(layout.content, NumpyArray):
        offsets, flat = np.asarray(layout.offsets), np.asarray(layout.content.data)
        flat = np.ascontiguousarray(flat[offsets[0] : offsets[-1]])
        return ak.Array(ListOffsetArray(Index64(offsets - offsets[0]), NumpyArray(flat)))
    if isinstance(layout, NumpyArray):
        return ak.Array(np.ascontiguousarray(layout.data))
    return ak.without_parameters(ak.to_packed(layout), behavior=None, attrs=None)


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
        answer = attempted(value.resolve)
        if isinstance(answer, Exception):
            raise SkimWriteError(
                "a WorkerEval in preprocess.skimming.output cannot be evaluated on "
                f"{socket.gethostname()}: {type(answer).__name__}: {answer}"
            ) from answer
        return answer
    if isinstance(value, Mapping):
        return {name: resolved(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(resolved(entry) for entry in value)
    return value


def secrets(value: Any) -> Iterator[str]:
    """Return the texts that no message may hold: the values of each `WorkerEval` inside `value`."""
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
    for key, options, known in (
        ("to_kwargs", output.to_kwargs, WRITER[output.format]),
        ("from_kwargs", output.from_kwargs, READER[output.format]),
    ):
        for name in options:
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
        trial = partial(write_file, path, output.format, [columns], tree="Events", record=[])
        error = attempted(trial, options=known)
    if isinstance(error, OSError):
        raise error
    if error is not None:
        text = " ".join(str(error).split("\n\n")[0].split())
        raise ConfigError(f"{where}: the writer of {output.format} says: {text}") from error


def _evals(value: Any) -> Iterator[bool]:
    if isinstance(value, WorkerEval):
        yield True
    elif isinstance(value, Mapping | list | tuple):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _evals(entry)
