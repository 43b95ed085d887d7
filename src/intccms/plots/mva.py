"""Figures of a trained classifier: separation, over-training, features."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intccms.mva import Evaluation
from intccms.plots.style import PLAIN, Look, cms_axes, figure_of

LOWEST = 1e-4  # efficiency of the background
STYLE: dict[str, Any] = {"size": (9, 8), "label_size": 18, "font_size": 18.0}


def roc(
    evaluation: Evaluation, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the ROC curves of training and validation events, with the areas under them."""
    colors = look.colors_of(evaluation.curves)
    with cms_axes(ax, look, **STYLE) as ax:
        for name, curves in evaluation.curves.items():
            sides = (("training", "--"), ("validation", "-"))
            for curve, (side, style) in zip(curves, sides, strict=True):
                text = f"{look.label_of(name)}, {side}: AUC = {curve.auc:.3f}"
                ax.plot(curve.efficiency, curve.others, style, color=colors[name], label=text)
        ax.set(xlabel="Efficiency of the class", ylabel="Efficiency of the others", yscale="log")
        ax.set(xlim=(0, 1), ylim=(LOWEST, 1))
        ax.legend(loc="lower right", fontsize=15)
    return figure_of(ax), ax


def score(
    evaluation: Evaluation, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the score of each class: validation events filled, training events as points.

    The legend has the p-value of the Kolmogorov-Smirnov test between the two: where it is tiny,
    the classifier has learnt its training events by heart.
    """
    colors = look.colors_of(evaluation.scores)
    with cms_axes(ax, look, **STYLE) as ax:
        for name, (training, validation, p_value) in evaluation.scores.items():
            label, color = look.label_of(name), colors[name]
            ax.stairs(
                validation.values, validation.edges, fill=True, alpha=0.35, color=color,
                label=f"{label}, validation",
            )  # fmt: skip
            centers = (training.edges[1:] + training.edges[:-1]) / 2
            there = training.values > 0
            ax.errorbar(
                centers[there], training.values[there], training.errors[there],
                fmt="o", markersize=5, color=color, label=f"{label}, training (p = {p_value:.2g})",
            )  # fmt: skip
        highest = max(max(a.values.max(), b.values.max()) for a, b, _ in evaluation.scores.values())
        ax.set(xlim=(0, 1), ylim=(0, (1.15 + 0.17 * len(evaluation.scores)) * highest))
        ax.set_xlabel(f"Score {evaluation.name}: probability of {look.label_of(evaluation.score)}")
        ax.set_ylabel("Events, unit area")
        title = "over-trained" if evaluation.messages else None
        ax.legend(loc="upper center", fontsize=15, title=title)
    return figure_of(ax), ax


def feature(
    evaluation: Evaluation, name: str, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the distribution of one feature in each class."""
    label, shapes = evaluation.features[name]
    colors = look.colors_of(shapes)
    with cms_axes(ax, look, **STYLE) as ax:
        for group, shape in shapes.items():
            text = look.label_of(group)
            ax.stairs(shape.values, shape.edges, linewidth=3, color=colors[group], label=text)
        ax.set(xlim=(shape.edges[0], shape.edges[-1]), xlabel=label, ylabel="Events, unit area")
        ax.set_ylim(0, 1.3 * max(shape.values.max() for shape in shapes.values()))
        ax.legend(loc="upper right", fontsize=16)
    return figure_of(ax), ax


def importance(
    evaluation: Evaluation, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw how much each feature counts, the most important on top."""
    sizes = evaluation.importance
    labels = [label for label, _ in evaluation.features.values()]
    order = np.argsort(sizes.values, kind="stable")
    with cms_axes(ax, look, **STYLE) as ax:
        ax.barh(
            [labels[i] for i in order], sizes.values[order], xerr=sizes.errors[order],
            color=look.colors_of([evaluation.name])[evaluation.name],
        )  # fmt: skip
        ax.set_xlabel(sizes.of)
        ax.tick_params(axis="y", which="both", left=False, right=False)
        ax.yaxis.minorticks_off()
    return figure_of(ax), ax
