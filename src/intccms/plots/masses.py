"""Results against the mass of the signal: limits with their bands, and local p-values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from intccms.plots.statistics import INNER, OUTER
from intccms.plots.style import PALETTE, Look, cms_label, cms_style, new_figure
from intccms.statistics import Family

__all__ = ["limits_by_mass", "p_values_by_mass"]

FloatArray = npt.NDArray[np.float64]
MASS = r"$m_{Z'}$ [GeV]"
MOST_SIGMAS = 6  # an expected p-value below that ends at the edge of the figure
HEADROOM = 0.45  # of the decades below 1, for the legend
LINES: dict[str, Any] = {"linewidth": 2, "color": "black"}


def limits_by_mass(
    family: Family, *, look: Look | None = None, ax: Axes | None = None
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
    with cms_style():
        ax = ax or _axes()
        ax.fill_between(mass, bands[0], bands[4], color=OUTER, label="95% expected")
        ax.fill_between(mass, bands[1], bands[3], color=INNER, label="68% expected")
        ax.plot(mass, bands[2], "--", label="Median expected", **LINES)
        name = "Partly blinded" if blinded else "Observed"
        ax.plot(mass, observed, "o-", label=name, markersize=7, **LINES)
        ax.plot(mass, scale, color=PALETTE[2], linewidth=2, label="Signal in the configuration")
        ax.set_yscale("log")
        _make_room(ax, np.concatenate([bands.ravel(), observed, scale]))
        ax.set_xlim(mass.min(), mass.max())
        ax.set_xlabel(MASS)
        ax.set_ylabel(r"$\sigma(Z') \times \mathcal{B}(Z' \to t\bar{t})$ [pb]")
        level = points[0].confidence_level
        title = f"{level:.0%} CL upper limits\n{family.label}".strip()
        ax.legend(loc="upper right", title=title, alignment="left")
        cms_label(ax, look or Look(), with_data=not blinded)
    return _figure(ax), ax


def p_values_by_mass(
    family: Family, *, look: Look | None = None, ax: Axes | None = None
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
    with cms_style():
        ax = ax or _axes()
        ax.plot(mass, expected, "--", label="Expected with the signal", **LINES)
        name = "Partly blinded" if blinded else "Observed"
        ax.plot(mass, observed, "o-", label=name, markersize=7, **LINES)
        ax.set_yscale("log")
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
        ax.set_xlim(mass.min(), mass.max())
        ax.set_xlabel(MASS)
        ax.set_ylabel("Local p-value")
        ax.legend(loc="upper right", title=family.label or None, alignment="left")
        cms_label(ax, look or Look(), with_data=not blinded)
    return _figure(ax), ax


def _axes() -> Axes:
    return new_figure(figsize=(10, 9), layout="constrained").add_subplot()


def _make_room(ax: Axes, values: FloatArray) -> None:
    """Leave the upper part of the logarithmic axis to the legend."""
    positive = values[(values > 0) & np.isfinite(values)]
    low, high = math.log10(positive.min()), math.log10(positive.max())
    reach = max(high - low, 1.0)
    ax.set_ylim(10 ** (low - 0.1 * reach), 10 ** (high + 0.75 * reach))


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
