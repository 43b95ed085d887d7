"""Rules of combination against the formulas, written out bin by bin."""

from __future__ import annotations

import numpy as np
import pytest

from intccms.histograms.theory import combined

NOMINAL = np.array([10.0, 0.0, -2.0])


def members(n: int, first: int = 0, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {str(first + i): NOMINAL + rng.normal(0, 0.1, 3) for i in range(n)}


def test_the_envelope_holds_the_nominal() -> None:
    up, down = combined("scales", NOMINAL, {"a": NOMINAL + 1, "b": NOMINAL + 0.5})
    assert up.tolist() == [1.0, 1.0, 1.0]
    assert down.tolist() == [0.0, 0.0, 0.0]


def test_a_side_of_the_shower_is_its_own_member() -> None:
    up, down = combined("shower", NOMINAL, {"up": NOMINAL * 1.1, "down": NOMINAL * 0.8})
    assert up == pytest.approx([1.0, 0.0, -0.2])
    assert down == pytest.approx([-2.0, 0.0, 0.4])


def test_replicas_are_a_standard_deviation() -> None:
    made = members(101)
    expected = np.std([made[str(i)] for i in range(1, 101)], axis=0, ddof=1)
    up, down = combined("LHA 303600-303700", NOMINAL, made)
    np.testing.assert_allclose(up, expected, rtol=1e-12)
    np.testing.assert_allclose(down, -expected, rtol=1e-12)


def test_replicas_without_their_mean_are_the_same() -> None:
    made = members(100, first=1)
    expected = np.std(list(made.values()), axis=0, ddof=1)
    up, _ = combined("LHA 260001-260100", NOMINAL, made)
    np.testing.assert_allclose(up, expected, rtol=1e-12)


def test_symmetric_hessian_adds_in_quadrature_with_the_strong_coupling() -> None:
    made = members(33)
    squared = sum((made[str(i)] - made["0"]) ** 2 for i in range(1, 31))
    coupling = (made["32"] - made["31"]) / 2
    up, down = combined("LHA 91400-91432", NOMINAL, made)
    np.testing.assert_allclose(up, np.sqrt(squared + coupling**2), rtol=1e-12)
    np.testing.assert_allclose(down, -up, rtol=1e-12)


def test_hessian_has_two_sides_and_its_own_confidence_level() -> None:
    made = members(57)
    up_squared, down_squared = np.zeros(3), np.zeros(3)
    for i in range(1, 57, 2):
        one, other = made[str(i)] - made["0"], made[str(i + 1)] - made["0"]
        up_squared += np.maximum(np.maximum(one, other), 0) ** 2
        down_squared += np.maximum(np.maximum(-one, -other), 0) ** 2
    up, down = combined("LHA 13000-13056", NOMINAL, made)
    np.testing.assert_allclose(up, np.sqrt(up_squared) / 1.6448536269514722, rtol=1e-12)
    np.testing.assert_allclose(down, -np.sqrt(down_squared) / 1.6448536269514722, rtol=1e-12)
