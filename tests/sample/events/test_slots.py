from __future__ import annotations

import numpy as np

from intccms.sample.events.slots import Batch, Slots

SLOTS = Slots(
    np.array([[True, True], [False, True], [False, False]]),
    {
        "pt": np.array([[1.0, 2.0], [9.0, 3.0], [0.0, 0.0]]),
        "id": np.array([[1, 2], [3, 4], [5, 6]]),
    },
)


def test_candidates_are_ordered_and_empty_ones_come_last() -> None:
    ordered = SLOTS.by_pt()
    assert ordered["id"].tolist() == [[2, 1], [4, 3], [5, 6]]
    assert ordered.valid.tolist() == [[True, True], [True, False], [False, False]]


def test_a_collection_holds_what_exists() -> None:
    jagged = SLOTS.jagged()
    assert jagged.counts.tolist() == [2, 1, 0]
    assert jagged.columns["id"].tolist() == [1, 2, 4]


def test_slots_of_different_widths_are_stacked() -> None:
    narrow = Slots(np.array([[True]]), {"pt": np.array([[7.0]]), "id": np.array([[7]])})
    both = Slots.stacked([narrow, SLOTS])
    assert both.valid.tolist() == [[True, False], *SLOTS.valid.tolist()]
    assert both.jagged().columns["id"].tolist() == [7, 1, 2, 4]


def test_a_batch_takes_and_stacks_all_that_it_holds() -> None:
    batch = Batch({"jets": SLOTS}, {"pair_mass": np.array([1.0, 2.0, 3.0])})
    last, first = batch.taken(np.array([2])), batch.taken(np.array([True, False, False]))
    both = Batch.stacked([last, first])
    assert len(both) == 2
    assert both.values["pair_mass"].tolist() == [3.0, 1.0]
    assert both["jets"]["id"].tolist() == [[5, 6], [1, 2]]


def test_the_nearest_target_is_found_around_the_back() -> None:
    one = Slots(np.array([[True]]), {"eta": np.zeros((1, 1)), "phi": np.full((1, 1), 3.1)})
    targets = Slots(
        np.array([[True, True, False]]),
        {"eta": np.zeros((1, 3)), "phi": np.array([[2.0, -3.1, 3.1]])},
    )
    distance, index = one.nearest(targets)
    assert index.tolist() == [[1]]
    np.testing.assert_allclose(distance, 2 * np.pi - 6.2)


def test_joining_keeps_the_columns_that_all_have() -> None:
    other = Slots(np.array([[True], [True], [False]]), {"pt": np.ones((3, 1))})
    joined = SLOTS.joined(other)
    assert list(joined.columns) == ["pt"]
    assert joined.valid.sum(axis=1).tolist() == [3, 2, 0]
