from __future__ import annotations

import numpy as np
import pytest

from intccms.engine.derived import Plane
from intccms.histograms import Book, HistogramSums, make_book
from intccms.plots import Look
from intccms.plots.plane import maps

PLANE = Plane((len, len), ({}, {}), 1, ((0.0, 1.0, 2.0, 4.0), (0.0, 10.0, 30.0)), ("x [GeV]", "y"))
KEY = ("sr", "y_against_x")
EDGES = [float(bin_) for bin_ in range(7)]


@pytest.fixture
def plane_book() -> Book:
    weights = {"top": [1.0, 2.0, 2.0], "zprime": [0.0, 5.0, 0.0], "data": [1.0] * 3}
    sums = {
        name: {KEY: HistogramSums.filled(["nominal"], EDGES, [0.5, 4.5, 4.5], one)}
        for name, one in weights.items()
    }
    names = {name: name for name in sums}
    return make_book(sums, dict.fromkeys(sums, 1.0), names, {KEY: (EDGES, "bin")}, ["data"])


def test_maps_show_rows_and_columns_of_the_plane(plane_book: Book) -> None:
    _, axes = maps(plane_book, *KEY, PLANE)
    content = axes[0].collections[0].get_array()
    assert content.filled(0).tolist() == [[1.0, 0.0, 0.0], [0.0, 4.0, 0.0]]
    assert axes[0].get_xlim() == (0.0, 4.0)
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == ("x [GeV]", "y")
    assert [ax.texts[0].get_text() for ax in axes] == ["Background", "Data", "zprime"]


def test_blinded_maps_have_no_data(plane_book: Book) -> None:
    _, axes = maps(plane_book, *KEY, PLANE, look=Look(status="Open Data"), blind=True)
    assert [ax.texts[0].get_text() for ax in axes] == ["Background", "zprime"]
    assert "Simulation Open Data" in {text.get_text() for text in axes[0].texts}


def test_bins_of_a_blinded_range_are_empty(plane_book: Book) -> None:
    _, axes = maps(plane_book, *KEY, PLANE, blind=(4.0, 5.0))
    data = axes[1].collections[0].get_array()
    assert np.ma.getmaskarray(data).tolist() == [[False, True, True], [True, True, True]]
