"""Training events: the same ones in the same order for any chunks, bounded in number."""

from __future__ import annotations

import numpy as np
import pytest

from intccms.engine import processor as sample
from intccms.engine.keys import CODECS
from intccms.engine.processor import TrainingTable
from intccms.execution.checkpoints import decode, encode


def tables(n: int, parts: int, seed: int = 1) -> list[TrainingTable]:
    rng = np.random.default_rng(seed)
    identity = rng.integers(0, 2**64, n, dtype=np.uint64)
    weights = rng.choice([-1.5, 0.0, 1.0, 2.5], n)
    values = rng.normal(size=(n, 3))
    split = [np.array_split(one, parts) for one in (identity, weights, values)]
    return [TrainingTable.of(*columns) for columns in zip(*split, strict=True)]


def total(several: list[TrainingTable]) -> TrainingTable:
    found = several[0]
    for one in several[1:]:
        found = found + one
    return found.ordered()


def same(one: TrainingTable, two: TrainingTable) -> None:
    for name in ("identity", "weights", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.n_seen, one.n_negative, one.n_zero) == (two.n_seen, two.n_negative, two.n_zero)
    assert one.sum_abs.value == two.sum_abs.value


def test_events_without_weight_are_counted_and_left_out() -> None:
    (table,) = tables(1000, 1)
    assert table.n_seen == 1000
    assert table.n_zero + len(table.weights) == 1000
    assert table.n_negative == np.sum(table.weights < 0) > 0
    assert table.sum_abs.value == np.abs(table.weights).sum()


def test_chunks_and_their_order_do_not_matter() -> None:
    several = tables(1000, 7)
    same(total(several), total(tables(1000, 1)))
    same(total(several[::-1]), total(several))


def test_of_many_events_the_same_sample_is_kept_in_any_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, "MAX_EVENTS", 100)
    several = tables(2000, 11)
    kept = total(several)
    assert len(kept.weights) == 100
    assert kept.n_seen == 2000
    same(total(several[::-1]), kept)
    same(total(tables(2000, 1)), kept)
    everything = np.concatenate([one.identity for one in several])
    assert kept.identity.max() == np.sort(everything)[99]


def test_a_table_is_stored_with_the_result_of_its_chunk() -> None:
    codecs = {kind.__name__: kind for kind in CODECS}
    table = total(tables(50, 2))
    back = decode(encode({"nn": table}, key="k", codecs=codecs), key="k", codecs=codecs)
    same(back["nn"], table)
