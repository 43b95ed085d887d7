"""Signals are joined to curves by what their names say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from intccms.statistics import families


def signals(names: dict[str, float | None]) -> list[Any]:
    return [SimpleNamespace(signal=name, mass_gev=mass) for name, mass in names.items()]


def found(names: dict[str, float | None]) -> dict[str, list[float]]:
    return {one.name: [r.mass_gev for r in one.results] for one in families(signals(names))}


def test_one_width_is_one_curve_in_the_order_of_the_mass() -> None:
    names = {"zprime_m2000_w200": 2000.0, "zprime_m400_w40": 400.0, "zprime_m1000_w100": 1000.0}
    assert found(names) == {"": [400.0, 1000.0, 2000.0]}


def test_each_relative_width_is_a_curve() -> None:
    names = {
        f"ZPrimeToTT_M{mass}_W{mass * percent // 100}": float(mass)
        for mass in (1000, 2000, 3000)
        for percent in (1, 10, 30)
    }
    curves = families(signals(names))
    assert [one.label for one in curves] == [rf"$\Gamma/m$ = {n}%" for n in (1, 10, 30)]
    assert [one.name for one in curves][1] == "ZPrimeToTT_M_W0p1_m"
    assert all([r.mass_gev for r in one.results] == [1000, 2000, 3000] for one in curves)


def test_models_are_not_joined() -> None:
    names = {"zprime1000": 1000.0, "zprime2000": 2000.0, "gkk1500": 1500.0, "gkk2500": 2500.0}
    assert found(names) == {"zprime": [1000.0, 2000.0], "gkk": [1500.0, 2500.0]}


@pytest.mark.parametrize("names", [{"signal_a": 1000.0, "signal_b": 2000.0}, {"signal": 500.0}])
def test_names_without_the_mass_are_one_curve(names: dict[str, float | None]) -> None:
    assert list(found(names)) == [""]


def test_two_signals_of_one_mass_are_not_one_curve() -> None:
    assert len(found({"narrow": 1000.0, "wide": 1000.0})) == 2


def test_signals_without_a_mass_are_in_none() -> None:
    assert found({"a": None, "b": 1000.0}) == {"": [1000.0]}
    assert found({"a": None}) == {}
