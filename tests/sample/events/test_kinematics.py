from __future__ import annotations

import numpy as np

from intccms.sample.events import kinematics as kin


def test_polar_coordinates_are_read_back() -> None:
    given = [np.array([30.0, 200.0]), np.array([-1.5, 2.0]), np.array([3.0, -0.5])]
    p4 = kin.from_polar(*given, 10.0)
    np.testing.assert_allclose([kin.pt(p4), kin.eta(p4), kin.phi(p4)], given)
    np.testing.assert_allclose(kin.mass(p4), 10.0)


def test_rapidity_of_a_vector_is_what_was_asked() -> None:
    p4 = kin.from_rapidity(np.array([80.0]), np.array([1.2]), np.array([0.3]), 172.5)
    np.testing.assert_allclose(0.5 * np.log((p4[3] + p4[2]) / (p4[3] - p4[2])), 1.2)
    np.testing.assert_allclose(kin.mass(p4), 172.5)


def test_a_decay_conserves_momentum_and_gives_the_asked_masses() -> None:
    rng = np.random.default_rng(1)
    parent = kin.from_polar(np.full(500, 700.0), np.full(500, 0.8), np.full(500, 1.0), 172.5)
    bottom, boson = kin.two_body(parent, 4.7, 80.4, rng)
    np.testing.assert_allclose(bottom + boson, parent, atol=1e-6)
    np.testing.assert_allclose(kin.mass(bottom), 4.7, atol=1e-3)
    np.testing.assert_allclose(kin.mass(boson), 80.4, atol=1e-3)


def test_a_decay_at_rest_is_isotropic() -> None:
    rng = np.random.default_rng(2)
    parent = np.tile([[0.0], [0.0], [0.0], [80.4]], 20_000)
    one, _ = kin.two_body(parent, 0.0, 0.0, rng)
    np.testing.assert_allclose(one[3], 40.2)
    np.testing.assert_allclose((one[:3] / 40.2).mean(axis=1), 0, atol=0.02)
    np.testing.assert_allclose(((one[:3] / 40.2) ** 2).mean(axis=1), 1 / 3, atol=0.01)


def test_distance_goes_the_short_way_around() -> None:
    one = kin.from_polar(np.array([10.0]), np.array([0.0]), np.array([3.1]), 0.0)
    other = kin.from_polar(np.array([10.0]), np.array([0.0]), np.array([-3.1]), 0.0)
    np.testing.assert_allclose(kin.delta_r(one, other), 2 * np.pi - 6.2)
