from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

from intccms.histograms import Book
from intccms.plots import data_mc, save
from intccms.plots.style import new_figure


def test_figure_is_written_as_png_and_pdf_and_closed(book: Book, tmp_path: Path) -> None:
    figure, _ = data_mc(book, "sr", "mtt")
    png, pdf = save(figure, tmp_path / "plots" / "sr.mtt")
    assert (png.name, pdf.name) == ("sr.mtt.png", "sr.mtt.pdf")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert not plt.get_fignums()


def test_same_book_gives_the_same_files(book: Book, tmp_path: Path) -> None:
    first, second = (
        save(data_mc(book, "sr", "mtt")[0], tmp_path / name) for name in ("one", "two")
    )
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_axes_are_laid_out_once_for_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = []
    execute = ConstrainedLayoutEngine.execute
    monkeypatch.setattr(
        ConstrainedLayoutEngine,
        "execute",
        lambda self, figure: laid_out.append(figure) or execute(self, figure),
    )
    figure = new_figure(layout="constrained")
    ax = figure.add_subplot()
    ax.set_ylabel("two\nlines")
    save(figure, tmp_path / "one")
    assert laid_out == [figure]
    assert ax.get_position().x0 * figure.bbox.width > 50  # room for them
