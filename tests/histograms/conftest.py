from __future__ import annotations

import pytest

from intccms.histograms import Book, HistogramSums, make_book

EDGES = (0.0, 1.0, 2.0)
KEY = ("sr", "mtt")


def filled(**weights: list[float]) -> HistogramSums:
    """Events at 0.5, 1.5 and 2.5 (overflow), with one weight each per variation."""
    return HistogramSums.filled(weights, EDGES, [0.5, 1.5, 2.5], list(weights.values()))


@pytest.fixture
def book() -> Book:
    """Two datasets of ttbar, of which only one has pileup; wjets with jes; data."""
    sums = {
        "ttbar_2016": {
            KEY: filled(
                nominal=[4.0, 2.0, 1.0],
                jes_up=[5.0, 2.0, 1.0],
                jes_down=[3.0, 1.0, 1.0],
                pileup_up=[4.0, 3.0, 1.0],
                pileup_down=[4.0, 4.0, 1.0],
            )
        },
        "ttbar_2017": {
            KEY: filled(nominal=[1.0, 1.0, 1.0], jes_up=[2.0, 1.0, 1.0], jes_down=[1.0, 1.0, 1.0])
        },
        "wjets": {
            KEY: filled(nominal=[2.0, 2.0, 0.0], jes_up=[1.0, 2.0, 0.0], jes_down=[2.5, 2.0, 0.0])
        },
        "data": {KEY: filled(nominal=[1.0, 1.0, 1.0])},
    }
    return make_book(
        sums,
        {"ttbar_2016": 0.5, "ttbar_2017": 10.0, "wjets": 1.0, "data": 1.0},
        {"ttbar_2016": "ttbar", "ttbar_2017": "ttbar", "wjets": "wjets", "data": "data"},
        {KEY: (EDGES, "$m_{t\\bar{t}}$ [GeV]")},
        ["data"],
    )
