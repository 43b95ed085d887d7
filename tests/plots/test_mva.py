"""Figures of a trained classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from intccms.mva.evaluation import Evaluation, Importance, RocCurve, Shape
from intccms.plots import Look
from intccms.plots import mva as plots

EDGES = np.linspace(0, 1, 6)


def shape(*values: float) -> Shape:
    return Shape(EDGES, np.asarray(values), np.full(5, 0.1))


@pytest.fixture
def evaluation() -> Evaluation:
    curve = np.linspace(0, 1, 11)
    left, right = shape(3, 1, 0.5, 0.3, 0.2), shape(0.2, 0.3, 0.5, 1, 3)
    return Evaluation(
        name="nn",
        score="signal",
        curves={"signal": (RocCurve(curve, curve**3, 0.75), RocCurve(curve, curve**2, 2 / 3))},
        scores={"signal": (right, right, 0.431), "ttbar": (left, left, 0.02)},
        features={
            "met": ("$p_T^{miss}$ [GeV]", {"signal": right, "ttbar": left}),
            "ht": ("$H_T$ [GeV]", {"signal": left, "ttbar": left}),
        },
        importance=Importance("Loss of AUC", np.array([0.01, 0.2]), np.array([0.01, 0.02])),
        has_folds=True,
    )


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_the_roc_curve_names_its_areas(evaluation: Evaluation) -> None:
    figure, ax = plots.roc(evaluation)
    assert texts(ax) == ["signal, training: AUC = 0.750", "signal, validation: AUC = 0.667"]
    assert ax.get_yscale() == "log"
    plt.close(figure)


def test_scores_have_their_p_values_and_the_labels_of_processes(evaluation: Evaluation) -> None:
    look = Look(plotting=Look().plotting.model_copy(update={"process_labels": {"ttbar": "$tt$"}}))
    figure, ax = plots.score(evaluation, look=look)
    assert "signal, training (p = 0.43)" in texts(ax)
    assert "$tt$, training (p = 0.02)" in texts(ax)
    assert ax.get_xlabel() == "Score nn: probability of signal"
    plt.close(figure)


def test_a_feature_has_its_label(evaluation: Evaluation) -> None:
    figure, ax = plots.feature(evaluation, "met")
    assert ax.get_xlabel() == "$p_T^{miss}$ [GeV]"
    assert texts(ax) == ["signal", "ttbar"]
    plt.close(figure)


def test_the_most_important_feature_is_on_top(evaluation: Evaluation) -> None:
    figure, ax = plots.importance(evaluation)
    assert [text.get_text() for text in ax.get_yticklabels()][-1] == "$H_T$ [GeV]"
    assert ax.get_xlabel() == "Loss of AUC"
    plt.close(figure)


@pytest.mark.parametrize("draw", [plots.roc, plots.score, plots.importance])
def test_they_can_be_drawn_in_axes_of_ones_own(
    evaluation: Evaluation, draw: Callable[..., Any]
) -> None:
    figure, own = plt.subplots()
    assert draw(evaluation, ax=own) == (figure, own)
    plt.close(figure)
