"""Both runs in one figure, observable by observable. Writes figures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from intccms.pipeline.differences.diff import RunDiff
from intccms.plots.comparison import side_by_side
from intccms.plots.data_mc import contents
from intccms.plots.style import Drawn, Planned, draw_and_save

__all__ = ["side_by_sides"]


def side_by_sides(found: RunDiff, folder: Path) -> Iterator[Drawn]:
    """Try to draw every observable that both runs have in the same bins; say what became of it."""
    todo = list(_planned(found, folder))
    return (draw_and_save(index, todo) for index in range(len(todo)))


def _planned(found: RunDiff, folder: Path) -> Iterator[Planned]:
    runs = (found.before, found.after)
    for channel, observable in runs[0].book.histograms:
        if (channel, observable) not in runs[1].book.histograms:
            continue
        first, second = (
            contents(run.book, channel, observable, run.look, run.blind(channel, observable))
            for run in runs
        )
        if np.array_equal(first.edges, second.edges):
            names = [f"{channel}, {run.directory.name}" for run in runs]
            looks = [run.look for run in runs]
            draw = partial(side_by_side, first, second, names, looks)
            yield folder / channel / observable, draw
