"""Figures of the inference: fitted channels, pulls, correlations, impacts, limits, templates."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from cabinetry.fit import RankingResults
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import norm

from intccms.plots.data_mc import Contents, draw_contents
from intccms.plots.style import (
    PALETTE,
    PLAIN,
    Look,
    cms_axes,
    cms_label,
    cms_style,
    figure_of,
    new_figure,
)
from intccms.statistics import Family, FitOutcome, LimitOutcome, Prediction, Workspace
from intccms.statistics.limits import shown

FloatArray = npt.NDArray[np.float64]

# Bands of 68 and 95 %, as CMS recommends for all kinds of colour vision.
INNER, OUTER = "#607641", "#f5bb54"
PALE_INNER, PALE_OUTER = "#d3e5bd", "#fdf1d0"  # of the same hues, behind points
PULL = r"$(\hat{\theta} - \theta_0) / \Delta\theta$"
ROW_INCHES = 0.36
MOST_ROWS, MOST_PULLS = 40, 80  # of pulls in a column, on a page
BIN = "staterror_"  # how cabinetry begins the names of the statistical errors of bins
FONT: dict[str, Any] = {"font_size": 16.0}


def fitted(
    prediction: Prediction, *, look: Look = PLAIN, ax: tuple[Axes, Axes] | None = None
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Draw data over the expectation before or after the fit, and their ratio below.

    Parameters
    ----------
    prediction
        One channel; the signal is stacked at the strength of the prediction.
    look, ax
        As for `data_mc`.
    """
    names = sorted(look.ordered(prediction.samples), key=look.is_signal)
    yields = dict(zip(prediction.samples, prediction.yields, strict=True))
    hidden = np.isnan(prediction.observed)
    numbers = Contents(
        prediction.edges, prediction.label, {name: yields[name] for name in names}, {},
        down=prediction.errors, up=prediction.errors, data=prediction.observed, hidden=hidden,
    )  # fmt: skip
    when = "post-fit" if prediction.is_postfit else "pre-fit"
    title = f"{look.channel(prediction.channel)}, {when}"
    return draw_contents(numbers, title, look=look, ax=ax)


def goodness_of_fit(
    outcome: FitOutcome, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw what the chi2 of the saturated model is, and how it is distributed if all is well.

    The distribution is the asymptotic one; what is beyond the observed value is filled.
    """
    from scipy.stats import chi2  # 0.3 s

    low, high = chi2.isf([0.9999, 1e-4], outcome.n_dof)
    values = np.linspace(min(low, outcome.chi2), max(high, 1.05 * outcome.chi2), 400)
    density = chi2.pdf(values, outcome.n_dof)
    with cms_axes(ax, look, (10, 9), with_data=_has_data(outcome)) as ax:
        ax.plot(values, density, color=PALETTE[0], linewidth=2, label="Asymptotic distribution")
        beyond = values >= outcome.chi2
        source = f" ({outcome.n_toys} toys)" if outcome.n_toys else ""
        text = f"p-value{source}: {outcome.results.goodness_of_fit:.2g}"
        ax.fill_between(values[beyond], density[beyond], color=PALETTE[0], alpha=0.4, label=text)
        name = "Partly blinded" if outcome.is_blinded else "Observed"
        text = rf"{name}: $\chi^2$ = {outcome.chi2:.1f}"
        ax.vlines(outcome.chi2, 0, 1.1 * density.max(), color="black", linewidth=2, label=text)
        ax.set(xlim=(values[0], values[-1]), ylim=(0, 1.6 * density.max()))
        ax.set(xlabel=r"$\chi^2$ of the saturated model", ylabel="Probability density")
        title = f"{look.label_of(outcome.signal)}, {outcome.n_dof} degrees of freedom"
        ax.legend(loc="upper right", fontsize=18, title=title, alignment="left")
    return figure_of(ax), ax


def pulls(
    outcome: FitOutcome, *, page: int = 1, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the pull and the constraint of each systematic, in standard deviations of its prior.

    The statistical errors of single bins are left out. Many systematics fill two columns, and more
    than that several pages, see `n_pull_pages`; the axes of the first column are returned.
    """
    labels = _pulled(outcome)[(page - 1) * MOST_PULLS : page * MOST_PULLS]
    values = np.asarray([outcome.pulls[label] for label in labels]).reshape(-1, 2)
    with cms_style(**FONT):
        axes = [ax] if ax is not None else _columns(len(labels))
        for one, rows in zip(axes, np.array_split(np.arange(len(labels)), len(axes)), strict=True):
            _draw_pulls(one, values[rows, 0], values[rows, 1])
            _name_rows(one, [labels[row] for row in rows])
        cms_label(axes[0], look, with_data=_has_data(outcome), fontsize=18)
    return figure_of(axes[0]), axes[0]


def n_pull_pages(outcome: FitOutcome) -> int:
    """Return how many figures `pulls` needs."""
    return math.ceil(len(_pulled(outcome)) / MOST_PULLS)


def _pulled(outcome: FitOutcome) -> list[str]:
    return [label for label in outcome.pulls if not label.startswith(BIN)]


def correlations(
    outcome: FitOutcome,
    *,
    n_parameters: int = 20,
    look: Look = PLAIN,
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
    side = 4.0 + 0.5 * len(chosen)
    size = (side + 1, side)
    with cms_axes(ax, look, size, with_data=_has_data(outcome), label_size=18, **FONT) as ax:
        image = ax.imshow(matrix, vmin=-100, vmax=100, cmap="RdBu_r")
        figure_of(ax).colorbar(image, ax=ax, label="Correlation [%]", shrink=0.85)
        for (row, column), value in np.ndenumerate(matrix):
            if abs(value) >= 1:
                color = "white" if abs(value) > 60 else "black"
                ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, size=10)
        positions = np.arange(len(chosen))
        ax.set_xticks(positions, labels, rotation=90, fontsize=12)
        ax.set_yticks(positions, labels, fontsize=12)
        ax.tick_params(which="both", length=0)
    return figure_of(ax), ax


def impacts(
    ranking: RankingResults,
    outcome: FitOutcome,
    *,
    look: Look = PLAIN,
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
        if ax is None:
            figure = new_figure(figsize=(15, _height(n_rows)), layout="constrained")
            ax = tuple(figure.subplots(1, 2))
        left, right = ax
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
        cms_label(left, look, with_data=_has_data(outcome), fontsize=16)
    return figure_of(left), (left, right)


def cls_scan(
    limits: LimitOutcome, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw CLs against the signal strength, with the limits where it crosses the threshold."""
    target = 1 - limits.confidence_level
    with cms_axes(ax, look, (10, 9), with_data=not limits.is_blinded) as ax:
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
        ax.set(xlabel=r"Signal strength $\mu$", ylabel=r"$\mathrm{CL_s}$")
        title = look.label_of(limits.signal)
        ax.legend(loc="upper right", fontsize=18, title=title, alignment="left")
    return figure_of(ax), ax


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
    return list(figure.subplots(1, n_columns, squeeze=False)[0])


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


MASS = r"$m_{Z'}$ [GeV]"
MOST_SIGMAS = 6  # an expected p-value below that ends at the edge of the figure
HEADROOM = 0.45  # of the decades below 1, for the legend
LINES: dict[str, Any] = {"linewidth": 2, "color": "black"}


def limits_by_mass(
    family: Family, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the limits on the cross section times branching fraction against the mass.

    Parameters
    ----------
    family
        At least two signals, each with its limits; points are joined by straight lines on the
        logarithmic axis. The cross sections of the configuration are a line of their own.
    look
        Luminosity and status.
    ax
        Axes to draw in.
    """
    mass, scale = np.asarray([(one.mass_gev, one.cross_section_pb) for one in family.results]).T
    points = [one.limits for one in family.results if one.limits is not None]
    bands = np.asarray([one.expected for one in points]).T * scale
    observed = np.asarray([one.observed for one in points]) * scale
    blinded = any(one.is_blinded for one in points)
    with cms_axes(ax, look, (10, 9), with_data=not blinded) as ax:
        ax.fill_between(mass, bands[0], bands[4], color=OUTER, label="95% expected")
        ax.fill_between(mass, bands[1], bands[3], color=INNER, label="68% expected")
        ax.plot(mass, bands[2], "--", label="Median expected", **LINES)
        _draw_observed(ax, mass, observed, blinded=blinded)
        ax.plot(mass, scale, color=PALETTE[2], linewidth=2, label="Signal in the configuration")
        values = np.concatenate([bands.ravel(), observed, scale])
        decades = np.log10(values[(values > 0) & np.isfinite(values)])
        reach = max(np.ptp(decades), 1.0)  # the upper part of the axis is for the legend
        ax.set_ylim(10 ** (decades.min() - 0.1 * reach), 10 ** (decades.max() + 0.75 * reach))
        ax.set_ylabel(r"$\sigma(Z') \times \mathcal{B}(Z' \to t\bar{t})$ [pb]")
        level = points[0].confidence_level
        title = f"{level:.0%} CL upper limits\n{family.label}".strip()
        ax.legend(loc="upper right", title=title, alignment="left")
    return figure_of(ax), ax


def p_values_by_mass(
    family: Family, *, look: Look = PLAIN, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the local p-value of the background-only hypothesis against the mass.

    Parameters
    ----------
    family
        At least two signals, each with its significance.
    look, ax
        As for `limits_by_mass`.
    """
    mass = np.asarray([one.mass_gev for one in family.results])
    points = [one.significance for one in family.results if one.significance is not None]
    observed = np.asarray([one.observed_p_value for one in points])
    expected = np.asarray([one.expected_p_value for one in points])
    blinded = any(one.is_blinded for one in points)
    with cms_axes(ax, look, (10, 9), with_data=not blinded) as ax:
        ax.plot(mass, expected, "--", label="Expected with the signal", **LINES)
        _draw_observed(ax, mass, observed, blinded=blinded)
        lowest = max(min(observed.min(), expected.min()), norm.sf(MOST_SIGMAS))
        n_sigmas = min(max(math.ceil(norm.isf(lowest)), 3), MOST_SIGMAS)
        for n in range(1, n_sigmas + 1):
            ax.axhline(norm.sf(n), color=PALETTE[2], linewidth=1, linestyle=":")
            ax.text(
                1.01, norm.sf(n), rf"{n}$\sigma$", color=PALETTE[2], ha="left", va="center",
                fontsize=18, transform=ax.get_yaxis_transform(),
            )  # fmt: skip
        bottom = norm.sf(n_sigmas) / 5
        ax.set_ylim(bottom, bottom**-HEADROOM)
        ax.set_yticks([tick for tick in ax.get_yticks() if bottom < tick < 2])
        ax.set_ylabel("Local p-value")
        ax.legend(loc="upper right", title=family.label or None, alignment="left")
    return figure_of(ax), ax


def _draw_observed(ax: Axes, mass: FloatArray, observed: FloatArray, *, blinded: bool) -> None:
    """Draw what was observed at each mass, and make the axes for it."""
    label = "Partly blinded" if blinded else "Observed"
    ax.plot(mass, observed, "o-", label=label, markersize=7, **LINES)
    ax.set(yscale="log", xlim=(mass.min(), mass.max()), xlabel=MASS)


# Index of a colour: 1 norm + 2 shape; 0 where there is nothing, 4 where all was pruned.
KINDS = ("not evaluated", "norm", "shape", "norm and shape", "pruned")
COLORS = ("white", PALETTE[1], PALETTE[0], "#c5dbef", PALETTE[3])
PARTS = {"normsys": 1, "histosys": 2}
LETTERS = {"smoothed": "s", "symmetrised": "m"}
CELL_INCHES = 0.36


def treated(
    workspaces: Sequence[Workspace],
    region: str,
    *,
    look: Look = PLAIN,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw which systematics a region has, and which were pruned, smoothed or mirrored.

    Parameters
    ----------
    workspaces
        Of all signals; their backgrounds are the same.
    region
        Fitted channel.
    look, ax
        Labels of the processes; axes of one's own.
    """
    kinds, letters = _cells(workspaces, region)
    names = dict.fromkeys(sample for sample, _ in kinds)
    samples = sorted(look.ordered(names), key=look.is_signal)
    systematics = list(dict.fromkeys(name for _, name in kinds))
    table = np.asarray([[kinds.get((one, name), 0) for one in samples] for name in systematics])
    size = (max(5 + CELL_INCHES * len(samples), 9), 3.5 + CELL_INCHES * len(systematics))
    with cms_axes(ax, look, size, label_size=16, **FONT) as ax:
        ax.pcolormesh(
            table, cmap=ListedColormap(COLORS), vmin=-0.5, vmax=4.5, edgecolors="white", linewidth=1
        )
        for (sample, name), letter in letters.items():
            cell = (samples.index(sample) + 0.5, systematics.index(name) + 0.5)
            ax.text(*cell, letter, ha="center", va="center", fontsize=12, color="black")
        ax.invert_yaxis()
        labels = [look.label_of(sample) for sample in samples]
        ax.set_xticks(np.arange(len(samples)) + 0.5, labels, rotation=90, fontsize=13)
        ax.set_yticks(np.arange(len(systematics)) + 0.5, systematics, fontsize=13)
        ax.tick_params(which="both", length=0)
        colors = zip(COLORS[1:], KINDS[1:], strict=True)
        handles = [Patch(color=color, label=kind) for color, kind in colors]
        handles += [Patch(alpha=0, label=f"{letter}: {word}") for word, letter in LETTERS.items()]
        where: Any = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        ax.legend(handles=handles, title=region, fontsize=14, **where)
    return figure_of(ax), ax


def _cells(
    workspaces: Sequence[Workspace], region: str
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], str]]:
    """Index of the colour, and letters, by sample and systematic."""
    kinds: dict[tuple[str, str], int] = {}
    letters: dict[tuple[str, str], str] = {}
    for workspace in workspaces:
        channel = next(one for one in workspace.spec["channels"] if one["name"] == region)
        for sample in channel["samples"]:
            for one in sample["modifiers"]:
                key = (sample["name"], one["name"])
                if one["type"] in PARTS:
                    kinds[key] = kinds.get(key, 0) | PARTS[one["type"]]
        for change in workspace.changes:
            key = (change.sample, change.systematic)
            if change.region == region and change.action == "pruned":
                kinds.setdefault(key, 4)
            elif change.region == region and change.action in LETTERS:
                letter = LETTERS[change.action]
                letters[key] = letters.get(key, "").replace(letter, "") + letter
    return kinds, letters
