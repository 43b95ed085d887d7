"""Which part of the trees a run has read: its columns against all branches of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import uproot

from intccms.metrics.inspector.layout import layout_of
from intccms.metrics.measurement import Coverage

__all__ = ["TreePlace", "TreeSizes", "coverage_of", "tree_sizes"]

N_LARGEST = 10


class TreePlace(NamedTuple):
    """A tree of a dataset, and where its file can be opened."""

    dataset: str
    pfns: Sequence[str]
    tree_name: str


class TreeSizes(NamedTuple):
    """Compressed sizes of the branches of one file."""

    n_events: int
    branches: Mapping[str, int]


def tree_sizes(place: TreePlace) -> TreeSizes | None:
    """Open a file where it can be opened; None if that is nowhere, or it is no tree."""
    for pfn in place.pfns:
        try:
            with uproot.open({pfn: place.tree_name}) as tree:
                layout = layout_of(tree)
                sizes = [int(size) for size in layout.compressed_bytes]
                branches = dict(zip(layout.branches, sizes, strict=True))
                return TreeSizes(int(tree.num_entries), branches)
        except Exception:  # noqa: BLE001, S112 - a number that is missing ends no run
            continue
    return None


def coverage_of(
    columns: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, TreeSizes | None],
    n_events: Mapping[str, int],
) -> dict[str, Coverage]:
    """Compare what was read with what there is.

    Parameters
    ----------
    columns
        Compressed bytes read, by dataset and branch.
    sizes
        Of one file of each dataset; the others are taken to be alike, event by event.
    n_events
        Processed, by dataset.

    Examples
    --------
    >>> sizes = {"data": TreeSizes(10, {"run": 50, "Muon_pt": 100, "Jet_pt": 250})}
    >>> coverage_of({"data": {"Muon_pt": 200}}, sizes, {"data": 20})["data"].tree_bytes
    800
    """
    found = {}
    for dataset, read in columns.items():
        size = sizes.get(dataset)
        if size is None or not size.n_events:
            continue
        per_event = sum(size.branches.values()) / size.n_events
        most = sorted(read, key=lambda name: -read[name])[:N_LARGEST]
        found[dataset] = Coverage(
            n_columns=len(read),
            n_branches=len(size.branches),
            column_bytes=sum(read.values()),
            tree_bytes=round(per_event * n_events.get(dataset, 0)),
            largest={name: read[name] for name in most},
        )
    return found
