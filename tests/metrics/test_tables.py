from __future__ import annotations

import math
from typing import Any

import pytest

from intccms.metrics.tables import (
    Table,
    amounts,
    cutflow_table,
    fit_table,
    ledger_table,
    limit_table,
    lost_in_words,
    rate_table,
    with_error,
    yields_table,
)


def amount(files: int, chunks: int | None, events: int | None) -> dict[str, Any]:
    return {"files": files, "chunks": chunks, "events": events, "sumw": None}


def test_html_is_escaped_and_has_one_row_per_row() -> None:
    html = Table("a<b", [["process", "events"], ["<script>", "1"]])._repr_html_()
    assert "<script>" not in html
    assert "a&lt;b" in html
    assert html.count("<tr>") == 2


def test_numbers_are_aligned_right_and_words_left() -> None:
    rows = [["setting", "value"], ["a", "1"]]
    assert str(Table("t", rows)).splitlines()[2] == "a            1"
    assert str(Table("t", rows, is_text=True)).splitlines()[2] == "a        1"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (2205.4, 224.6, "2,205 ± 225"),
        (0.025227, 0.025522, "0.025 ± 0.026"),
        (10.40, 3.354, "10.4 ± 3.4"),
        (5.0, 0.0, "5 ± 0"),
        (None, 1.0, "-"),
        (math.nan, 1.0, "-"),
    ],
)
def test_a_value_is_rounded_to_two_digits_of_its_error(
    value: float | None, error: float, text: str
) -> None:
    assert with_error(value, error) == text


def test_a_cut_that_only_data_have_stands_where_it_was_made() -> None:
    names = {"ttbar": ["all", "one muon"], "data": ["all", "lumi mask", "one muon"]}
    steps = {
        process: [{"name": name, "yields": 1.0, "n_events": 1} for name in cuts]
        for process, cuts in names.items()
    }
    rows = cutflow_table({"cutflow": {"SR": steps}}, "SR").rows
    assert [row[0] for row in rows] == ["cut", "all", "lumi mask", "one muon"]
    assert rows[2] == ["lumi mask", "-", "1.0 (1)"]


def test_yields_of_blinded_data_are_marked() -> None:
    one = {"value": 10.0, "error": 1.0}
    summary = {"yields": {"SR": {"signal": one}, "CR": {"signal": one, "data": one}}}
    assert yields_table(summary).rows == [
        ["process", "SR", "CR"],
        ["signal", "10.0 ± 1.0", "10.0 ± 1.0"],
        ["data", "blinded", "10.0 ± 1.0"],
    ]


def test_the_ledger_sums_what_is_known() -> None:
    none = amount(0, 0, 0)
    books = {
        "a": {
            "planned": amount(2, None, None),
            "processed": amount(1, 1, 100),
            "lost": amount(1, None, None),
            "resumed": none,
        },
        "b": {
            "planned": amount(1, 2, 50),
            "processed": amount(1, 2, 50),
            "lost": none,
            "resumed": amount(1, 1, 25),
        },
    }
    table = ledger_table({"datasets": books})
    assert table.rows[1] == ["a", "1/2", "1", "1/1 + ?", "100 + ?", "100", "?", "0"]
    assert table.rows[3] == ["total", "2/3", "1", "3/3 + ?", "150 + ?", "150", "?", "25"]


def test_in_each_line_planned_is_processed_and_lost() -> None:
    """One file never opened; of the second, one chunk of 40 of 100 events is lost."""
    book = {
        "planned": amount(3, None, None),
        "processed": amount(1, 2, 160),
        "lost": amount(2, None, None) | {"files_of_unknown_size": 1},
        "resumed": amount(0, 0, 0),
    }
    chunks = [
        {"dataset": "a", "file": "1.root", "entries": [60, 100], "error": "OSError: no"},
        {"dataset": "a", "file": "2.root", "entries": None, "error": "OSError: no"},
    ]
    summary = {"datasets": {"a": book}, "lost_chunks": chunks}
    assert amounts(summary, "files") == ("3", "1", "2", "0")
    assert amounts(summary, "chunks")[:3] == ("3 + ?", "2", "1 + ?")
    assert amounts(summary, "events")[:3] == ("200 + ?", "160", "40 + ?")
    assert lost_in_words(summary) == (
        "40 + ? of 200 + ? events and 1 file that could not be opened "
        "(2 of 3 files, wholly or in part)"
    )


def test_a_cutflow_shows_yields_and_events() -> None:
    steps = [{"name": "all", "n_events": 100, "yields": 2.5}]
    table = cutflow_table({"cutflow": {"SR": {"signal": steps, "data": []}}}, "SR")
    assert table.rows == [["cut", "signal", "data"], ["all", "2.5 (100)", "-"]]


def test_fit_and_limits_have_one_row_per_signal() -> None:
    band = {"-2": 1.0, "-1": 1.5, "0": 2.0, "1": 3.0, "2": 4.0}
    fit = {
        "mass_gev": 2000.0,
        "signal_strength": 0.5,
        "signal_strength_error": 0.1,
        "goodness_of_fit_p_value": None,
    }
    limit = {
        "confidence_level": 0.95,
        "expected": 2.0,
        "expected_band": band,
        "observed": 2.5,
        "is_blinded": True,
    }
    assert fit_table({"fit": {"s": fit}}).rows[1] == ["s", "2000", "0.50 ± 0.10", "-"]
    table = limit_table({"limits": {"s": limit}})
    assert table.rows[1] == ["s", "2", "1", "1.5", "3", "4", "2.5 (blinded)"]
    assert "95%" in table.title


def test_rates_are_in_decimal_units() -> None:
    summary = {
        "timing": {"wall_s": 2.0, "read_s": 1.0, "process_s": 2.0, "fill_s": 0.5},
        "throughput": {
            "events_per_s": 12_000.0,
            "events_per_s_per_core": 6_000.0,
            "bytes_read": 250_000_000,
            "gbit_per_s": 1.0,
        },
        "peak_rss_bytes": 500_000_000,
    }
    cells = dict(rate_table(summary).rows)
    assert cells["rate"] == "12 kHz"
    assert cells["read"] == "250.0 MB, 1 Gbit/s"
    assert cells["largest memory of a process"] == "0.50 GB"
