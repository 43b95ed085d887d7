"""Two observables at once: what is expected and what is seen, as maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from intccms.engine.derived import Plane
from intccms.histograms import Book
from intccms.plots.data_mc import Blind, contents
from intccms.plots.style import PLAIN, Look, cms_label, cms_style, figure_of, new_figure

FloatArray = npt.NDArray[np.float64]
COLORS = "viridis"  # of even steps for all kinds of colour vision
HIDDEN = "#d9d9d9"  # bins that are empty, or whose data are blinded
FONT = 20.0


def maps(
    book: Book,
    channel: str,
    observable: str,
    plane: Plane,
    *,
    look: Look = PLAIN,
    blind: Blind = None,
) -> tuple[Figure, list[Axes]]:
    """Draw the background, the data where they may be seen, and the first signal.

    Parameters
    ----------
    book, channel, observable
        What is drawn; the observable is one of `plane`.
    plane
        Edges and labels of both axes.
    look, blind
        As for `data_mc`.

    Returns
    -------
    figure, axes
        One axes per map; all have the same colours.
    """
    numbers = contents(book, channel, observable, look, blind)
    shown: dict[str, FloatArray] = {"Background": numbers.total}
    if numbers.data is not None and numbers.shows_data:
        shown["Data"] = numbers.data
    shown |= {look.label_of(name): values for name, values in [*numbers.signals.items()][:1]}
    with cms_style(font_size=FONT):
        figure = new_figure(figsize=(7.5 * len(shown) + 1.5, 7.5), layout="constrained")
        axes = list(figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0])
        _draw(axes, shown, plane)
        for ax in axes:
            ax.set_xlabel(plane.labels[0])
        axes[0].set_ylabel(plane.labels[1])
        cms_label(axes[0], look, with_data="Data" in shown, fontsize=FONT * 1.1)
    return figure, axes


def _draw(axes: list[Axes], shown: Mapping[str, FloatArray], plane: Plane) -> None:
    positive = np.concatenate([values[values > 0] for values in shown.values()])
    norm = LogNorm(positive.min(initial=1.0), max(positive.max(initial=0.0), 2.0))
    for ax, (name, values) in zip(axes, shown.items(), strict=True):
        content = np.ma.masked_where(~(values > 0), values).reshape(plane.shape)
        mesh = ax.pcolormesh(*plane.edges, content, norm=norm, cmap=COLORS, rasterized=True)
        ax.set_facecolor(HIDDEN)
        ax.text(
            0.97, 0.96, name, transform=ax.transAxes, ha="right", va="top",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )  # fmt: skip
    figure_of(axes[0]).colorbar(mesh, ax=axes, label="Events / bin", pad=0.01)
