from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from intccms.histograms import Book
from intccms.plots import Look
from intccms.plots.comparison import side_by_side
from intccms.plots.data_mc import Contents, contents

NAMES = ("sr, before", "sr, after")


def drawn(first: Contents, second: Contents) -> list:
    _, axes = side_by_side(first, second, NAMES, [Look(), Look()])
    return axes


def test_both_runs_have_the_same_scale_and_their_names(book: Book) -> None:
    first = contents(book, "sr", "mtt", Look())
    more = {name: 2 * values for name, values in first.backgrounds.items()}
    axes = drawn(first, replace(first, backgrounds=more))
    assert axes[0].get_ylim() == axes[2].get_ylim()
    titles = [axes[i].get_legend().get_title().get_text() for i in (0, 2)]
    assert titles == list(NAMES)


def test_ratio_is_second_over_first(book: Book) -> None:
    first = contents(book, "sr", "mtt", Look())
    more = {name: 1.1 * values for name, values in first.backgrounds.items()}
    below = drawn(first, replace(first, backgrounds=more))[-1]
    lines = {one.get_label(): one.get_data().values for one in below.patches
             if isinstance(one, StepPatch)}  # fmt: skip
    assert lines["Background"] == pytest.approx([1.1, 1.1, 1.1])
    assert lines["signal"] == pytest.approx([np.nan, 1.0, 1.0], nan_ok=True)
    assert below.get_ylim() == pytest.approx((0.8, 1.2))


def test_same_runs_have_a_ratio_of_one_and_hidden_data_none(book: Book) -> None:
    first = contents(book, "sr", "mtt", Look(), (0.0, 50.0))
    below = drawn(first, first)[-1]
    points = next(line for line in below.lines if line.get_marker() == "o")
    assert points.get_ydata() == pytest.approx([np.nan, 1.0, np.nan], nan_ok=True)  # 0 / 0 at last
