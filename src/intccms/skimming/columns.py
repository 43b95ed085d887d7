"""Which branches a skim keeps, and their values as flat NanoAOD branches; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray
from awkward.index import Index64

from intccms.errors import MissingColumnError, nearest
from intccms.schema import Preprocess

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
        kept: dict[str, ak.Array] = {}
        for name in self.names(available, is_data=is_data, source=source, made=made):
            kept[name] = _plain(available[name]())
        for name in list(kept):
            counter = f"n{name.split('_')[0]}"
            if kept[name].ndim > 1 and counter not in kept:
                # int32 as NanoAOD has had it since v12, and as uproot writes it to a TTree
                kept[counter] = ak.Array(ak.to_numpy(ak.num(kept[name])).astype(np.int32))
        return dict(sorted(kept.items()))


def branches_of(events: Any) -> dict[str, Callable[[], Any]]:
    """Give each branch of the file that events are from, as a call that reads it; no counters.

    What coffea adds (global indices, charges and masses of one value) is no branch: it is added
    again when the skim is read.
    """
    found: dict[str, Callable[[], Any]] = {}
    for where, leaf in _leaves(events):
        steps = unquote(leaf.get("form_key") or "").split(",")
        if steps[1:] in (["!load"], ["!load", "!content"]) and steps[0] not in found:
            found[steps[0]] = partial(_read, events, steps[0], where)
    return found


def _leaves(events: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Give place and form of each column of NanoEvents."""
    if hasattr(events, "forms"):
        forms = {name: events.forms[name].to_dict() for name in events.fields}
    else:
        whole = events.attrs["@form"]
        forms = dict(zip(whole["fields"], whole["contents"], strict=True))
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
