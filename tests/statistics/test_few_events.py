"""No or few events, inputs that are empty: answers, and one clear line where there is none."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from intccms.errors import FitError
from intccms.statistics import Workspace, fit, infer, limits, significance, write
from tests.statistics.counting import counting, rate, shape


@pytest.mark.parametrize("background", [0.05, 0.5, 3.0])
def test_without_events_the_strength_ends_where_nothing_is_expected(background: float) -> None:
    outcome = fit(counting([0.0], [background]))
    assert outcome.mu == pytest.approx(-background)  # the expectation stays positive
    down, up = outcome.mu_errors
    assert math.isnan(down)  # the range ends there
    assert up == pytest.approx(0.5, rel=1e-3)  # -2 ln L = 2 (mu + b), 1 above its minimum
    assert outcome.mu_error == up
    assert any("is at the end of its range" in note for note in outcome.notes)


def test_errors_from_a_scan_are_asymmetric_where_hesse_would_leave_the_range() -> None:
    outcome = fit(counting([1.0], [0.5]))  # n = 1: -2 ln L = 2 (nu - ln nu), minimum 2 at nu = 1
    assert outcome.mu == pytest.approx(0.5, abs=1e-3)
    down, up = outcome.mu_errors
    assert outcome.mu_error == pytest.approx((down + up) / 2)
    for nu in (1 - down, 1 + up):
        assert 2 * (nu - math.log(nu)) - 2 == pytest.approx(1.0, abs=5e-3)


def test_nothing_observed_takes_nothing_with_it(tmp_path: Path) -> None:
    result = infer(counting([0.0, 0.0], [0.5, 0.2], [1.0, 1.0], of_background=[rate("xsec", 1.2)]))
    assert result.failures == ()
    files = {path.name for path in write([result], tmp_path)}
    assert {"fit.json", "limits.json", "significance.json", "signal.txt"} <= files
    found = json.loads((tmp_path / "fit.json").read_text())["signal"]
    assert found["signal_strength_error_down"] is None
    assert found["parameters"]["signal_strength"]["error_up"] > 0
    assert result.significance is not None
    assert result.significance.observed_sigmas == pytest.approx(0.0, abs=1e-5)


def test_an_asymptotic_limit_with_few_events_is_marked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        few = limits(counting([0.0], [0.5]))
    assert few.observed == pytest.approx(2.21, abs=0.01)  # 3.00 is right
    assert "asymptotic limits and p-values are not valid with 0.5 expected" in few.notes[0]
    assert "asymptotic" in caplog.text
    assert limits(counting([100.0], [100.0])).notes == ()


def test_a_limit_without_any_background_to_speak_of_is_refused() -> None:
    bins = [1e-3, 1e-3, 50.0]
    with pytest.raises(FitError, match="asymptotic formulas say nothing with 0.002 expected"):
        limits(counting(bins, bins, [300.0, 500.0, 400.0]))


def test_limits_that_are_not_found_are_named_and_the_others_kept(tmp_path: Path) -> None:
    # At minus two sigma the signal is gone: no strength has a -2 ln L above 4.
    signal = [10.0]
    faint = counting([100.0], [100.0], signal, of_signal=[shape("efficiency", signal, 1.5, 0.5)])
    result = infer(faint)
    found = result.limits
    assert found is not None
    assert np.isfinite([found.observed, *found.expected[:3]]).all()
    assert found.expected[3:] == (math.inf, math.inf)
    assert found.notes[0].startswith("expected +1 sigma limit: > 1e+09")
    assert result.fit is not None
    write([result], tmp_path)
    written = json.loads((tmp_path / "limits.json").read_text())["signal"]
    assert written["expected_band"]["2"] is None
    assert written["expected"] == found.expected[2]


def test_one_part_that_fails_stops_no_other(tmp_path: Path) -> None:
    refused = counting([0.0], [1e-3], [5.0])
    result = infer(refused)
    assert result.limits is None
    assert result.fit is not None
    assert result.significance is not None
    assert result.failures == (result.failures[0],)
    assert result.failures[0].startswith("limit on signal failed: asymptotic formulas")
    assert "limits" not in result.summary()
    write([result], tmp_path)
    assert json.loads((tmp_path / "limits.json").read_text()) == {}
    assert (tmp_path / "datacards" / "signal.txt").exists()


def test_a_source_that_moves_nothing_is_as_wide_as_before() -> None:
    idle = counting([10.0], [10.0], of_background=[rate("idle", 1.0)])
    pull, constraint = fit(idle).pulls["idle"]
    assert (pull, constraint) == (pytest.approx(0.0, abs=1e-6), pytest.approx(1.0, abs=1e-6))


def test_a_factor_without_events_has_no_error_and_is_named() -> None:
    free = {"name": "scale", "type": "normfactor", "data": None}
    idle = counting([10.0, 5.0], [10.0, 5.0], [1.0, 2.0])
    sample = {"name": "empty", "data": [0.0, 0.0], "modifiers": [free]}
    idle.spec["channels"][0]["samples"].append(sample)
    result = infer(idle)
    assert result.failures == ()
    assert result.fit is not None
    assert result.fit.mu == pytest.approx(0.0, abs=1e-3)
    assert "no sensitivity to scale: its error is not known" in result.fit.notes
    assert np.isfinite(result.fit.postfit[0].errors).all()


@pytest.mark.parametrize(
    "workspace",
    [
        counting([math.nan], [10.0]),
        counting([1.0], [math.nan]),
        counting([5.0], [5.0], [0.0]),
        counting([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    ],
    ids=["data not a number", "weights not a number", "no signal", "nothing"],
)
def test_what_cannot_be_fitted_ends_with_a_line(workspace: Workspace) -> None:
    for function in (infer, fit, limits):
        with pytest.raises(FitError) as caught:
            function(workspace)
        assert "\n" not in str(caught.value)


def test_300_sources_are_fitted() -> None:
    random = np.random.default_rng(3)
    background = np.asarray([100.0, 60.0, 30.0])
    sources = [
        {
            "name": f"s{index}",
            "type": "histosys",
            "data": {
                "hi_data": list(background * (1 + change)),
                "lo_data": list(background * (1 - change)),
            },
        }
        for index, change in enumerate(random.normal(0.0, 0.01, (300, 3)))
    ]
    data, signal = [104.0, 57.0, 33.0], [1.0, 2.0, 5.0]
    many = counting(data, background.tolist(), signal, of_background=sources)
    outcome = fit(many)
    assert len(outcome.pulls) == 300
    assert outcome.scanned == {}
    # Each is nearly as wide as before; together they are the covariance of the bins.
    changes = np.asarray([s["data"]["hi_data"] for s in sources]) - background
    covariance = changes.T @ changes + np.diag(outcome.postfit[0].total)
    expected = (signal @ np.linalg.solve(covariance, signal)) ** -0.5
    assert outcome.mu_error == pytest.approx(expected, rel=0.05)


def test_a_deficit_has_a_p_value_of_a_half() -> None:
    assert significance(counting([0.0], [3.0])).observed_p_value == pytest.approx(0.5)
