from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hist.intervals import poisson_interval

from intccms.histograms import Book
from intccms.plots import Look, data_mc
from intccms.plots.data_mc import contents, draw_contents, pulls


def test_pulls_are_distances_in_the_uncertainty_towards_the_other(book: Book) -> None:
    numbers = contents(book, "sr", "mtt", Look())
    high = poisson_interval(np.array([9.0]))[1] - 9.0  # data are below the 12 expected
    assert pulls(numbers)[0] == pytest.approx((9 - 12) / np.hypot(high, numbers.down[0]))


def test_pulls_of_hidden_data_are_not_known(book: Book) -> None:
    some = pulls(contents(book, "sr", "mtt", Look(), (0.0, 150.0)))
    assert np.isnan(some).tolist() == [True, True, False]
    without = Book(book.histograms, {k: v for k, v in book.varied.items() if k != "data"})
    assert np.isnan(pulls(contents(without, "sr", "mtt", Look()))).all()


def test_panel_of_pulls_is_symmetric_and_says_what_it_shows(book: Book) -> None:
    _, (_, bottom) = data_mc(book, "sr", "mtt", look=Look(panel="pull"))
    low, high = bottom.get_ylim()
    assert low == -high
    assert r"\sigma" in bottom.get_ylabel()


def test_pulls_beyond_the_panel_are_pointed_at(book: Book) -> None:
    numbers = replace(contents(book, "sr", "mtt", Look()), data=np.array([900.0, 8.0, 1.0]))
    _, (_, bottom) = draw_contents(numbers, "sr", look=Look(panel="pull"))
    markers = {line.get_marker(): len(line.get_xdata()) for line in bottom.lines}
    assert markers["^"] == 1
    assert markers["v"] == 0
