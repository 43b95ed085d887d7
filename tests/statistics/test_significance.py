"""Significances agree with pyhf and with what is known by heart."""

from __future__ import annotations

import numpy as np
import pyhf
import pytest

from intccms.statistics import build_workspace, significance
from intccms.statistics.limits import Significance
from tests.statistics.conftest import SIGNAL_REGION, MakeBook, MakeConfig


@pytest.mark.parametrize("data", [[103.0, 50.0, 17.0], [103.0, 62.0, 25.0]])
def test_it_is_what_pyhf_gives_with_minuit(
    make_book: MakeBook, make_config: MakeConfig, data: list[float]
) -> None:
    book = make_book({**SIGNAL_REGION, "data": {"nominal": data}})
    workspace = build_workspace(make_config(), book, "signal")
    found = significance(workspace)
    model, observed = workspace.model_and_data()
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, np.inf)
    pyhf.set_backend("numpy", "minuit")
    try:
        p_value, expected = pyhf.infer.hypotest(
            0.0, observed, model, par_bounds=bounds, test_stat="q0", return_expected=True
        )
    finally:
        pyhf.set_backend("numpy")
    assert found.observed_p_value == pytest.approx(float(p_value), rel=1e-2)
    assert found.expected_p_value == pytest.approx(float(expected), rel=1e-2)


def test_a_p_value_of_3e_7_is_five_standard_deviations() -> None:
    found = Significance(2.866515718791933e-07, 0.15865525393145707)
    assert found.observed_sigmas == pytest.approx(5.0)
    assert found.expected_sigmas == pytest.approx(1.0)


def test_a_deficit_has_no_significance() -> None:
    assert Significance(0.9, 0.5).observed_sigmas == 0.0


def test_blinded_data_show_no_excess(make_book: MakeBook, make_config: MakeConfig) -> None:
    excess = {**SIGNAL_REGION, "data": {"nominal": [103.0, 80.0, 50.0]}}
    config = make_config(blind=["sr"])
    found = significance(build_workspace(config, make_book(excess), "signal"))
    assert found.is_blinded
    assert found.observed_sigmas == pytest.approx(0.0, abs=1e-3)
