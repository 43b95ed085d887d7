"""The look of every figure, the CMS label, and how figures are saved."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import mplhep
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from intccms.histograms import Book
from intccms.schema import Config, Plotting
from intccms.schema.datasets import is_signal_name
from intccms.storage import write_bytes

# M. A. Petroff, arXiv:2107.02270, ten colours: told apart with all kinds of colour vision
PALETTE: tuple[str, ...] = tuple(
    plt.style.library["petroff10"]["axes.prop_cycle"].by_key()["color"]
)
SHRINKING_STEPS = 10  # of 7 % each
GAP_EM = 0.3  # between status and luminosity


@dataclass(frozen=True)
class Look:
    """What all figures of a run share.

    Examples
    --------
    >>> look = Look(lumi_fb=16.4, status="Open Data")
    >>> look.label_of("wjets")
    'wjets'
    >>> look.ordered(["wjets", "signal"])
    ('wjets', 'signal')
    """

    plotting: Plotting = field(default_factory=Plotting)  # colours, labels and order
    lumi_fb: float | None = None  # integrated luminosity in 1/fb
    period: str = ""  # of data taking, in the heading of a legend; "": all of it
    sqrt_s_tev: float = 13.0
    status: str = "Private work"  # after "CMS"; "Preliminary" and "" are for approved results
    signals: tuple[str, ...] | None = None  # None: by name, as the statistics do
    other_signals: tuple[str, ...] | None = None  # neither fitted nor drawn; None: by name
    data: tuple[str, ...] = ("data",)  # black, in figures that know no book
    processes: tuple[str, ...] = ()  # all of the run
    signal_scale: float | None = None  # factor of the overlaid signals; None: what shows them
    n_signals: int = 3  # overlaid at most, from the first to the last
    panel: Literal["ratio", "pull"] = "ratio"  # below a distribution
    log: bool = False  # logarithmic axis of events

    def is_signal(self, process: str) -> bool:
        """Whether a process is never stacked: a signal, or one by its name that is not fitted."""
        if self.signals == ():
            return False
        if self.other_signals is None and is_signal_name(process):
            return True
        return process in (*(self.signals or ()), *(self.other_signals or ()))

    def overlaid(self, processes: Iterable[str]) -> tuple[str, ...]:
        """Signals to be drawn: all, or `n_signals` of them with even steps in between."""
        named = self.ordered(processes)
        names = tuple(name for name in named if self.is_signal(name))
        if self.signals is not None:
            names = tuple(name for name in named if name in self.signals)
        n = min(self.n_signals, len(names))
        return tuple(names[round(i * (len(names) - 1) / max(n - 1, 1))] for i in range(n))

    def label_of(self, process: str) -> str:
        """Legend label of a process."""
        return self.plotting.process_labels.get(process, process)

    def channel(self, name: str) -> str:
        """Name of a channel in figures."""
        return self.plotting.channel_labels.get(name, name)

    def ordered(self, processes: Iterable[str]) -> tuple[str, ...]:
        """All processes in the configured order, the others after them in their own."""
        names = tuple(processes)
        first = tuple(name for name in self.plotting.process_order if name in names)
        return first + tuple(name for name in names if name not in first)

    def colors_of(self, processes: Collection[str]) -> dict[str, str]:
        """Colour of each process, in all figures; the others take what is left of the palette."""
        chosen = self.plotting.process_colors
        taken = {color.lower() for color in chosen.values()}
        free = cycle([color for color in PALETTE if color not in taken] or PALETTE)
        named = dict.fromkeys([*self.processes, *processes])
        colors = {name: chosen[name] if name in chosen else next(free) for name in named}
        return {name: colors[name] for name in processes}


PLAIN = Look()


def look_of(config: Config, book: Book | None = None) -> Look:
    """Give all figures of a run their colours, labels and luminosity.

    Parameters
    ----------
    config
        Its luminosity is that of the years of the processes that take part.
    book
        Knows which processes are data, where there is one.
    """
    lumi, entries = config.general.lumi, config.datasets.datasets
    if isinstance(lumi, dict):
        years = {year for one in entries if one.name in config.processes for year in one.years}
        lumi = sum(value for year, value in lumi.items() if year in years)
    data = tuple(entry.name for entry in entries if entry.is_data)
    if book is not None:
        data = book.data_processes
    look = Look(config.plotting, lumi / 1000, data=data, signals=config.signals)
    simulated = look.ordered(entry.name for entry in entries if not entry.is_data)
    return replace(look, other_signals=config.other_signals, processes=simulated)


@contextmanager
def cms_style(**settings: Any) -> Iterator[None]:
    """Matplotlib settings of CMS, undone at the end.

    Parameters
    ----------
    **settings
        Further settings, with ``_`` for the ``.`` that a keyword cannot hold: ``font_size=14``.
    """
    known = {name.replace(".", "_"): name for name in mpl.rcParams}
    extra: dict[str, Any] = {known[name]: value for name, value in settings.items()}
    with plt.style.context([mplhep.style.CMS, extra]):
        yield


class CmsFigure(Figure):
    """A figure that is drawn in CMS style wherever that happens.

    Matplotlib looks fonts up when it draws, which in a notebook is long after the plot function.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._labels: list[tuple[Annotation, Annotation, Annotation]] = []
        super().__init__(*args, **options)

    def fit_later(self, texts: tuple[Annotation, Annotation, Annotation]) -> None:
        """Make the texts of a label fit when it is known how wide its axes are."""
        self._labels.append(texts)

    def draw(self, renderer: RendererBase) -> None:
        """Draw everything, in the style."""
        self.lay_out()
        with cms_style():
            super().draw(renderer)

    def lay_out(self) -> None:
        """Place the axes for good, and make labels above them fit; again it does nothing."""
        with cms_style():
            engine = self.get_layout_engine()
            if engine is not None:
                engine.execute(self)
                self.set_layout_engine(None)
            while self._labels:
                _shrink_to_fit(self._labels.pop())

    def get_tightbbox(self, *args: Any, **options: Any) -> Bbox:
        """Measure what is drawn, in the style too."""
        with cms_style():
            return super().get_tightbbox(*args, **options)


def new_figure(**options: Any) -> Figure:
    """Empty figure in CMS style that pyplot knows, so that notebooks show it."""
    return plt.figure(FigureClass=CmsFigure, **options)


def figure_of(ax: Axes) -> Figure:
    """Figure that axes belong to."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


@contextmanager
def cms_axes(  # noqa: PLR0913 - all but the first three by name
    ax: Axes | None,
    look: Look,
    size: tuple[float, float],
    *,
    with_data: bool = False,
    label_size: float = 26.0,
    **settings: Any,
) -> Iterator[Axes]:
    """Give axes in CMS style to draw in; the label is written when all else is drawn.

    Parameters
    ----------
    ax, size
        Axes of one's own, or None: new ones of a width and a height in inches.
    look, with_data, label_size
        As for `cms_label`.
    **settings
        As for `cms_style`.
    """
    with cms_style(**settings):
        if ax is None:
            ax = new_figure(figsize=size, layout="constrained").add_subplot()
        yield ax
        cms_label(ax, look, with_data=with_data, fontsize=label_size)


def cms_label(ax: Axes, look: Look, *, with_data: bool = True, fontsize: float = 26) -> None:
    """Write "CMS", the status, luminosity and energy above the axes.

    Parameters
    ----------
    ax
        Axes to write above.
    look
        Says what is written.
    with_data
        Where no data are shown the status becomes "Simulation …".
    fontsize
        Size of the status in points; the others follow from it.
    """
    status = look.status if with_data else simulated(look.status)
    lumi = "" if look.lumi_fb is None else rf"{look.lumi_fb:.3g} $\mathrm{{fb^{{-1}}}}$ "
    high = 0.2 * fontsize
    common: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
    ax.set_title("", y=1.0)  # stays there: to find another place costs as much as to draw the axes
    cms = ax.annotate(
        "CMS", (0, 1), (_power_points(ax), high), xycoords="axes fraction",
        fontsize=1.2 * fontsize, fontweight="bold", **common,
    )  # fmt: skip
    middle = ax.annotate(
        status, (1, 1), (0.25 * fontsize, high), xycoords=(cms, ax.transAxes),
        fontsize=fontsize, fontstyle="italic", **common,
    )  # fmt: skip
    right = ax.annotate(
        f"{lumi}({look.sqrt_s_tev:g} TeV)", (1, 1), (0, high), xycoords="axes fraction",
        fontsize=fontsize / 1.1, ha="right", **common,
    )  # fmt: skip
    figure = ax.figure.get_figure(root=True)
    if isinstance(figure, CmsFigure):
        figure.fit_later((cms, middle, right))
    else:
        _shrink_to_fit((cms, middle, right))


def _shrink_to_fit(texts: tuple[Annotation, Annotation, Annotation]) -> None:
    """Make the three texts of the label as small as it takes to stand side by side."""
    for _ in range(SHRINKING_STEPS):
        _, middle, right = (text.get_window_extent() for text in texts)
        if middle.x1 + GAP_EM * middle.height < right.x0:
            return
        for text in texts:
            text.set_fontsize(0.93 * float(text.get_fontsize()))


def _power_points(ax: Axes) -> float:
    """Width in points of what stands above the axis of events where its ticks have a "x 10^6"."""
    formatter = ax.yaxis.get_major_formatter()
    formatter.set_locs(list(ax.yaxis.get_majorticklocs()))
    text = ax.yaxis.get_offset_text()
    text.set_text(formatter.get_offset())
    return 1.1 * float(text.get_window_extent().width) * 72 / ax.figure.dpi


def simulated(status: str) -> str:
    """Status of a figure without data: "Simulation …"."""
    return status if status.startswith("Simulation") else f"Simulation {status}".strip()


log = logging.getLogger(__name__)

Planned = tuple[Path, Callable[[], tuple[Any, Any]]]  # path without suffix; gives figure and axes


class Drawn(NamedTuple):
    """What became of a planned figure."""

    stem: Path  # without suffix
    files: tuple[Path, ...] = ()
    error: str = ""  # why there are none


# without dates and versions the same figure gives the same file
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save(figure: Figure, stem: Path, *, dpi: float = 100) -> tuple[Path, Path]:
    """Write a figure as PNG and as PDF, and close it in pyplot.

    A closed figure is still there for who holds it: as the last line of a cell it is shown.

    Parameters
    ----------
    figure
        What a plot function gave.
    stem
        Path without suffix; missing directories are made.
    dpi
        Resolution of the PNG, in pixels per inch.

    Returns
    -------
    tuple of Path
        The PNG and the PDF.
    """
    paths = []
    for suffix in METADATA:
        path = stem.with_name(f"{stem.name}.{suffix}")
        write_bytes(path, rendered(figure, suffix, dpi=dpi))
        paths.append(path)
    plt.close(figure)
    return paths[0], paths[1]


def rendered(figure: Figure, suffix: str = "png", *, dpi: float = 100) -> bytes:
    """Give a figure as the content of a file, ``png`` or ``pdf``; the same at each call."""
    if isinstance(figure, CmsFigure):
        figure.lay_out()
    memory = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}):  # TrueType, which one can edit
        figure.savefig(memory, format=suffix, dpi=dpi, metadata=METADATA[suffix])
    return memory.getvalue()


def draw_and_save(index: int, planned: Sequence[Planned]) -> Drawn:
    """Try to draw and save one figure of a list; for processes, which get the whole list once.

    A figure that cannot be drawn stops no other: the answer says why.

    Parameters
    ----------
    index
        Which one.
    planned
        Where figures go, and what draws them.
    """
    stem, make = planned[index]
    before = set(plt.get_fignums())
    try:
        figure, _ = make()
        return Drawn(stem, save(figure, stem))
    except OSError:  # a full disk is no fault of the figure
        raise
    except Exception as error:
        log.debug("%s cannot be drawn", stem, exc_info=error)
        return Drawn(stem, error=f"{type(error).__name__}: {' '.join(str(error).split())}")
    finally:  # also one that was begun
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
