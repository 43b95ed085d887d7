"""Write figures: the only module of this package that touches the disk."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from intccms.plots.style import CmsFigure
from intccms.storage import write_bytes

__all__ = ["Drawn", "Planned", "draw_and_save", "save"]

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
    if isinstance(figure, CmsFigure):
        figure.lay_out()
    for suffix, metadata in METADATA.items():
        memory = io.BytesIO()
        with mpl.rc_context({"pdf.fonttype": 42}):  # TrueType, which one can edit
            figure.savefig(memory, format=suffix, dpi=dpi, metadata=metadata)
        path = stem.with_name(f"{stem.name}.{suffix}")
        write_bytes(path, memory.getvalue())
        paths.append(path)
    plt.close(figure)
    return paths[0], paths[1]


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
