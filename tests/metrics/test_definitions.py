"""Metrics from numbers that were published, and what is said of numbers that cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intccms.metrics.definitions import (
    ALIASES,
    METRICS,
    Measured,
    by_old_names,
    evaluate,
    violations,
)

WALL_S = 4 * 60 + 23
# A run on an analysis facility: 349.2 workers of two threads on average.
PUBLISHED = Measured(
    n_events=6_827_277_103,
    bytes_read=628_000_000_000,
    wall_s=WALL_S,
    n_chunks=39_603,
    core_s=349.2 * 2 * WALL_S,
    worker_s=349.2 * WALL_S,
)


def test_published_numbers_give_the_published_rates() -> None:
    values = evaluate(PUBLISHED)
    assert values["event_rate_khz"] / 1e3 == pytest.approx(25.96, abs=0.005)
    assert values["data_rate_gbps"] == pytest.approx(19.10, abs=0.005)
    assert values["event_rate_core_khz"] == pytest.approx(37.2, abs=0.05)
    assert values["avg_workers"] == pytest.approx(349.2)
    assert values["total_cores"] == pytest.approx(698.4)


def test_names_of_earlier_tools_give_the_same_in_their_units() -> None:
    values = evaluate(PUBLISHED)
    old = by_old_names(values)
    assert set(old) == set(ALIASES)
    assert old["overall_rate_gbps"] == values["data_rate_gbps"]
    assert old["event_rate_elapsed_khz"] == values["event_rate_khz"]
    assert old["event_rate_core_hz"] == pytest.approx(37_168, abs=10)
    assert old["data_rate_mbps"] == pytest.approx(628_000 / WALL_S)
    assert old["total_bytes_read"] == pytest.approx(628e9)
    assert old["peak_memory_bytes"] is None


def test_every_metric_says_what_it_is() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert not set(names) & set(ALIASES)
    assert {own for own, _ in ALIASES.values()} <= set(names)
    assert all(metric.label and metric.formula and metric.doc for metric in METRICS)


def test_what_was_not_measured_has_no_value() -> None:
    values = evaluate(Measured(n_events=0, bytes_read=0, wall_s=0.0))
    assert values["event_rate_khz"] is None
    assert values["core_efficiency"] is None
    assert values["branch_coverage"] is None


CONSISTENT = Measured(
    n_events=10, bytes_read=10, wall_s=10.0, n_chunks=3, n_planned=6, n_resumed=2, n_lost=1,
    chunk_s=15.0, open_s=1.0, read_s=4.0, decompress_s=2.0, process_s=8.0, fill_s=1.0,
    core_s=20.0, column_bytes=10, tree_bytes=100,
)  # fmt: skip


def test_consistent_numbers_are_not_complained_of() -> None:
    assert violations(CONSISTENT) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"core_s": 10.0}, "the threads had 10.0 s only"),
        ({"n_lost": 0}, "are not the 6 that were planned"),
        ({"process_s": 80.0}, "the parts of the chunks add up to"),
        ({"decompress_s": 8.0}, "of reading went into decompression"),
    ],
)
def test_what_cannot_be_is_said(changed: dict[str, float], said: str) -> None:
    (text,) = violations(replace(CONSISTENT, **changed))
    assert said in text
