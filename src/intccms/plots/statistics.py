"""Figures of the inference: fitted channels, pulls, correlations, impacts, CLs."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
from cabinetry.fit import RankingResults
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intccms.plots.contents import Contents
from intccms.plots.data_mc import draw_contents
from intccms.plots.style import PALETTE, Look, cms_label, cms_style, new_figure
from intccms.statistics import FitOutcome, LimitOutcome, Prediction
from intccms.statistics.limits import shown

__all__ = ["cls_scan", "correlations", "fitted", "goodness_of_fit", "impacts", "pulls"]

FloatArray = npt.NDArray[np.float64]

# Bands of 68 and 95 %, as CMS recommends for all kinds of colour vision.
INNER, OUTER = "#607641", "#f5bb54"
PALE_INNER, PALE_OUTER = "#d3e5bd", "#fdf1d0"  # of the same hues, behind points
PULL = r"$(\hat{\theta} - \theta_0) / \Delta\theta$"
ROW_INCHES = 0.36
MOST_ROWS = 40  # of pulls in a column
BIN = "staterror_"  # how cabinetry begins the names of the statistical errors of bins
FONT = {"font_size": 16.0}


def fitted(
    prediction: Prediction, *, look: Look | None = None, ax: tuple[Axes, Axes] | None = None
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Draw data over the expectation before or after the fit, and their ratio below.

    Parameters
    ----------
    prediction
        One channel; the signal is stacked at the strength of the prediction.
    look, ax
        As for `data_mc`.
    """
    look = look or Look()
    names = sorted(look.ordered(prediction.samples), key=look.is_signal)
    yields = dict(zip(prediction.samples, prediction.yields, strict=True))
    hidden = np.isnan(prediction.observed)
    numbers = Contents(
        edges=prediction.edges,
        label=prediction.label,
        backgrounds={name: yields[name] for name in names},
        signals={},
        down=prediction.errors,
        up=prediction.errors,
        data=prediction.observed,
        hidden=hidden,
    )
    title = f"{prediction.channel}, {'post-fit' if prediction.is_postfit else 'pre-fit'}"
    return draw_contents(numbers, title, look=look, ax=ax)


def goodness_of_fit(
    outcome: FitOutcome, *, look: Look | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw what the chi2 of the saturated model is, and how it is distributed if all is well.

    The distribution is the asymptotic one; what is beyond the observed value is filled.
    """
    from scipy.stats import chi2  # 0.3 s

    look = look or Look()
    low, high = chi2.isf([0.9999, 1e-4], outcome.n_dof)
    values = np.linspace(min(low, outcome.chi2), max(high, 1.05 * outcome.chi2), 400)
    density = chi2.pdf(values, outcome.n_dof)
    with cms_style():
        if ax is None:
            ax = new_figure(figsize=(10, 9), layout="constrained").add_subplot()
        ax.plot(values, density, color=PALETTE[0], linewidth=2, label="Asymptotic distribution")
        beyond = values >= outcome.chi2
        source = f" ({outcome.n_toys} toys)" if outcome.n_toys else ""
        text = f"p-value{source}: {outcome.results.goodness_of_fit:.2g}"
        ax.fill_between(values[beyond], density[beyond], color=PALETTE[0], alpha=0.4, label=text)
        name = "Partly blinded" if outcome.is_blinded else "Observed"
        text = rf"{name}: $\chi^2$ = {outcome.chi2:.1f}"
        ax.vlines(outcome.chi2, 0, 1.1 * density.max(), color="black", linewidth=2, label=text)
        ax.set_xlim(values[0], values[-1])
        ax.set_ylim(0, 1.6 * density.max())
        ax.set_xlabel(r"$\chi^2$ of the saturated model")
        ax.set_ylabel("Probability density")
        title = f"{look.label_of(outcome.signal)}, {outcome.n_dof} degrees of freedom"
        ax.legend(loc="upper right", fontsize=18, title=title, alignment="left")
        cms_label(ax, look, with_data=_has_data(outcome))
    return _figure(ax), ax


def pulls(
    outcome: FitOutcome, *, look: Look | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the pull and the constraint of each systematic, in standard deviations of its prior.

    The statistical errors of single bins are left out. Many systematics fill several columns;
    the axes of the first are returned.
    """
    labels = [label for label in outcome.pulls if not label.startswith(BIN)]
    values = np.asarray([outcome.pulls[label] for label in labels]).reshape(-1, 2)
    with cms_style(**FONT):
        axes = [ax] if ax is not None else _columns(len(labels))
        for one, rows in zip(axes, np.array_split(np.arange(len(labels)), len(axes)), strict=True):
            _draw_pulls(one, values[rows, 0], values[rows, 1])
            _name_rows(one, [labels[row] for row in rows])
        cms_label(axes[0], look or Look(), with_data=_has_data(outcome), fontsize=18)
    return _figure(axes[0]), axes[0]


def correlations(
    outcome: FitOutcome,
    *,
    n_parameters: int = 20,
    look: Look | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw the correlation matrix of the parameters with the largest correlations, and of the POI.

    Parameters
    ----------
    outcome
        A fit.
    n_parameters
        How many rows at most.
    look, ax
        Label; axes of one's own.
    """
    results = outcome.results
    strongest = np.abs(results.corr_mat - np.eye(len(results.labels))).max(axis=1)
    strongest[results.labels.index(outcome.poi)] = np.inf
    chosen = np.sort(np.argsort(-strongest, kind="stable")[:n_parameters])
    matrix = 100 * results.corr_mat[np.ix_(chosen, chosen)]
    labels = [_label(results.labels[index]) for index in chosen]
    with cms_style(**FONT):
        if ax is None:
            side = 4.0 + 0.5 * len(chosen)
            ax = new_figure(figsize=(side + 1, side), layout="constrained").add_subplot()
        image = ax.imshow(matrix, vmin=-100, vmax=100, cmap="RdBu_r")
        figure = _figure(ax)
        figure.colorbar(image, ax=ax, label="Correlation [%]", shrink=0.85)
        for (row, column), value in np.ndenumerate(matrix):
            if abs(value) >= 1:
                color = "white" if abs(value) > 60 else "black"
                ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, size=10)
        positions = np.arange(len(chosen))
        ax.set_xticks(positions, labels, rotation=90, fontsize=12)
        ax.set_yticks(positions, labels, fontsize=12)
        ax.tick_params(which="both", length=0)
        cms_label(ax, look or Look(), with_data=_has_data(outcome), fontsize=18)
    return figure, ax


def impacts(
    ranking: RankingResults,
    outcome: FitOutcome,
    *,
    look: Look | None = None,
    ax: tuple[Axes, Axes] | None = None,
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Draw pulls and, beside them, impacts on the signal strength.

    Bars are the change of the signal strength with the parameter held one standard deviation up
    or down: filled for that after the fit, outlined for that before it.

    Returns
    -------
    figure, (axes of the pulls, axes of the impacts)
    """
    n_rows = len(ranking.labels)
    rows = np.arange(n_rows)[::-1]
    with cms_style(**FONT):
        left, right = ax if ax is not None else _two_panels(n_rows)
        _draw_pulls(left, *np.asarray([outcome.pulls[label] for label in ranking.labels]).T)
        _name_rows(left, ranking.labels)
        for values, color, text in (
            (ranking.postfit_up, PALETTE[0], r"$\hat{\theta} + \Delta\hat{\theta}$"),
            (ranking.postfit_down, PALETTE[1], r"$\hat{\theta} - \Delta\hat{\theta}$"),
        ):
            right.barh(rows, values, color=color, height=0.66, label=f"Post-fit {text}")
        for values, color, text in (
            (ranking.prefit_up, PALETTE[0], r"$\theta_0 + \Delta\theta$"),
            (ranking.prefit_down, PALETTE[1], r"$\theta_0 - \Delta\theta$"),
        ):
            right.barh(
                rows, values, fill=False, edgecolor=color, linewidth=1.2, height=0.82,
                label=f"Pre-fit {text}",
            )  # fmt: skip
        right.axvline(0, color="black", linewidth=1)
        right.set_xlabel(r"$\Delta\hat{\mu}$")
        right.tick_params(axis="y", which="both", labelleft=False, length=0)
        right.set_ylim(left.get_ylim())
        widest = [np.abs(one).max(initial=0.0) for one in ranking[3:]]
        right.set_xlim(*(1.15 * np.asarray([-1, 1]) * (max(widest) or 1.0)))
        right.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=13, borderpad=0.2,
            columnspacing=1.2, handlelength=1.4, labelspacing=0.2,
        )  # fmt: skip
        text = rf"$\hat{{\mu}} = {_with_errors(outcome)}$"
        right.set_title(text, loc="right", fontsize=16, y=1.0)
        cms_label(left, look or Look(), with_data=_has_data(outcome), fontsize=16)
    return _figure(left), (left, right)


def cls_scan(
    limits: LimitOutcome, *, look: Look | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw CLs against the signal strength, with the limits where it crosses the threshold."""
    look = look or Look()
    target = 1 - limits.confidence_level
    with cms_style():
        if ax is None:
            ax = new_figure(figsize=(10, 9), layout="constrained").add_subplot()
        mu = np.concatenate([[0.0], limits.mu])
        bands = np.concatenate([np.ones((1, 5)), limits.expected_cls])
        ax.fill_between(mu, bands[:, 0], bands[:, 4], color=OUTER, label="95% expected")
        ax.fill_between(mu, bands[:, 1], bands[:, 3], color=INNER, label="68% expected")
        text = f"Median expected: {_limit(limits.expected[2])}"
        ax.plot(mu, bands[:, 2], "--", color="black", linewidth=2, label=text)
        name = "Partly blinded" if limits.is_blinded else "Observed"
        text = f"{name}: {_limit(limits.observed)}"
        ax.plot(limits.mu, limits.observed_cls, "-", color="black", linewidth=2, label=text)
        ax.axhline(target, color=PALETTE[2], linewidth=2)
        ax.text(
            0.99, target * 1.05, f"{limits.confidence_level:.0%} CL", color=PALETTE[2], ha="right",
            va="bottom", fontsize=18, transform=ax.get_yaxis_transform(),
        )  # fmt: skip
        ax.set_xlim(0, mu.max())
        ax.set_yscale("log")
        decades = 10.0 ** np.arange(math.floor(math.log10(target / 10)), 1)  # CLs ends at 1
        ax.set_yticks(decades)
        ax.set_yticks(np.outer(decades[:-1], np.arange(2, 10)).ravel(), minor=True)
        ax.set_ylim(target / 10, 30)
        ax.set_xlabel(r"Signal strength $\mu$")
        ax.set_ylabel(r"$\mathrm{CL_s}$")
        ax.legend(
            loc="upper right", fontsize=18, title=look.label_of(limits.signal), alignment="left"
        )
        cms_label(ax, look, with_data=not limits.is_blinded)
    return _figure(ax), ax


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _has_data(outcome: FitOutcome) -> bool:
    return any(bool(np.isfinite(one.observed).any()) for one in outcome.postfit)


def _label(parameter: str) -> str:
    """Parameter as it is written beside a row."""
    found = re.fullmatch(rf"{BIN}(.+)\[(\d+)\]", parameter)
    if found:
        return f"MC stat. {found[1]} bin {int(found[2]) + 1}"
    return r"Signal strength $\mu$" if parameter == "signal_strength" else parameter


def _limit(value: float) -> str:
    return rf"$\mu$ < {value:.3g}" if math.isfinite(value) else rf"none ({shown(value)})"


def _with_errors(outcome: FitOutcome) -> str:
    """Signal strength and errors; of a scan both sides, one of which may be missing."""
    if outcome.poi not in outcome.scanned:
        return _with_error(outcome.mu, outcome.mu_error)
    smallest = np.nanmin([*outcome.mu_errors, outcome.mu_error])
    down, up = ("?" if math.isnan(one) else _rounded(one, smallest) for one in outcome.mu_errors)
    return rf"{_rounded(outcome.mu, smallest)}_{{-{down}}}^{{+{up}}}"


def _with_error(value: float, error: float) -> str:
    """Both with the digits that the error allows."""
    return rf"{_rounded(value, error)} \pm {_rounded(error, error)}"


def _rounded(value: float, error: float) -> str:
    decimals = max(1 - math.floor(math.log10(error)), 0) if error > 0 else 3
    return f"{value:.{decimals}f}"


def _height(n_rows: int) -> float:
    return 2.2 + ROW_INCHES * max(n_rows, 3)


def _columns(n_rows: int) -> list[Axes]:
    """Axes side by side for so many rows."""
    n_columns = max(math.ceil(n_rows / MOST_ROWS), 1)
    size = (8 * n_columns, _height(math.ceil(n_rows / n_columns)))
    figure = new_figure(figsize=size, layout="constrained")
    return [figure.add_subplot(1, n_columns, 1 + column) for column in range(n_columns)]


def _two_panels(n_rows: int) -> tuple[Axes, Axes]:
    figure = new_figure(figsize=(15, _height(n_rows)), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=(1, 1))
    return figure.add_subplot(grid[0]), figure.add_subplot(grid[1])


def _draw_pulls(ax: Axes, values: FloatArray, errors: FloatArray) -> None:
    """Points with errors, the first one on top, over the bands of 1 and 2 standard deviations."""
    rows = np.arange(values.size)[::-1]
    for low, high, color in ((-2, -1, PALE_OUTER), (-1, 1, PALE_INNER), (1, 2, PALE_OUTER)):
        ax.axvspan(low, high, color=color, zorder=0, linewidth=0)
    ax.axvline(0, color="#606060", linewidth=1, linestyle="--", zorder=1)
    ax.errorbar(values, rows, xerr=errors, fmt="o", color="black", markersize=5, linewidth=1.5)
    reach = float(np.max(np.abs(values) + errors, initial=2.6)) * 1.1
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-0.7, values.size - 0.3)
    ax.set_xlabel(PULL)


def _name_rows(ax: Axes, labels: list[str]) -> None:
    rows = np.arange(len(labels))[::-1]
    ax.set_yticks(rows, [_label(label) for label in labels], fontsize=13)
    ax.tick_params(axis="y", which="both", length=0)
