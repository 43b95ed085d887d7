"""The panel below a distribution: data over simulation, or their distance in uncertainties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from intccms.plots.contents import Contents

__all__ = ["BAND", "POINTS", "draw_pulls", "draw_ratio", "pulls"]

FloatArray = npt.NDArray[np.float64]

BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "#404040", "hatch": "////"}
POINTS: dict[str, Any] = {
    "fmt": "o", "color": "black", "markersize": 7, "linewidth": 1.8, "capsize": 0
}  # fmt: skip
RATIO_RANGES = {0.25: 0.2, 0.5: 0.4, 1.0: 0.5}  # half height of the panel: ticks from 1
PULL_RANGES = {3.5: 2, 5.5: 4, 11.0: 8}  # half height of the panel: ticks from 0
PULL_COLOR = "#94a4a2"


def draw_ratio(ax: Axes, numbers: Contents) -> None:
    """Draw data / simulation, and the uncertainty of the simulation about 1."""
    total = np.where(numbers.total > 0, numbers.total, np.nan)
    up, down = 1 + numbers.up / total, 1 - numbers.down / total
    ax.stairs(
        np.nan_to_num(up, nan=1.0), numbers.edges, baseline=np.nan_to_num(down, nan=1.0),
        fill=True, linewidth=0, **BAND,
    )  # fmt: skip
    ax.axhline(1.0, color="black", linewidth=1.2, linestyle="--")
    reach = [up - 1, 1 - down]
    bars: list[FloatArray] = []
    ratio = np.full_like(total, np.nan)
    if numbers.data is not None and numbers.shows_data:
        ratio = numbers.data / total
        errors = numbers.data_errors() / total
        seen = np.isfinite(ratio)
        ax.errorbar(numbers.centers[seen], ratio[seen], errors[:, seen], zorder=5, **POINTS)
        reach.append(np.abs(ratio - 1)[numbers.data > 0])
        bars += [ratio - errors[0] - 1, ratio + errors[1] - 1]
    half = _half_range(reach, bars)
    ax.set_ylim(1 - half, 1 + half)
    ax.set_yticks([1 - RATIO_RANGES[half], 1.0, 1 + RATIO_RANGES[half]])
    ax.set_ylabel("Data / MC" if numbers.shows_data else "MC unc.", loc="center")
    _mark_outside(ax, numbers.centers, ratio - 1, 1.0, half)


def draw_pulls(ax: Axes, numbers: Contents) -> None:
    """Draw (data - simulation) / uncertainty; see `pulls`."""
    distances = pulls(numbers)
    for level in (1, 2):
        ax.axhspan(-level, level, color="black", alpha=0.06, linewidth=0, zorder=0)
    ax.stairs(np.nan_to_num(distances), numbers.edges, fill=True, color=PULL_COLOR)
    ax.axhline(0.0, color="black", linewidth=1.2)
    largest = float(np.max(np.abs(np.nan_to_num(distances)), initial=0.0))
    half = next((one for one in PULL_RANGES if largest <= one), max(PULL_RANGES))
    ax.set_ylim(-half, half)
    ax.set_yticks([-PULL_RANGES[half], 0, PULL_RANGES[half]])
    ax.set_ylabel(r"(Data $-$ MC) / $\sigma$", loc="center", fontsize="small")
    _mark_outside(ax, numbers.centers, distances, 0.0, half)


def pulls(numbers: Contents) -> FloatArray:
    """Distance of data and simulation in standard deviations, not a number where data are hidden.

    The deviation is that of the data towards the simulation ⊕ that of the simulation towards the
    data: Garwood intervals and the band are not symmetric.
    """
    if numbers.data is None:
        return np.full(numbers.edges.size - 1, np.nan)
    distance = numbers.data - numbers.total
    low, high = numbers.data_errors()
    sigma = np.where(distance > 0, np.hypot(low, numbers.up), np.hypot(high, numbers.down))
    return distance / np.where(sigma > 0, sigma, np.inf)


def _half_range(reach: Sequence[FloatArray], bars: Sequence[FloatArray]) -> float:
    """Smallest range with nine in ten points and band edges and half of the ends of error bars."""
    wanted = 0.0
    for distances, share in ((reach, 0.9), (bars, 0.5)):
        sizes = np.abs(np.concatenate([np.zeros(0), *distances]))
        sizes = sizes[np.isfinite(sizes)]
        if sizes.size:
            wanted = max(wanted, float(np.quantile(sizes, share)))
    return next((half for half in RATIO_RANGES if wanted <= 0.95 * half), max(RATIO_RANGES))


def _mark_outside(
    ax: Axes, centers: FloatArray, distances: FloatArray, middle: float, half: float
) -> None:
    """Point at what lies beyond the panel."""
    for sign, marker in ((1, "^"), (-1, "v")):
        x = centers[sign * distances > half]
        y = np.full_like(x, middle + sign * 0.93 * half)
        ax.plot(x, y, marker, color="black", markersize=9, zorder=6)
