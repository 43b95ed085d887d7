"""Sums of many weights: exact in any order, matched by name, and the same after storage."""

from __future__ import annotations

import numpy as np
import pytest

from intccms.execution.checkpoints import decode, encode
from intccms.histograms.exact import ExactSums
from intccms.histograms.sums import MemberSums, WeightSums

KINDS = {"MemberSums": MemberSums, "ExactSums": ExactSums}
N, LABELS = 900, tuple("abcde")


@pytest.fixture(scope="module")
def events() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    rows = rng.normal(1, 0.3, (N, len(LABELS))).astype("f4")
    rows[::7, 2] *= 1e9
    return rows, rng.choice([-1.0, 1.0], N) * rng.uniform(90, 110, N), rng.integers(0, 6, N)


def of(events: tuple[np.ndarray, ...], part: slice = slice(None)) -> MemberSums:
    rows, weights, bins = (one[part] for one in events)
    return MemberSums.of(LABELS, rows, weights, bins=bins, n_bins=6)


def test_each_bin_is_the_exact_sum_of_its_weights(events: tuple[np.ndarray, ...]) -> None:
    rows, weights, bins = events
    table = of(events).rounded()
    for i, label in enumerate(LABELS):
        for bin_ in range(6):
            some = bins == bin_
            expected = ExactSums.total(rows[some, i] * weights[some]).value
            assert table[label][bin_] == expected


def test_no_split_or_order_changes_a_bit(events: tuple[np.ndarray, ...]) -> None:
    whole = of(events)
    split = of(events, slice(500, None)) + of(events, slice(0, 500))
    assert (split.labels, split.sumw == whole.sumw) == (LABELS, True)
    turned = of(tuple(one[::-1] for one in events))
    assert turned.sumw == whole.sumw


def test_weights_are_matched_by_name() -> None:
    one = MemberSums.of(["x", "y"], [[1.0, 2.0]], [3.0])
    other = MemberSums.of(["y", "z"], [[10.0, 20.0]], [1.0])
    total = MemberSums.nothing() + one + other
    assert {name: bins.tolist() for name, bins in total.rounded().items()} == {
        "x": [3.0], "y": [16.0], "z": [20.0],
    }  # fmt: skip
    with pytest.raises(ValueError, match="in 1 and in 6 bins"):
        one + MemberSums.nothing(6)


def test_a_weight_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        MemberSums.of(["x"], [[np.nan]], [1.0])


def test_storage_keeps_every_bit(events: tuple[np.ndarray, ...]) -> None:
    for sums in (of(events), MemberSums.nothing(), MemberSums.of(["x"], np.ones((0, 1)), [])):
        back = decode(encode(sums, key="k", codecs=KINDS), key="k", codecs=KINDS)
        assert (back.labels, back.n_bins) == (sums.labels, sums.n_bins)
        assert back.sumw == sums.sumw
    rows, weights, _ = events
    known = WeightSums({"LHEPdfWeight": "LHA IDs 1 - 2"}, MemberSums.of(LABELS, rows, weights))
    back = WeightSums.from_text(known.to_text())
    assert back.titles == known.titles
    assert (back.sums.labels, back.sums.sumw == known.sums.sumw) == (LABELS, True)
    empty = WeightSums.from_text("")
    assert (empty.titles, empty.sums.labels, empty.to_text()) == ({}, (), "")
