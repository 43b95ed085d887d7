from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from intccms.histograms import Book, HistogramSums, make_book

mpl.use("Agg")

EDGES = (0.0, 100.0, 200.0, 300.0)
KEY = ("sr", "mtt")


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def filled(**weights: list[float]) -> HistogramSums:
    """One event per bin, with one weight each per variation."""
    return HistogramSums.filled(weights, EDGES, [50.0, 150.0, 250.0], list(weights.values()))


@pytest.fixture
def book() -> Book:
    """Two backgrounds, a signal and data in three bins."""
    sums = {
        "wjets": filled(
            nominal=[2.0, 3.0, 0.0],
            jes_up=[3.0, 3.0, 0.0],
            jes_down=[1.0, 2.0, 0.0],
            pileup_up=[2.2, 3.3, 0.0],
            pileup_down=[1.8, 2.7, 0.0],
        ),
        "signal": filled(nominal=[0.0, 1.0, 2.0]),
        "ttbar": filled(
            nominal=[10.0, 5.0, 1.0], jes_up=[12.0, 6.0, 1.0], jes_down=[9.0, 4.0, 1.0]
        ),
    }
    events = HistogramSums.filled(["nominal"], EDGES, [50.0] * 9 + [150.0] * 4, [1.0] * 13)
    return make_book(
        {**{name: {KEY: one} for name, one in sums.items()}, "data": {KEY: events}},
        dict.fromkeys((*sums, "data"), 1.0),
        {name: name for name in (*sums, "data")},
        {KEY: (EDGES, "$m$ [GeV]")},
        ["data"],
    )
