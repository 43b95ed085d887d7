"""Channels and observables made from others: N-1 selections, two observables in one.

For configurations; what they give are entries like those that are written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from coffea.analysis_tools import PackedSelection
from pydantic import TypeAdapter

from intccms.errors import nearest
from intccms.histograms.sums import bin_indices
from intccms.schema.base import Edges


@dataclass(frozen=True)
class Without:
    """A selection with some of its named cuts left out."""

    function: Callable[..., PackedSelection]
    cuts: tuple[str, ...]

    def __call__(self, *arrays: Any, **kwargs: Any) -> PackedSelection:
        """Return the other cuts, and all of them together as the last one.

        Raises
        ------
        ValueError
            If the selection does not name its cuts, or if its last one is not all of the others
            together: then nobody knows what is left without one of them.
        """
        answer = self.function(*arrays, **kwargs)
        if not isinstance(answer, PackedSelection):
            raise ValueError("to leave out a cut its selection must be a PackedSelection")
        *names, last = answer.names
        for cut in self.cuts:
            if cut not in names:
                raise ValueError(f"no cut {cut!r} to leave out; {nearest(cut, names)}")
        if not np.array_equal(answer.all(*names), answer.all(last)):
            raise ValueError(f"{last!r} is not all of {names} together")
        remaining = PackedSelection()
        for name in names:
            if name not in self.cuts:
                remaining.add(name, answer.all(name))
        all_remaining = (
            remaining.all(*remaining.names) if remaining.names else np.ones_like(answer.all(last))
        )
        remaining.add(f"without {', '.join(self.cuts)}", all_remaining)
        return remaining


def without(channel: Mapping[str, Any], *cuts: str) -> dict[str, Any]:
    """Return a channel without some of its cuts: what an N-1 figure shows.

    Parameters
    ----------
    channel
        An entry of ``channels`` whose selection gives a `PackedSelection`.
    *cuts
        Names of cuts of its selection.

    Returns
    -------
    dict
        An entry of its own, ``<channel>_without_<cuts>``, that no fit uses.

    Examples
    --------
    >>> found = without({"name": "SR", "observables": [], "selection": {"function": len}}, "met")
    >>> found["name"], found["fit_observable"]
    ('SR_without_met', None)
    """
    selection = channel["selection"]
    return {
        **channel,
        "name": "_without_".join([channel["name"], "_".join(cuts)]),
        "fit_observable": None,
        "selection": {**selection, "function": Without(selection["function"], cuts)},
    }


@dataclass(frozen=True)
class Plane:
    """An observable that says in which bin of two others an event is, row by row.

    Parameters
    ----------
    functions
        Of the horizontal and of the vertical observable, each with its keyword arguments.
    n_inputs
        How many of the arrays are for the first.
    edges
        Of the bins along both.
    labels
        Of both axes.
    """

    functions: tuple[Callable[..., Any], Callable[..., Any]]
    kwargs: tuple[Mapping[str, Any], Mapping[str, Any]]
    n_inputs: int
    edges: tuple[tuple[float, ...], tuple[float, ...]]
    labels: tuple[str, str]

    @property
    def shape(self) -> tuple[int, int]:
        """Bins: rows, columns."""
        return len(self.edges[1]) - 1, len(self.edges[0]) - 1

    def __call__(self, *arrays: Any) -> npt.NDArray[np.float64]:
        """Return ``row * n_columns + column``, -1 for events outside of the plane."""
        inputs = arrays[: self.n_inputs], arrays[self.n_inputs :]
        column, row = (
            bin_indices(ak.to_numpy(function(*own_inputs, **kwargs)), edges) - 1
            for function, own_inputs, kwargs, edges in zip(
                self.functions, inputs, self.kwargs, self.edges, strict=True
            )
        )
        n_rows, n_columns = self.shape
        inside = (column >= 0) & (column < n_columns) & (row >= 0) & (row < n_rows)
        return np.where(inside, row * n_columns + column, -1).astype(np.float64)


def against(vertical: Mapping[str, Any], horizontal: Mapping[str, Any]) -> dict[str, Any]:
    """Return one observable for the plane of two, with a bin for each pair of their bins.

    Its templates are unrolled row by row, so that it can be fitted like any other; what lies
    outside of the plane is in the underflow. Figures show the plane.

    Parameters
    ----------
    vertical, horizontal
        Entries of ``observables``.

    Returns
    -------
    dict
        An entry of its own, ``<vertical>_against_<horizontal>``.
    """
    both = (horizontal, vertical)
    edges = tuple(TypeAdapter(Edges).validate_python(one["binning"]) for one in both)
    labels = tuple(one.get("label") or one["name"] for one in both)
    plane = Plane(
        (horizontal["function"], vertical["function"]),
        tuple(one.get("static_kwargs") or {} for one in both),  # type: ignore[arg-type]
        len(horizontal["use"]),
        edges,  # type: ignore[arg-type]
        labels,
    )
    n_bins = plane.shape[0] * plane.shape[1]
    return {
        "name": f"{vertical['name']}_against_{horizontal['name']}",
        "label": f"bin of {vertical['name']} against {horizontal['name']}",
        "binning": f"0,{n_bins},{n_bins}",
        "flow": "drop",  # what lies outside of the plane belongs to no bin of it
        "function": plane,
        "use": [*horizontal["use"], *vertical["use"]],
    }
