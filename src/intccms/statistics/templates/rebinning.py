"""Merge bins with too little simulation, before anything is repaired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from intccms.statistics.changes import Change
from intccms.statistics.templates.collection import Array, Template, TemplateSet

__all__ = ["rebin"]


def rebin(result: TemplateSet, fewest: float) -> None:
    """Merge bins in place until each has enough background, from the last bin to the first.

    Parameters
    ----------
    result
        Templates as they were filled.
    fewest
        Effective background events (square of the sum of weights over the sum of their squares)
        of a bin, at least; a region that has less in all is one bin.
    """
    for name, region in result.regions.items():
        samples = [result.nominal(name, one) for one in result.backgrounds(name)]
        empty = np.zeros((2, region.edges.size - 1))
        values, variances = sum((np.asarray(one) for one in samples), empty)
        starts = _starts(values, variances, fewest)
        if len(starts) == values.size:
            continue
        for key, (contents, squares) in result.templates.items():
            if key[0] == name:
                merged = (np.add.reduceat(contents, starts), np.add.reduceat(squares, starts))
                result.templates[key] = Template(*merged)
        edges = np.append(region.edges[starts], region.edges[-1])
        blinded = np.logical_or.reduceat(region.blinded, starts)
        result.regions[name] = replace(region, edges=edges, blinded=blinded)
        text = f"{values.size} bins merged into {len(starts)}: {', '.join(f'{e:g}' for e in edges)}"
        result.note(Change("merged", name, "", "", "", text, fewest, "events"))


def _starts(values: Array, variances: Array, fewest: float) -> list[int]:
    """First bin of each group; what is left over at the low end joins its neighbour."""
    starts: list[int] = []
    stop = values.size
    for start in range(values.size - 1, -1, -1):
        total, variance = values[start:stop].sum(), variances[start:stop].sum()
        if total > 0 and total**2 >= fewest * variance:
            starts.append(start)
            stop = start
    if stop:
        starts = [*starts[:-1], 0]
    return starts[::-1]
