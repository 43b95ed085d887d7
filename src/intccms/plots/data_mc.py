"""Data and stacked simulation with their ratio: the numbers, the panels, what is blinded."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mplhep
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from intccms.histograms import Book, total_uncertainty
from intccms.plots.style import PLAIN, Look, cms_label, cms_style, figure_of, new_figure
from intccms.schema import Config

Blind = bool | tuple[float, float] | None  # all data, those in a range, or none are hidden


def blind_of(config: Config, channel: str, observable: str) -> Blind:
    """Blinding that ``statistics.blind`` asks for in one figure.

    A range is one of the fit observable. In another observable of the channel the events of that
    range are anywhere, so there all data are hidden.
    """
    if config.statistics is None or channel not in config.statistics.blind:
        return None
    limits = config.statistics.blind[channel]
    fitted = {item.name: item.fit_observable for item in config.channels}[channel]
    return limits if limits is not None and observable == fitted else True


def hidden_bins(edges: npt.NDArray[np.float64], blind: Blind) -> npt.NDArray[np.bool_]:
    """Bins whose data are not shown: all that the range touches, shape (n_bins,)."""
    if blind is None or isinstance(blind, bool):
        return np.full(edges.size - 1, bool(blind))
    low, high = blind
    return (edges[1:] > low) & (edges[:-1] < high)


FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contents:
    """What a figure of data and simulation shows, per visible bin."""

    edges: FloatArray
    label: str
    backgrounds: dict[str, FloatArray]  # from the bottom of the stack to its top
    signals: dict[str, FloatArray]  # those to be overlaid, not scaled
    down: FloatArray
    up: FloatArray
    data: FloatArray | None  # NaN where hidden; None without data
    hidden: npt.NDArray[np.bool_]

    @property
    def total(self) -> FloatArray:
        """Sum of the backgrounds."""
        return sum(self.backgrounds.values(), start=np.zeros(self.edges.size - 1))

    @property
    def centers(self) -> FloatArray:
        """Middle of the bins."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def shows_data(self) -> bool:
        """Whether there is at least one bin with data to be seen."""
        return self.data is not None and not bool(self.hidden.all())

    def data_errors(self) -> FloatArray:
        """Distances to the ends of the Garwood interval, shape (2, n_bins)."""
        from hist.intervals import poisson_interval  # and scipy.stats, half a second

        assert self.data is not None
        seen = np.nan_to_num(self.data)
        low, high = poisson_interval(seen)
        return np.stack([seen - low, high - seen])


def contents(
    book: Book, channel: str, observable: str, look: Look, blind: Blind = None
) -> Contents:
    """All numbers of one figure; hidden data are not among them.

    Parameters
    ----------
    book, channel, observable
        What is drawn.
    look
        Says which processes are signal, and the order of the others.
    blind
        Data that are left out.
    """
    axis = book.histogram(channel, observable).axes[0]
    ordered = look.ordered(book.mc_processes)
    values = {
        name: np.asarray(book.slice(channel, observable, name).values(), dtype=np.float64)
        for name in book.processes
    }
    backgrounds = {name: values[name] for name in ordered if not look.is_signal(name)}
    down, up = total_uncertainty(book, channel, observable, backgrounds)
    hidden = hidden_bins(book.reach(channel, observable), blind)
    data = None
    if book.data_processes:
        observed = np.sum([values[name] for name in book.data_processes], axis=0)
        data = np.where(hidden, np.nan, observed)
    signals = {name: values[name] for name in look.overlaid(book.mc_processes)}
    label = book.label(channel, observable)
    return Contents(axis.edges, label, backgrounds, signals, down, up, data, hidden)


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


BLINDED: dict[str, Any] = {"facecolor": "#e8e8e8", "edgecolor": "#b0b0b0", "linewidth": 1}
LEGEND_FONTS = (19, 17, 15, 13, 11)  # points, the first that fits
SIGNAL_PART = 0.8  # of the highest background, for a signal that has to be scaled
HEADROOM = 0.05  # of the height, between the highest content and the legend


def data_mc(
    book: Book,
    channel: str,
    observable: str,
    *,
    look: Look = PLAIN,
    blind: Blind = None,
    ax: tuple[Axes, Axes] | None = None,
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Draw data over stacked simulation, and their ratio below.

    Background is stacked; the band around its sum is the statistical ⊕ systematic uncertainty.
    Signal is a line on its own, not part of the sum. Errors of data are Garwood intervals.

    Parameters
    ----------
    book, channel, observable
        What is drawn: visible bins, events per bin.
    look
        Colours, labels, luminosity, scale of the signal, logarithmic axis.
    blind
        Data that are not shown: True for all, or a range of the observable.
    ax
        Axes of the distribution and of the ratio, for a figure of one's own.

    Returns
    -------
    figure, (axes, ratio axes)
        Ready to be saved or changed.
    """
    numbers = contents(book, channel, observable, look, blind)
    title = ", ".join(filter(None, (look.channel(channel), look.period)))
    return draw_contents(numbers, title, look=look, ax=ax)


def draw_contents(
    numbers: Contents,
    title: str,
    *,
    look: Look = PLAIN,
    ax: tuple[Axes, Axes] | None = None,
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Draw numbers that need not come from a book, in the same way.

    Parameters
    ----------
    numbers
        Stack, signals, uncertainty and data.
    title
        Heading of the legend.
    look, ax
        As for `data_mc`.
    """
    with cms_style():
        if ax is None:
            figure = new_figure(figsize=(10, 10))
            frame = figure.add_gridspec(1, 1, left=0.15, right=0.96, top=0.93, bottom=0.1)
            ax = panels(figure, frame[0])
        top, bottom = ax
        _draw_distribution(top, numbers, look)
        (draw_pulls if look.panel == "pull" else draw_ratio)(bottom, numbers)
        _annotate(top, bottom, title, numbers, look)
        _make_room(top, numbers, look)
        cms_label(top, look, with_data=numbers.shows_data)  # last: it makes way for "x 10^6"
    return figure_of(top), (top, bottom)


def panels(figure: Figure, place: SubplotSpec) -> tuple[Axes, Axes]:
    """Make the axes of a distribution and, below it, of its ratio.

    Parameters
    ----------
    figure, place
        Where.
    """
    grid = place.subgridspec(2, 1, height_ratios=(3, 1), hspace=0.06)
    top = figure.add_subplot(grid[0])
    bottom = figure.add_subplot(grid[1], sharex=top)
    top.tick_params(labelbottom=False)
    return top, bottom


def _draw_distribution(ax: Axes, numbers: Contents, look: Look) -> None:
    colors = look.colors_of([*numbers.backgrounds, *numbers.signals])
    if numbers.backgrounds:
        mplhep.histplot(
            list(numbers.backgrounds.values()), bins=numbers.edges, stack=True, histtype="fill",
            sort=None, color=[colors[name] for name in numbers.backgrounds],
            label=[look.label_of(name) for name in numbers.backgrounds], ax=ax,
        )  # fmt: skip
        total = numbers.total
        label = r"Stat. $\oplus$ syst. unc."
        ax.stairs(
            total + numbers.up, numbers.edges, baseline=total - numbers.down, fill=True,
            linewidth=0, label=label, **BAND,
        )  # fmt: skip
    for name, scale in _signal_scales(numbers, look).items():
        factor = "" if scale == 1.0 else rf" $\times$ {scale:g}"
        ax.stairs(
            numbers.signals[name] * scale, numbers.edges, color=colors[name], linewidth=3,
            label=look.label_of(name) + factor,
        )  # fmt: skip
    if numbers.data is not None and numbers.shows_data:
        shown = ~numbers.hidden & ((numbers.data > 0) | (numbers.total > 0))
        ax.errorbar(
            numbers.centers[shown], numbers.data[shown], numbers.data_errors()[:, shown],
            label="Data", zorder=5, **POINTS,
        )  # fmt: skip


def _signal_scales(numbers: Contents, look: Look) -> dict[str, float]:
    """Factor of each signal: the one that is asked for, or the power of ten that shows it.

    On a linear axis a signal that is hardly seen grows to at most `SIGNAL_PART` of the background.
    """
    if look.signal_scale is not None or look.log:
        return dict.fromkeys(numbers.signals, look.signal_scale or 1.0)
    wanted = SIGNAL_PART * float(np.max(numbers.total, initial=0.0))
    scales = {}
    for name, values in numbers.signals.items():
        highest = float(np.max(values, initial=0.0))
        is_small = 0 < highest < 0.1 * wanted
        scales[name] = 10.0 ** math.floor(math.log10(wanted / highest)) if is_small else 1.0
    return scales


def _annotate(top: Axes, bottom: Axes, title: str, numbers: Contents, look: Look) -> None:
    top.set_ylabel(_events_label(numbers))
    top.set_xlabel("")
    bottom.set_xlabel(numbers.label)
    for ax in (top, bottom):
        ax.set_xlim(numbers.edges[0], numbers.edges[-1])
    handles, labels = top.get_legend_handles_labels()
    entries = sorted(zip(labels, handles, strict=True), key=lambda entry: entry[0] != "Data")
    if numbers.shows_data and numbers.hidden.any():
        for ax in (top, bottom):
            hidden = np.ma.array(numbers.hidden, mask=numbers.hidden)
            for part in np.ma.clump_masked(hidden):  # type: ignore[no-untyped-call]
                ax.axvspan(*numbers.edges[[part.start, part.stop]], zorder=0, **BLINDED)
        entries.append(("Data blinded", Rectangle((0, 0), 1, 1, **BLINDED)))
    _draw_legend(top, entries, title)


def _draw_legend(ax: Axes, entries: list[tuple[str, Any]], title: str) -> None:
    """Legend in the largest font with which it fits."""
    for size in LEGEND_FONTS:
        ax.legend(
            [handle for _, handle in entries], [label for label, _ in entries], title=title,
            loc="upper right", ncols=2 if len(entries) > 4 else 1, fontsize=size,
            title_fontsize=size * 1.1, alignment="left", columnspacing=1.0, handletextpad=0.5,
            labelspacing=0.35,
        )  # fmt: skip
        box = _legend_box(ax)
        if box.width < 0.98 and box.y0 > 0.45:
            return


def _legend_box(ax: Axes) -> Bbox:
    """Place of the legend in units of its axes."""
    legend = ax.get_legend()
    assert legend is not None
    return legend.get_window_extent().transformed(ax.transAxes.inverted())


def _events_label(numbers: Contents) -> str:
    """Events per bin; with the width where all bins have the same."""
    widths = np.diff(numbers.edges)
    unit = re.search(r"\[(.+)\](?: \(with \w+.*\))?\s*$", numbers.label)
    if unit is None or not np.allclose(widths, widths[0]):
        return "Events / bin"
    return f"Events / {widths[0]:.4g} {unit.group(1)}"


def _make_room(ax: Axes, numbers: Contents, look: Look) -> None:
    """Raise the axis until the highest content is below legend and text."""
    shown = [numbers.total, *numbers.signals.values()]
    scales = _signal_scales(numbers, look)
    heights = [numbers.total + numbers.up]
    heights += [numbers.signals[name] * scale for name, scale in scales.items()]
    if numbers.data is not None:
        shown.append(np.nan_to_num(numbers.data))
        heights.append(shown[-1] + numbers.data_errors()[1] * ~numbers.hidden)
    highest = max(float(np.max(height)) for height in heights)
    highest = highest if highest > 0 else 1.0
    free = max(_legend_box(ax).y0 - HEADROOM, 0.3)
    if look.log and any((values > 0).any() for values in shown):
        positive = numbers.total[numbers.total > 0]
        low = max(float(positive.min(initial=highest)) / 3, highest * 1e-6)
        ax.set_yscale("log")
        ax.set_ylim(low, low * (highest / low) ** (1 / free))
    else:
        ax.set_ylim(0, highest / free)
        ax.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5), useMathText=True)
