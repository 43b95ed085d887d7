from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from example_opendata.configs.kinematics import FourVector, delta_r, flat, has_any, leading


def one(pt: float, eta: float, phi: float, mass: float) -> FourVector:
    return FourVector.from_polar(*(np.array([value]) for value in (pt, eta, phi, mass)))


def test_back_to_back_massless_objects_weigh_the_sum_of_their_momenta() -> None:
    total = one(50, 0, 0, 0) + one(50, 0, np.pi, 0)
    assert total.mass == pytest.approx([100])


def test_collinear_massless_objects_weigh_nothing() -> None:
    total = one(300, 1.5, 2.0, 0) + one(20, 1.5, 2.0, 0)
    assert total.mass == pytest.approx([0], abs=1e-3)


def test_a_mass_comes_back() -> None:
    assert one(400, -2.1, 0.3, 173).mass == pytest.approx([173])


def test_pseudorapidity_gives_the_longitudinal_momentum() -> None:
    # asinh(4/3): pz = 40 for pt = 30, hence p = 50
    p4 = one(30, np.arcsinh(4 / 3), np.pi / 2, 0)
    assert [p4.px[0], p4.py[0], p4.pz[0], p4.energy[0]] == pytest.approx([0, 30, 40, 50])


def test_index_picks_objects() -> None:
    p4 = FourVector(*(np.arange(4.0) for _ in range(4)))
    assert p4[np.array([3, 1, 1])].pz.tolist() == [3, 1, 1]


def test_leading_and_flat_columns_are_float64_and_complete() -> None:
    column = ak.Array([[3, 2], [], [7]])
    column = ak.values_astype(column, np.float32)
    assert leading(column).tolist() == [3, 0, 7]
    assert flat(column).tolist() == [3, 2, 7]
    assert leading(column).dtype == flat(column).dtype == np.float64
    assert has_any(ak.zip({"pt": column})).tolist() == [True, False, True]


def test_distance_goes_the_short_way_around() -> None:
    zero = np.zeros(1)
    distance = delta_r(np.array([0.3]), np.array([3.1]), zero, np.array([-3.1]))
    assert distance == pytest.approx([np.hypot(0.3, 2 * np.pi - 6.2)])
