"""Which branches a skim keeps, and their values as flat NanoAOD branches; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import awkward as ak
import numpy as np

from intccms.errors import MissingColumnError, nearest
from intccms.schema import Preprocess

__all__ = ["SkimColumns"]

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

    def names(self, available: Mapping[str, Any], *, is_data: bool, source: str) -> list[str]:
        """List the branches to keep of a file, without the counters.

        Parameters
        ----------
        available
            Branches of the file, as `branches_of` gives them.
        is_data
            Whether the branches of simulation are left out.
        source
            The file, for the error.

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
        missing = [name for name in wanted if name not in available]
        if missing and not self.ignore_missing:
            raise MissingColumnError(
                f"{source} has no branch {missing[0]!r}, which preprocess.branches keeps; "
                f"{nearest(missing[0], available)}; "
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
        available = branches_of(events)
        kept: dict[str, ak.Array] = {}
        for name in self.names(available, is_data=is_data, source=source):
            values = events
            for step in available[name]:
                values = values[step]
            kept[name] = _plain(values)
        counters = {}
        for name, values in kept.items():
            counter = f"n{name.split('_')[0]}"
            if values.ndim > 1 and counter not in counters:
                counters[counter] = ak.Array(ak.to_numpy(ak.num(values)).astype(np.uint32))
        return dict(sorted((kept | counters).items()))


def _branch(collection: str, name: str) -> str:
    return name if collection == TOP_LEVEL else f"{collection}_{name}"


def branches_of(events: Any) -> dict[str, tuple[str, ...]]:
    """Say where in NanoEvents the values of each branch of the file are; without counters.

    What coffea adds (global indices, charges of one value) has no name of a branch.
    """
    form = events.attrs.get("@form")
    found: dict[str, tuple[str, ...]] = {}
    for name, content in zip(form["fields"], form["contents"], strict=True):
        record = content["content"] if content["class"].startswith("ListOffset") else content
        if record["class"] == "RecordArray":
            for inner, leaf in zip(record["fields"], record["contents"], strict=True):
                _note(found, leaf, (name, inner))
        else:
            _note(found, content, (name,))
    return found


def _note(
    found: dict[str, tuple[str, ...]], leaf: Mapping[str, Any], where: tuple[str, ...]
) -> None:
    steps = unquote(leaf.get("form_key") or "").split(",")
    if steps[1:] in (["!load"], ["!load", "!content"]):
        found.setdefault(steps[0], where)


def _plain(values: Any) -> ak.Array:
    """Values alone: in memory, packed, without coffea's names and behaviours."""
    packed = ak.to_packed(ak.materialize(ak.Array(values.layout)))
    return ak.without_parameters(packed, behavior=None, attrs=None)
