from __future__ import annotations

import numpy as np
import pytest

from intccms.histograms import Book, shifts, total_uncertainty, uncertainty_sources


def test_sources_are_named_once_without_direction(book: Book) -> None:
    assert uncertainty_sources(book, ["ttbar", "wjets"]) == ("jes", "pileup")
    assert uncertainty_sources(book, ["wjets", "data"]) == ("jes",)


def test_shifts_of_processes_add_before_anything_is_squared(book: Book) -> None:
    found = shifts(book, "sr", "mtt", ["ttbar", "wjets"])
    # first bin, jes up: ttbar 0.5 * 1 + 10 * 1, wjets -1
    assert found["jes"][1].tolist() == [9.5, 0.0]
    assert found["jes"][0].tolist() == [0.0, -0.5]  # -0.5 + 0.5 and 0.5 * (1 - 2)
    assert found["pileup"][1].tolist() == [0.0, 0.5]
    assert found["pileup"][0].tolist() == [0.0, 1.0]


def test_band_is_statistical_and_systematic_in_quadrature(book: Book) -> None:
    down, up = total_uncertainty(book, "sr", "mtt", ["ttbar", "wjets"])
    statistical = [104.0 + 4.0, 101.0 + 4.0]
    # second bin: both pileup variations go up, so the larger counts, once
    assert up == pytest.approx(np.sqrt([statistical[0] + 9.5**2, statistical[1] + 1.0]))
    assert down == pytest.approx(np.sqrt([statistical[0], statistical[1] + 0.5**2]))


def test_process_without_variations_has_its_statistical_band(book: Book) -> None:
    down, up = total_uncertainty(book, "sr", "mtt", ["data"])
    assert down.tolist() == up.tolist() == [1.0, 1.0]
