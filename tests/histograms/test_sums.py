from __future__ import annotations

import pickle

import numpy as np
import pytest

from intccms.execution.checkpoints import decode, encode
from intccms.histograms import ExactSums, HistogramSums, bin_indices

EDGES = (0.0, 1.0, 2.0, 4.0)


def test_bins_hold_their_lower_edge() -> None:
    values = [-0.1, 0.0, 0.99, 1.0, 3.99, 4.0, np.inf, -np.inf]
    assert bin_indices(values, EDGES).tolist() == [0, 1, 1, 2, 3, 4, 4, 0]


@pytest.mark.parametrize(
    "edges",
    [
        np.linspace(200, 3000, 21),
        np.linspace(0, 1, 8) ** 3,
        [0, 1, 5, 100, 1e4],
        [-1e30, *np.linspace(0, 300, 61), 1e30],
        [-np.inf, 0, 1, np.inf],
        [0.1, 0.2],
    ],
)
def test_bins_are_those_of_a_search(edges: list[float]) -> None:
    around = [np.nextafter(edges, side) for side in (-np.inf, np.inf)]
    spread = np.random.default_rng(2).normal(500, 800, 5000)
    values = np.concatenate([spread, spread / 500, edges, *around, [1e300, -1e300, 0.0, -0.0]])
    assert np.array_equal(bin_indices(values, edges), np.searchsorted(edges, values, side="right"))
    assert bin_indices([], edges).shape == (0,)


def test_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="2 of 3 values"):
        bin_indices([np.nan, 1.0, np.nan], EDGES)


def test_single_variation_gives_hand_computed_sums() -> None:
    sums = HistogramSums.filled(["nominal"], EDGES, [0.5, 0.6, 3.0, 9.0], [1.0, 2.0, -1.0, 0.5])
    sumw, sumw2 = sums.rounded()["nominal"]
    assert sumw.tolist() == [0.0, 3.0, 0.0, -1.0, 0.5]
    assert sumw2.tolist() == [0.0, 5.0, 0.0, 1.0, 0.25]


def test_weight_matrix_fills_every_variation() -> None:
    weights = [[1.0, 1.0], [2.0, 3.0]]
    sums = HistogramSums.filled(["nominal", "sf_up"], EDGES, [0.5, 1.5], weights)
    assert sums.rounded()["nominal"][0].tolist() == [0, 1, 1, 0, 0]
    assert sums.rounded()["sf_up"][0].tolist() == [0, 2, 3, 0, 0]
    assert sums.rounded()["sf_up"][1].tolist() == [0, 4, 9, 0, 0]


def test_rows_go_to_the_variation_they_name() -> None:
    sums = HistogramSums.filled(
        ["nominal", "jes_up"], EDGES, [0.5, 1.5, 1.5], [1.0, 1.0, 2.0], [0, 0, 1]
    )
    assert sums.rounded()["nominal"][0].tolist() == [0, 1, 1, 0, 0]
    assert sums.rounded()["jes_up"][0].tolist() == [0, 0, 2, 0, 0]


def test_chunks_add_to_the_whole_in_any_order() -> None:
    rng = np.random.default_rng(3)
    values, weights = rng.uniform(-1, 5, 500), rng.normal(1, 5, (3, 500))
    names = ("nominal", "a_up", "a_down")
    whole = HistogramSums.filled(names, EDGES, values, weights)
    first = HistogramSums.filled(names, EDGES, values[:123], weights[:, :123])
    second = HistogramSums.filled(names, EDGES, values[123:], weights[:, 123:])
    assert first + second == whole
    assert second + first == whole


def test_variations_are_matched_by_name() -> None:
    one = HistogramSums.filled(["nominal", "a_up"], EDGES, [0.5], [[1.0], [2.0]])
    two = HistogramSums.filled(["b_up", "nominal"], EDGES, [0.5], [[3.0], [4.0]])
    both = one + two
    assert both.variations == ("nominal", "a_up", "b_up")
    assert [sumw[1] for sumw, _ in both.rounded().values()] == [5.0, 2.0, 3.0]


def test_nothing_added_changes_nothing() -> None:
    sums = HistogramSums.filled(["nominal"], EDGES, [0.5], [1.0])
    assert HistogramSums.zeros(["nominal"], 3) + sums == sums
    assert HistogramSums.filled(["nominal"], EDGES, [], []) == HistogramSums.zeros(["nominal"], 3)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="2 labels"):
        HistogramSums.filled(["nominal", "a_up"], EDGES, [0.5], [1.0])
    with pytest.raises(ValueError, match="shape"):
        HistogramSums.filled(["nominal", "a_up"], EDGES, [0.5], [[1.0]] * 3)
    with pytest.raises(ValueError, match="3 and 2 bins"):
        HistogramSums.zeros(["nominal"], 3) + HistogramSums.zeros(["nominal"], 2)


def test_storage_and_pickle_keep_everything() -> None:
    sums = HistogramSums.filled(["nominal", "a_up"], EDGES, [0.1, 2.0], [[0.1, 0.2], [1e-9, 3e9]])
    kinds = {"HistogramSums": HistogramSums, "ExactSums": ExactSums}
    assert decode(encode(sums, key="k", codecs=kinds), key="k", codecs=kinds) == sums
    assert pickle.loads(pickle.dumps(sums)) == sums
