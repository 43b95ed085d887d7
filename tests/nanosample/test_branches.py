from __future__ import annotations

import numpy as np
import pytest

from nanosample import branches


def test_levels_have_the_asked_moments() -> None:
    assert branches.levels("normal", 2, 0.5).mean() == pytest.approx(2, abs=0.01)
    assert branches.levels("normal", 2, 0.5).std() == pytest.approx(0.5, abs=0.03)
    assert branches.levels("exponential", 3).mean() == pytest.approx(3, rel=0.1)
    assert (branches.levels("uniform", 0, 1) < 0.5).mean() == 0.5


def test_choices_have_the_asked_shares_and_type() -> None:
    levels = branches.levels("uint8", {1: 0.75, 7: 0.25})
    assert levels.dtype == np.uint8
    assert (levels == 7).mean() == 0.25


def test_rounding_keeps_what_it_says() -> None:
    values = np.random.default_rng(1).uniform(-500, 500, 1000).astype(np.float32)
    close = branches.rounded(values, 10)
    assert close.dtype == np.float32
    np.testing.assert_allclose(close, values, rtol=2**-11)
    assert (close.view(np.uint32) & 0x1FFF).max() == 0
