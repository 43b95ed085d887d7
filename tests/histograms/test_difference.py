from __future__ import annotations

import numpy as np
import pytest

from intccms.histograms import Book, HistogramSums, make_book
from intccms.histograms.storage import TemplateChange, template_changes

EDGES = (0.0, 1.0, 2.0, 4.0)
KEY = ("sr", "m")


def book(data: list[float], edges: tuple[float, ...] = EDGES, **weights: list[float]) -> Book:
    """Simulation with one event in each bin and one beyond, and data."""
    values = [0.5, 1.5, 3.0, 9.0]
    sums = {
        "top": HistogramSums.filled(weights, edges, values, list(weights.values())),
        "data": HistogramSums.filled(["nominal"], edges, values, data),
    }
    names = {name: name for name in sums}
    booked = {name: {KEY: one} for name, one in sums.items()}
    return make_book(booked, {"top": 1.0, "data": 1.0}, names, {KEY: (edges, "m")}, ["data"])


def shown(channel: str, observable: str, edges: np.ndarray) -> np.ndarray:
    return np.zeros(edges.size - 1, dtype=bool)


DATA = [4.0, 4.0, 4.0, 4.0]
BEFORE = book(DATA, nominal=[3.0, 4.0, 10.0, 1.0], jes_up=[3.0, 4.0, 9.0, 1.0])


def test_equal_books_do_not_differ() -> None:
    assert list(template_changes(BEFORE, BEFORE, shown)) == []


def test_a_change_names_the_bin_with_most_deviations_of_both_errors() -> None:
    after = book(DATA, nominal=[3.0, 8.0, 11.0, 1.0], jes_up=[3.0, 4.0, 9.0, 1.0])
    [change] = template_changes(BEFORE, after, shown)
    assert (change.process, change.variation, change.n_bins) == ("top", "nominal", 2)
    assert (change.low, change.high, change.before, change.after) == (1.0, 2.0, 4.0, 8.0)
    assert change.relative == 1.0
    assert change.significance == pytest.approx(4 / (16 + 64) ** 0.5)


def test_the_last_bit_counts_unless_it_is_let_pass() -> None:
    weights = [float(np.nextafter(3.0, 4.0)), 4.0, 10.0, 1.0]
    after = book(DATA, nominal=weights, jes_up=[3.0, 4.0, 9.0, 1.0])
    assert [one.n_bins for one in template_changes(BEFORE, after, shown)] == [1]
    assert list(template_changes(BEFORE, after, shown, rtol=1e-12)) == []


def test_overflow_is_compared_too() -> None:
    after = book(DATA, nominal=[3.0, 4.0, 10.0, 2.0], jes_up=[3.0, 4.0, 9.0, 1.0])
    [change] = template_changes(BEFORE, after, shown)
    assert (change.low, change.high) == (4.0, np.inf)


def test_hidden_data_are_not_compared() -> None:
    def first_hidden(channel: str, observable: str, edges: np.ndarray) -> np.ndarray:
        return np.array([True, False, False])

    weights = {"nominal": [3.0, 4.0, 10.0, 1.0], "jes_up": [3.0, 4.0, 9.0, 1.0]}
    after = book([9.0, 5.0, 4.0, 9.0], **weights)
    [change] = template_changes(BEFORE, after, first_hidden)
    assert (change.process, change.n_bins, change.low, change.after) == ("data", 1, 1.0, 5.0)
    hidden = lambda *_: np.ones(3, dtype=bool)  # noqa: E731
    assert list(template_changes(BEFORE, after, hidden)) == []


def test_what_only_one_book_has_and_other_bins_are_named() -> None:
    after = book(DATA, nominal=[3.0, 4.0, 10.0, 1.0], pileup_up=[3.0, 4.0, 10.0, 1.0])
    assert list(template_changes(BEFORE, after, shown)) == [
        TemplateChange(*KEY, "top", "jes_up", reason="only in the first"),
        TemplateChange(*KEY, "top", "pileup_up", reason="only in the second"),
    ]
    coarse = book(DATA, (0.0, 2.0, 4.0), nominal=[3.0, 4.0, 10.0, 1.0])
    reasons = {one.reason for one in template_changes(BEFORE, coarse, shown)}
    assert reasons == {"other bins", "only in the first"}


def test_a_change_without_an_error_or_from_nothing_has_no_size_in_these() -> None:
    change = TemplateChange(*KEY, "top", "nominal", 1, 0.0, 1.0, 0.0, 2.0, 0.0)
    assert change.relative is None
    assert change.significance is None
