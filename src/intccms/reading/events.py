"""NanoEvents of one entry range, built collection by collection: the rest of a file costs nothing.

What coffea's `NanoAODSchema` makes of the branches (offsets, global indices, fields that are
filled in) and its behaviours are all there; only the record of all collections is no awkward array:
with 1,600 branches, making that takes longer than reading what an analysis needs.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import awkward as ak
import numpy as np
from coffea.nanoevents import NanoAODSchema, transforms
from coffea.nanoevents.methods import nanoaod
from numpy.typing import NDArray

from intccms.datasets.skimmed_rows import EventMetadata
from intccms.reading.columns import Columns

OFFSETS = quote(",!offsets", safe="")


class _Schema(NanoAODSchema):  # type: ignore[misc]
    """NanoAOD that may lack event numbers: only a function that needs them misses them."""

    error_missing_event_ids = False


class NanoForms:
    """The awkward form of each collection that coffea makes of some branches.

    Parameters
    ----------
    base_form
        Branches as coffea's mappings describe them.
    """

    def __init__(self, base_form: dict[str, Any]) -> None:
        with warnings.catch_warnings():  # coffea warns of each cross-reference it cannot make
            warnings.simplefilter("ignore")
            form = _Schema(base_form).form
        self.version = str(form["parameters"]["metadata"]["version"])
        self._plain: dict[str, dict[str, Any]] = dict(
            zip(form["fields"], form["contents"], strict=True)
        )
        self._made: dict[str, ak.forms.Form] = {}
        _register_behaviors()

    @property
    def fields(self) -> list[str]:
        """Collections and columns of the event."""
        return list(self._plain)

    def __contains__(self, name: str) -> bool:
        """Return whether there is a collection or column `name`."""
        return name in self._plain

    def __getitem__(self, name: str) -> ak.forms.Form:
        """Return the form of a collection."""
        if name not in self._made:
            self._made[name] = ak.forms.from_dict(self._plain[name])
        return self._made[name]


def _register_behaviors() -> None:
    """Make coffea's behaviours known to awkward, in this process.

    Arrays that carry them along have them merged, key by key, in each operation on two of them:
    1 ms a time. What someone has registered under the same name stays.
    """
    for key, value in nanoaod.behavior.items():
        ak.behavior.setdefault(key, value)


class ChunkEvents:
    """Events of a chunk; collections are made, and their columns read, when they are touched.

    Parameters
    ----------
    columns
        Where the columns come from.
    forms
        What coffea makes of them.
    metadata
        As in NanoEvents.
    title
        Gives the title of a branch, where the file has them.
    """

    def __init__(
        self,
        columns: Columns,
        forms: NanoForms,
        metadata: EventMetadata,
        title: Callable[[str], str] | None = None,
    ) -> None:
        self.columns, self.forms = columns, forms
        self.metadata: EventMetadata = {**metadata, "version": forms.version}
        self._title = title
        self._known: dict[str, ak.Array] = {}
        self._factory = _Factory(self)

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.columns)

    @property
    def fields(self) -> list[str]:
        """Collections and columns of the event."""
        return self.forms.fields

    def __getitem__(self, name: str) -> ak.Array:
        """Return a collection or a column by name."""
        if name not in self._known:
            if name not in self.forms:
                raise KeyError(f"no collection or column {name!r} in the events")
            self._known[name] = ak.from_buffers(
                self.forms[name],
                len(self),
                _Buffers(self.columns),
                buffer_key=_buffer_key,
                attrs={"@events_factory": self._factory},
            )
        return self._known[name]

    def title(self, name: str) -> str:
        """Return what the file says that a column is; empty if it does not."""
        return "" if self._title is None else self._title(name)

    def __getattr__(self, name: str) -> ak.Array:
        """Return a collection or a column by name."""
        if name.startswith("_") or name not in self.forms:
            raise AttributeError(f"no collection or column {name!r} in the events")
        return self[name]

    def narrowed(self, index: NDArray[np.int64]) -> ChunkEvents:
        """Return the events at `index`, which ascends: columns read from now on hold no others."""
        columns = self.columns.take(index)
        if columns is self.columns:
            return self
        return ChunkEvents(columns, self.forms, self.metadata)


class _Factory:
    """What coffea's cross-references ask for the events that their target is in."""

    def __init__(self, events: ChunkEvents) -> None:
        self._made = weakref.ref(events)  # the events hold arrays that hold this
        self._again = partial(ChunkEvents, events.columns, events.forms, events.metadata)

    def events(self) -> ChunkEvents:
        """Return the events, as they are before any mask or correction."""
        events = self._made()
        if events is None:
            events = self._again()
            self._made = weakref.ref(events)
        return events


def _buffer_key(form_key: str, attribute: str, form: ak.forms.Form) -> str:
    return form_key + OFFSETS if attribute == "offsets" else form_key


class _Buffers:
    """The buffers of collections by coffea's form keys, each made when it is first needed."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __getitem__(self, key: str) -> Any:
        return partial(self._buffer, key)

    def _buffer(self, key: str) -> NDArray[Any]:
        """Evaluate a form key: a small program on a stack, in coffea's words."""
        stack: list[Any] = []
        nodes = iter(unquote(key).split(","))
        for node in nodes:
            if node == "!skip":
                next(nodes)
            elif node == "!load":
                stack.append(ak.Array(self._columns.read(stack.pop())))
            elif node.startswith("!"):
                getattr(transforms, node[1:])(stack)
            else:
                stack.append(node)
        (result,) = stack
        is_awkward = isinstance(result, ak.contents.Content | ak.Array)
        buffer: NDArray[Any] = ak.to_numpy(result) if is_awkward else np.asarray(result)
        buffer = buffer.view()
        buffer.flags.writeable = False  # all functions of a chunk see it
        return buffer
