"""Limits and p-values against the mass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from intccms.plots.statistics import limits_by_mass, p_values_by_mass
from intccms.statistics import Family, LimitOutcome, Significance


def result(mass: float, limit: float, cross_section: float) -> Any:
    bands = tuple(limit * factor for factor in (0.5, 0.7, 1.0, 1.5, 2.0))
    empty = np.asarray([])
    return SimpleNamespace(
        mass_gev=mass,
        cross_section_pb=cross_section,
        limits=LimitOutcome("z", 0.95, 1.2 * limit, bands, empty, empty, empty, False),
        significance=Significance(0.02, 1e-4),
    )


@pytest.fixture
def results() -> Family:
    points = (result(1000.0, 0.1, 10.0), result(2000.0, 0.2, 0.5), result(3000.0, 0.8, 0.05))
    return Family("", r"$\Gamma/m$ = 10%", points)


def test_limits_are_drawn_in_pb_in_the_order_of_the_mass(results: Family) -> None:
    _, ax = limits_by_mass(results)
    lines = {line.get_label(): line for line in ax.get_lines()}
    np.testing.assert_allclose(lines["Median expected"].get_xdata(), [1000, 2000, 3000])
    np.testing.assert_allclose(lines["Median expected"].get_ydata(), [1.0, 0.1, 0.04])
    np.testing.assert_allclose(lines["Observed"].get_ydata(), [1.2, 0.12, 0.048])
    assert ax.get_ylabel().endswith("[pb]")
    assert ax.get_legend().get_title().get_text().endswith("= 10%")


def test_p_values_are_drawn_with_lines_of_whole_sigmas(results: Family) -> None:
    _, ax = p_values_by_mass(results)
    lines = {line.get_label(): line for line in ax.get_lines()}
    np.testing.assert_allclose(lines["Observed"].get_ydata(), [0.02] * 3)
    assert [text.get_text() for text in ax.texts if "sigma" in text.get_text()][-1] == r"4$\sigma$"
