"""Weights of a dataset in few numbers: the same for any chunks, and right by numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from intccms.execution.checkpoints import decode, encode
from intccms.histograms.exact import ExactSums, WeightSpectrum

NUMBERS = np.random.default_rng(5).lognormal(0.0, 2.0, 5000) * np.tile([1.0, 1.0, -1.0, 1.0], 1250)


def test_chunks_in_any_order_give_the_same_bits() -> None:
    whole = WeightSpectrum.of(NUMBERS)
    parts = [WeightSpectrum.of(part) for part in np.split(NUMBERS, [1, 700, 3000])]
    for order in (parts, parts[::-1]):
        total = sum(order, WeightSpectrum())
        assert total.report(10.0) == whole.report(10.0)
        assert total.to_json() == whole.to_json()


@pytest.mark.parametrize("fraction", [0.5, 0.999, 1.0])
def test_a_quantile_is_rounded_up_by_a_quarter_at_most(fraction: float) -> None:
    found = WeightSpectrum.of(NUMBERS).quantile(fraction)
    exact = np.quantile(np.abs(NUMBERS), fraction, method="inverted_cdf")
    assert exact <= found <= 1.25 * exact


def test_effective_number_and_largest_share_are_those_of_the_formula() -> None:
    report = WeightSpectrum.of(NUMBERS).report(10.0)
    assert report.n_effective == pytest.approx(NUMBERS.sum() ** 2 / (NUMBERS**2).sum())
    assert report.largest == np.abs(NUMBERS).max()
    assert report.largest_share == pytest.approx(report.largest / NUMBERS.sum())


@pytest.mark.parametrize(("factor", "n_above"), [(10.0, 2), (1000.0, 1), (1e7, 0)])
def test_weights_far_above_the_others_are_counted(factor: float, n_above: int) -> None:
    weights = np.ones(5000)
    weights[[3, 4]] = 1e6, -50.0
    report = WeightSpectrum.of(weights).report(factor)
    assert (report.n_above, report.quantile) == (n_above, pytest.approx(1.25))


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(1000),
        np.where(np.arange(1000) % 3, 7.0, -7.0),
        np.random.default_rng(1).lognormal(0.0, 0.5, 1000),
        np.zeros(1000),
        np.ones(1),
        [],
    ],
)
def test_usual_weights_are_not_odd(weights: object) -> None:
    assert not WeightSpectrum.of(weights).report(10.0).is_odd  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [20, 200, 100_000])
def test_one_absurd_weight_is_odd_in_a_sample_of_any_size(n: int) -> None:
    weights = np.ones(n)
    weights[-1] = 1e6
    assert WeightSpectrum.of(weights).report(10.0).is_odd


def test_it_comes_back_from_json_and_checkpoints() -> None:
    spectrum = WeightSpectrum.of([0.0, -1.5, 1e-300, 1e90], n_clipped=2)
    back = WeightSpectrum.from_json(json.loads(json.dumps(spectrum.to_json())))
    kinds = {"WeightSpectrum": WeightSpectrum, "ExactSums": ExactSums}
    kept = decode(encode(spectrum, key="k", codecs=kinds), key="k", codecs=kinds)
    for one in (back, kept):
        assert (one + spectrum).report(2.0) == (spectrum + spectrum).report(2.0)
    assert WeightSpectrum.from_json(WeightSpectrum().to_json()).n_events == 0
