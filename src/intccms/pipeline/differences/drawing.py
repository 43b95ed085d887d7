"""Both runs in one figure, observable by observable. Writes figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from intccms.pipeline.differences.diff import RunDiff
from intccms.plots import save
from intccms.plots.comparison import side_by_side
from intccms.plots.contents import contents

__all__ = ["side_by_sides"]


def side_by_sides(found: RunDiff, folder: Path) -> Iterator[Path]:
    """Draw every observable that both runs have in the same bins; yield the PNG files."""
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
            figure, _ = side_by_side(first, second, names, [run.look for run in runs])
            yield save(figure, folder / channel / observable)[0]
