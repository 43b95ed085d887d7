"""What a status counts for, and which times of a chunk can be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from intccms.execution.tasks import ChunkReport, ChunkStatus

GOOD = ChunkReport(
    "data", "/store/a.root", "u", 0, 10, ChunkStatus.DONE,
    open_s=0.1, read_s=0.5, decompress_s=0.2, process_s=0.3, fill_s=0.1, wall_s=1.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("status", "in_rates", "processed", "resumed"),
    [
        (ChunkStatus.DONE, True, True, False),
        (ChunkStatus.CACHED, True, True, False),
        (ChunkStatus.RESUMED, False, True, True),
        (ChunkStatus.FAILED, False, False, False),
    ],
)
def test_a_status_says_what_it_counts_for(
    status: ChunkStatus, in_rates: bool, processed: bool, resumed: bool
) -> None:
    assert (status.is_in_rates, status.is_processed) == (in_rates, processed)
    assert (status.is_resumed, status.is_lost) == (resumed, not processed)


def test_a_receipt_is_read_back_as_it_was_written() -> None:
    again = ChunkReport(**json.loads(json.dumps(GOOD.to_dict())))
    assert again == GOOD
    assert again.status is ChunkStatus.DONE
    assert type(GOOD.to_dict()["status"]) is str


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="half done"):
        replace(GOOD, status="half done")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"process_s": -0.01}, {"read_s": 0.7}, {"decompress_s": 0.6}, {"wall_s": 0.5}],
    ids=lambda one: next(iter(one)),
)
def test_times_that_cannot_be_are_seen(wrong: dict[str, float]) -> None:
    assert GOOD.has_possible_times
    assert not replace(GOOD, **wrong).has_possible_times
