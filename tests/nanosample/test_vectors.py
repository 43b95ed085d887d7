from __future__ import annotations

import numpy as np

from nanosample import vectors as vec
from nanosample.vectors import Batch, Slots


def test_polar_coordinates_are_read_back() -> None:
    given = [np.array([30.0, 200.0]), np.array([-1.5, 2.0]), np.array([3.0, -0.5])]
    p4 = vec.from_polar(*given, 10.0)
    np.testing.assert_allclose([vec.pt(p4), vec.eta(p4), vec.phi(p4)], given)
    np.testing.assert_allclose(vec.mass(p4), 10.0)


def test_rapidity_of_a_vector_is_what_was_asked() -> None:
    p4 = vec.from_rapidity(np.array([80.0]), np.array([1.2]), np.array([0.3]), 172.5)
    np.testing.assert_allclose(0.5 * np.log((p4[3] + p4[2]) / (p4[3] - p4[2])), 1.2)
    np.testing.assert_allclose(vec.mass(p4), 172.5)


def test_a_decay_conserves_momentum_and_gives_the_asked_masses() -> None:
    rng = np.random.default_rng(1)
    parent = vec.from_polar(np.full(500, 700.0), np.full(500, 0.8), np.full(500, 1.0), 172.5)
    bottom, boson = vec.two_body(parent, 4.7, 80.4, rng)
    np.testing.assert_allclose(bottom + boson, parent, atol=1e-6)
    np.testing.assert_allclose(vec.mass(bottom), 4.7, atol=1e-3)
    np.testing.assert_allclose(vec.mass(boson), 80.4, atol=1e-3)


def test_a_decay_at_rest_is_isotropic() -> None:
    rng = np.random.default_rng(2)
    parent = np.tile([[0.0], [0.0], [0.0], [80.4]], 20_000)
    one, _ = vec.two_body(parent, 0.0, 0.0, rng)
    np.testing.assert_allclose(one[3], 40.2)
    np.testing.assert_allclose((one[:3] / 40.2).mean(axis=1), 0, atol=0.02)
    np.testing.assert_allclose(((one[:3] / 40.2) ** 2).mean(axis=1), 1 / 3, atol=0.01)


def test_distance_goes_the_short_way_around() -> None:
    one = vec.from_polar(np.array([10.0]), np.array([0.0]), np.array([3.1]), 0.0)
    other = vec.from_polar(np.array([10.0]), np.array([0.0]), np.array([-3.1]), 0.0)
    np.testing.assert_allclose(vec.delta_r(one, other), 2 * np.pi - 6.2)


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
    assert SLOTS.flat("id").tolist() == [1, 2, 4]


def test_slots_of_different_widths_are_stacked() -> None:
    narrow = Slots(np.array([[True]]), {"pt": np.array([[7.0]]), "id": np.array([[7]])})
    both = Slots.stacked([narrow, SLOTS])
    assert both.valid.tolist() == [[True, False], *SLOTS.valid.tolist()]
    assert both.flat("id").tolist() == [7, 1, 2, 4]


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
