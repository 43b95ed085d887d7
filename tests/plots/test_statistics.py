from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cabinetry.fit import FitResults, RankingResults
from matplotlib.axes import Axes

from intccms.plots.statistics import (
    _with_error,
    cls_scan,
    correlations,
    fitted,
    goodness_of_fit,
    impacts,
    n_pull_pages,
    pulls,
)
from intccms.statistics import POI, FitOutcome, LimitOutcome, Prediction

LABELS = ["jes", "pileup", POI, "staterror_sr[0]"]


@pytest.fixture
def prediction() -> Prediction:
    return Prediction(
        channel="sr",
        label="$m$ [GeV]",
        edges=np.asarray([0.0, 100.0, 200.0]),
        samples=("signal", "ttbar", "wjets"),
        yields=np.asarray([[1.0, 4.0], [30.0, 10.0], [8.0, 2.0]]),
        errors=np.asarray([5.0, 3.0]),
        observed=np.asarray([41.0, 14.0]),
        is_postfit=True,
    )


@pytest.fixture
def outcome(prediction: Prediction) -> FitOutcome:
    matrix = np.eye(4)
    matrix[0, 2] = matrix[2, 0] = -0.4
    matrix[0, 3] = matrix[3, 0] = 0.2
    results = FitResults(
        np.asarray([0.5, -0.2, 1.2, 0.98]), np.asarray([0.8, 1.0, 0.4, 0.05]), LABELS, matrix, 3.0
    )
    found = {"jes": (0.5, 0.8), "pileup": (-0.2, 1.0), "staterror_sr[0]": (-0.4, 1.0)}
    return FitOutcome("signal", POI, results, found, (prediction,), (prediction,), 2.0, 2, False)


@pytest.fixture
def ranking() -> RankingResults:
    columns = [np.asarray(one) for one in ([0.2, -0.1], [-0.2, 0.1], [0.15, -0.1], [-0.15, 0.1])]
    errors = np.asarray([0.8, 0.05])
    return RankingResults(np.asarray([0.5, 0.98]), errors, ["jes", "staterror_sr[0]"], *columns)


@pytest.fixture
def limits() -> LimitOutcome:
    mu = np.asarray([0.5, 1.0, 2.0])
    cls = np.asarray([0.5, 0.2, 0.02])
    bands = cls[:, None] * np.asarray([0.3, 0.6, 1.0, 1.5, 1.9])
    return LimitOutcome("signal", 0.95, 1.6, (0.7, 1.0, 1.5, 1.7, 1.9), mu, cls, bands, False)


def row_names(ax: Axes) -> list[str]:
    """Texts of the rows from top to bottom."""
    return [text.get_text() for text in ax.get_yticklabels()]


def legend_texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_a_fitted_channel_stacks_the_signal_on_top(prediction: Prediction) -> None:
    _, (top, _) = fitted(prediction)
    assert {"Data", "ttbar", "wjets", "signal"} <= set(legend_texts(top))
    heights = sorted(float(np.max(patch.get_data().values)) for patch in stacked(top))
    assert heights[-2:] == [39.0, 44.0]  # all samples, and the band above them
    legend = top.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "sr, post-fit"


def stacked(ax: Axes) -> list:
    return [patch for patch in ax.patches if hasattr(patch, "get_data")]


def test_blinded_bins_are_not_drawn(prediction: Prediction) -> None:
    hidden = dataclasses.replace(prediction, observed=np.asarray([41.0, np.nan]))
    _, (top, _) = fitted(hidden)
    points = [one.get_children()[0] for one in top.containers if hasattr(one, "has_yerr")]
    assert [len(one.get_xdata()) for one in points] == [1]
    assert "Data blinded" in legend_texts(top)


def test_pulls_show_systematics_and_no_bins(outcome: FitOutcome) -> None:
    _, ax = pulls(outcome)
    assert row_names(ax) == ["jes", "pileup"]
    points = ax.containers[0].get_children()[0]
    assert list(points.get_xdata()) == [0.5, -0.2]
    assert list(points.get_ydata()) == [1, 0]


def test_the_most_correlated_parameters_are_shown_with_the_strength(outcome: FitOutcome) -> None:
    _, ax = correlations(outcome, n_parameters=3)
    assert row_names(ax) == ["jes", r"Signal strength $\mu$", "MC stat. sr bin 1"]
    assert {text.get_text() for text in ax.texts} >= {"100", "-40", "20"}


def test_impacts_stand_beside_the_pulls(ranking: RankingResults, outcome: FitOutcome) -> None:
    _, (left, right) = impacts(ranking, outcome)
    assert row_names(left) == ["jes", "MC stat. sr bin 1"]
    widths = [[bar.get_width() for bar in bars] for bars in right.containers]
    assert widths == [[0.15, -0.1], [-0.15, 0.1], [0.2, -0.1], [-0.2, 0.1]]
    assert left.get_ylim() == right.get_ylim()
    assert right.get_xlim() == pytest.approx((-0.23, 0.23))
    assert r"1.20 \pm 0.40" in right.get_title(loc="right")
    assert [text.split()[0] for text in legend_texts(right)] == ["Post-fit"] * 2 + ["Pre-fit"] * 2


def test_bands_of_pulls_lie_side_by_side_behind_the_points(outcome: FitOutcome) -> None:
    _, ax = pulls(outcome)
    spans = [(one.get_x(), one.get_x() + one.get_width(), one) for one in ax.patches]
    assert [(low, high) for low, high, _ in spans] == [(-2, -1), (-1, 1), (1, 2)]
    inner, outer = spans[1][2], spans[0][2]
    assert inner.get_facecolor() != outer.get_facecolor()
    assert all(one.get_alpha() is None and one.get_zorder() == 0 for *_, one in spans)
    assert ax.containers[0].get_children()[0].get_zorder() > 1


def test_cls_start_at_1_and_the_limits_are_named(limits: LimitOutcome) -> None:
    _, ax = cls_scan(limits)
    expected, observed = ax.lines[0], ax.lines[1]
    assert (expected.get_xdata()[0], expected.get_ydata()[0]) == (0.0, 1.0)
    assert list(observed.get_ydata()) == [0.5, 0.2, 0.02]
    assert "Observed: $\\mu$ < 1.6" in legend_texts(ax)
    assert "Median expected: $\\mu$ < 1.5" in legend_texts(ax)
    assert ax.get_ylim() == pytest.approx((0.005, 30))
    assert max(ax.get_yticks()) == 1.0


def test_a_blinded_limit_is_called_so(limits: LimitOutcome) -> None:
    _, ax = cls_scan(dataclasses.replace(limits, is_blinded=True))
    assert not any(text.startswith("Observed") for text in legend_texts(ax))


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.0392, 0.0554, r"0.039 \pm 0.055"),
        (1234.5, 567.8, r"1234 \pm 568"),
        (2.0, 0.0, r"2.000 \pm 0.000"),
    ],
)
def test_digits_are_those_that_the_error_allows(value: float, error: float, text: str) -> None:
    assert _with_error(value, error) == text


def test_figures_draw_into_axes_of_ones_own(outcome: FitOutcome, limits: LimitOutcome) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3)
    drawn = [
        pulls(outcome, ax=axes[0]),
        correlations(outcome, ax=axes[1]),
        cls_scan(limits, ax=axes[2]),
    ]
    assert all(result == (figure, ax) for result, ax in zip(drawn, axes, strict=True))


def test_the_goodness_of_fit_is_a_line_in_its_distribution(outcome: FitOutcome) -> None:
    results = outcome.results._replace(goodness_of_fit=0.37)
    _, ax = goodness_of_fit(dataclasses.replace(outcome, results=results))
    assert {"p-value: 0.37", r"Observed: $\chi^2$ = 2.0"} < set(legend_texts(ax))
    (line,) = ax.collections[1].get_segments()
    assert [point[0] for point in line] == [2.0, 2.0]
    curve = ax.lines[0]
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(1.0, abs=0.01)
    legend = ax.get_legend()
    assert legend is not None
    assert "2 degrees of freedom" in legend.get_title().get_text()


def test_many_pulls_stand_in_columns_and_on_pages_with_all_names(outcome: FitOutcome) -> None:
    many = {f"source_{index}": (0.1, 0.9) for index in range(201)}
    wide = dataclasses.replace(outcome, pulls=many)
    assert n_pull_pages(wide) == 3
    names, sizes = [], set()
    for page in (1, 2, 3):
        figure, first = pulls(wide, page=page)
        names += [row_names(ax) for ax in figure.axes]
        sizes.add(tuple(figure.get_size_inches()))
        assert first is figure.axes[0]
    assert max(width for width, _ in sizes) <= 16  # inches: else the letters are too small
    assert len(names) == 6
    assert sum(names, []) == list(many)
    assert max(map(len, names)) <= 40
