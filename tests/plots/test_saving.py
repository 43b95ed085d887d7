from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from intccms.histograms import Book
from intccms.plots import data_mc, save


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
