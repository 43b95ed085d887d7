from __future__ import annotations

import numpy as np
import pyhf
import pytest

from intccms.errors import FitError
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import Workspace, build_workspace, build_workspaces, infer, limits
from intccms.statistics.optimizer import NewtonOptimizer, pyhf_backend
from tests.statistics.conftest import SIGNAL_REGION, MakeBook, MakeConfig


@pytest.fixture
def workspace(config: Config, book: Book) -> Workspace:
    return build_workspace(config, book, "signal")


def test_cls_of_pyhf_alone_are_5_percent_at_the_limits(workspace: Workspace) -> None:
    found = limits(workspace)
    assert found.confidence_level == 0.95
    assert not found.is_blinded
    model, data = workspace.model_and_data()
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, 20.0)
    with pyhf_backend(pyhf.optimize.minuit_optimizer(tolerance=1e-3)):
        for which, limit in enumerate([found.observed, *found.expected]):
            observed, expected = pyhf.infer.hypotest(
                limit, data, model, return_expected_set=True, par_bounds=bounds
            )
            cls = [float(observed), *map(float, expected)]
            assert cls[which] == pytest.approx(0.05, rel=5e-3)
            (point,) = np.flatnonzero(found.mu == limit)
            own = [found.observed_cls[point], *found.expected_cls[point]]
            assert own == pytest.approx(cls, rel=5e-3)


def test_the_scan_runs_from_near_0_past_all_limits(workspace: Workspace) -> None:
    found = limits(workspace)
    assert (np.diff(found.mu) > 0).all()
    assert found.mu[0] < 0.1 * found.observed
    assert found.mu[-1] > max(found.observed, *found.expected)
    assert found.expected_cls.shape == (found.mu.size, 5)
    assert list(found.expected) == sorted(found.expected)


def test_a_lower_confidence_level_excludes_more(workspace: Workspace) -> None:
    assert limits(workspace, confidence_level=0.9).observed < limits(workspace).observed


@pytest.mark.parametrize("scale", [1e-4, 2.0])
def test_the_limit_scales_with_the_signal(
    config: Config, make_book: MakeBook, scale: float
) -> None:
    def median(factor: float) -> float:
        signal = {"nominal": [factor, 6 * factor, 3 * factor]}
        book = make_book({**SIGNAL_REGION, "signal": signal})
        return limits(build_workspace(config, book, "signal")).expected[2]

    # The statistical error of the signal itself changes the limit a little.
    assert median(scale) * scale == pytest.approx(median(1.0), rel=0.03)


def test_a_blinded_limit_is_the_expected_one(make_config: MakeConfig, book: Book) -> None:
    found = limits(build_workspace(make_config(blind=["sr", "cr"]), book, "signal"))
    assert found.is_blinded
    assert found.observed == pytest.approx(found.expected[2], rel=2e-3)


def test_without_sensitivity_there_is_no_limit(config: Config, make_book: MakeBook) -> None:
    signal = {"nominal": [1e-12, 6e-12, 3e-12]}
    book = make_book({**SIGNAL_REGION, "signal": signal})
    with pytest.raises(FitError, match="limit on signal failed: no sensitivity"):
        limits(build_workspace(config, book, "signal"))


def test_limits_against_the_mass_in_pb_are_those_of_a_scan_with_pyhf(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    masses = {"zprime1000": 1000.0, "zprime2000": 2000.0}
    scales = {"zprime1000": 1.0, "zprime2000": 3.0}
    signals = {
        name: {"nominal": [scale * one for one in (1.0, 6.0, 3.0)]}
        for name, scale in scales.items()
    }
    contents = signals | {name: SIGNAL_REGION[name] for name in ("ttbar", "wjets", "data")}
    config = make_config(tuple(contents), masses_gev=masses)
    for workspace in build_workspaces(config, make_book(contents)):
        result = infer(workspace, n_ranked=1, cross_section_pb=0.2)
        model, data = workspace.model_and_data()
        scan = np.linspace(0.5, 1.3, 9) * result.limits.observed
        bounds = model.config.suggested_bounds()
        bounds[model.config.poi_index] = (0.0, 20.0)
        with pyhf_backend(pyhf.optimize.minuit_optimizer(tolerance=1e-3)):
            observed, _ = pyhf.infer.intervals.upper_limits.linear_grid_scan(
                data, model, scan, par_bounds=bounds
            )
        in_pb = result.summary()["limits"]["observed_pb"]
        assert in_pb == pytest.approx(0.2 * float(observed), rel=0.02)


def test_the_answer_does_not_depend_on_what_was_asked_before(workspace: Workspace) -> None:
    first = limits(workspace)
    limits(workspace, confidence_level=0.6)
    infer(workspace, n_ranked=1)
    again = limits(workspace)
    assert (again.observed, again.expected) == (first.observed, first.expected)
    assert np.array_equal(again.mu, first.mu)


def test_a_fit_does_not_depend_on_those_before(workspace: Workspace) -> None:
    model, data = workspace.model_and_data()
    alone, after = NewtonOptimizer(), NewtonOptimizer()
    values = []
    for optimizer, before in ((alone, ()), (after, (9.0, 3.0, 0.2))):
        with pyhf_backend(optimizer):
            for mu in before:
                pyhf.infer.mle.fixed_poi_fit(mu, data, model)
            values.append(pyhf.infer.mle.fixed_poi_fit(1.0, data, model))
    assert np.array_equal(*values)
