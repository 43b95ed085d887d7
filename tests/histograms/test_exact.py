from __future__ import annotations

import json
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

from intccms.histograms import ExactSums

SIZE = 7


@pytest.fixture(scope="module")
def wild() -> tuple[np.ndarray, np.ndarray]:
    """Weights of both signs over 24 orders of magnitude, and their bins (bin 3 stays empty)."""
    rng = np.random.default_rng(5)
    n = 6000
    weights = rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-12, 12, n)
    return weights, rng.choice([0, 1, 2, 4, 5, 6], n)


def rounded_truth(weights: np.ndarray, index: np.ndarray, size: int) -> list[float]:
    truth = [Fraction(0)] * size
    for weight, i in zip(weights.tolist(), index.tolist(), strict=True):
        truth[i] += Fraction(weight)
    return [float(total) for total in truth]


def test_sums_are_the_true_sums_rounded_once(wild: tuple[np.ndarray, np.ndarray]) -> None:
    weights, index = wild
    assert ExactSums.of(weights, index, SIZE).values().tolist() == rounded_truth(
        weights, index, SIZE
    )


@pytest.mark.parametrize("seed", range(12))
def test_any_chunking_and_order_gives_the_same_bits(
    wild: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    weights, index = wild
    whole = ExactSums.of(weights, index, SIZE)
    rng = np.random.default_rng(seed)
    order = rng.permutation(weights.size)
    cuts = np.sort(rng.integers(0, weights.size + 1, rng.integers(1, 40)))  # some are empty
    chunks = [ExactSums.of(weights[part], index[part], SIZE) for part in np.split(order, cuts)]
    while len(chunks) > 1:  # a random tree of additions
        left = chunks.pop(rng.integers(len(chunks)))
        right = chunks.pop(rng.integers(len(chunks)))
        chunks.append(left + right)
    assert chunks[0] == whole
    assert chunks[0].values().tobytes() == whole.values().tobytes()


def test_plain_float_sums_would_not_agree(wild: tuple[np.ndarray, np.ndarray]) -> None:
    weights, index = wild
    forward = np.bincount(index, weights=weights, minlength=SIZE)
    backward = np.bincount(index[::-1], weights=weights[::-1], minlength=SIZE)
    assert (forward != backward).any()


def test_more_rows_than_one_block_are_exact() -> None:
    rng = np.random.default_rng(2)
    weights = rng.normal(0, 1, 100_000)
    total = ExactSums.total(weights)
    assert total.value == math.fsum(weights)
    assert total == ExactSums.of(weights, np.zeros(100_000, dtype=int), 1)


@pytest.mark.parametrize(
    "numbers",
    [
        [5e-324],
        [5e-324, 2.2e-308, -5e-324],
        [2.0**1023],
        [8e307, 5e-324, -8e307],
        [2.0**19, -(2.0**39), 2.0**-1, 3 * 2.0**-21],  # on the border of two levels
        [0.1] * 10,
        [-0.0],
    ],
)
def test_the_whole_range_of_float64_is_exact(numbers: list[float]) -> None:
    assert ExactSums.total(numbers).value == float(sum(map(Fraction, numbers)))


def test_level_holds_multiples_of_its_unit(wild: tuple[np.ndarray, np.ndarray]) -> None:
    weights, index = wild
    for level, sums in ExactSums.of(weights, index, SIZE).levels.items():
        units = sums / 2.0 ** (20 * level)
        assert np.array_equal(units, np.rint(units))
        counts = np.bincount(index, minlength=SIZE)
        assert (np.abs(units) <= counts * 2.0**19).all()


def test_numbers_that_cancel_leave_no_level() -> None:
    assert ExactSums.total([1e9, -1e9]) == ExactSums.zeros(1)
    assert ExactSums.total([1e9]) + ExactSums.total([-1e9]) == ExactSums.zeros(1)


def test_nothing_sums_to_zero() -> None:
    assert ExactSums.total([]).value == 0.0
    assert ExactSums.of([], [], 3).values().tolist() == [0.0, 0.0, 0.0]
    assert ExactSums.zeros(2) + ExactSums.of([1.5], [1], 2) == ExactSums.of([1.5], [1], 2)


def test_addition_that_could_round_is_refused() -> None:
    nearly_full = ExactSums(1, {0: np.array([2.0**53 - 2])})
    full = nearly_full + ExactSums.total([1.0])
    assert full.value == 2.0**53 - 1
    with pytest.raises(OverflowError, match="too many values"):
        full + ExactSums.total([1.0])


def test_sum_beyond_float64_is_refused() -> None:
    with pytest.raises(OverflowError, match="largest float64"):
        ExactSums.of([8e307] * 3, [0] * 3, 1)
    with pytest.raises(OverflowError, match="too large"):
        ExactSums.total([1.7e308])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        ExactSums.total([1.0, bad])


def test_index_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="indices"):
        ExactSums.of([1.0], [2], 2)
    with pytest.raises(ValueError, match="indices"):
        ExactSums.of([1.0], [-1], 2)
    with pytest.raises(ValueError, match="2 values"):
        ExactSums.of([1.0, 1.0], [0], 2)
    with pytest.raises(ValueError, match="2 and of 3"):
        ExactSums.zeros(2) + ExactSums.zeros(3)


def test_storage_keeps_every_level(wild: tuple[np.ndarray, np.ndarray]) -> None:
    sums = ExactSums.of(*wild, SIZE)
    assert ExactSums.from_json(json.loads(json.dumps(sums.to_json())), SIZE) == sums
    assert pickle.loads(pickle.dumps(sums)) == sums
    empty = ExactSums.zeros(4)
    assert ExactSums.from_json(empty.to_json(), 4) == empty


def test_levels_of_another_size_are_refused(wild: tuple[np.ndarray, np.ndarray]) -> None:
    sums = ExactSums.of(*wild, SIZE)
    with pytest.raises(ValueError, match="as many numbers"):
        ExactSums(SIZE + 1, sums.levels)


def test_addition_leaves_its_operands_alone() -> None:
    one, two = ExactSums.total([1.0]), ExactSums.total([2.0])
    _ = one + two + one
    assert (one.value, two.value) == (1.0, 2.0)


def test_placed_sums_move_to_their_new_bins() -> None:
    sums = ExactSums.of([1.0, 2.5], [0, 1], 2).placed([3, 0], 4)
    assert sums.values().tolist() == [2.5, 0.0, 0.0, 1.0]
