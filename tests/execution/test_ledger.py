from __future__ import annotations

import json
from typing import Any

import pytest

from intccms.execution.accounting import Ledger, LostChunk
from intccms.execution.tasks import ChunkReport


def receipt(file: str, start: int, stop: int, **more: Any) -> ChunkReport:
    status = more.pop("status", "done")
    done = {} if status == "failed" else {"n_events": stop - start, "sumw": float(stop - start)}
    return ChunkReport("mc", file, "uuid", start, stop, status, **{**done, **more})


FAILED = {"status": "failed", "error_type": "OSError", "error": "gone"}


def closed(*receipts: ChunkReport, never: tuple[LostChunk, ...] = ()) -> Ledger:
    return Ledger.closed(["mc", "other"], receipts, never)


def test_planned_is_processed_when_nothing_is_lost() -> None:
    ledger = closed(receipt("a", 0, 10), receipt("a", 10, 20), receipt("b", 0, 5))
    book = ledger.datasets["mc"]
    assert book.planned == book.processed
    assert (book.planned.files, book.planned.chunks, book.planned.events) == (2, 3, 25)
    assert book.planned.sumw == 25.0
    assert ledger.is_complete
    assert ledger.lost_fraction() == 0.0
    assert ledger.n_processed == 25


def test_planned_minus_processed_is_lost() -> None:
    ledger = closed(receipt("a", 0, 10), receipt("a", 10, 30, **FAILED), receipt("b", 0, 10))
    book = ledger.datasets["mc"]
    for what in ("files", "chunks", "events"):
        planned, done, lost = (
            getattr(amount, what) for amount in (book.planned, book.processed, book.lost)
        )
        assert planned - done == lost, what
    assert (book.lost.files, book.lost.chunks, book.lost.events) == (1, 1, 20)
    assert ledger.lost_fraction() == 0.5
    assert ledger.lost_chunks == [LostChunk("mc", "a", (10, 30), "OSError: gone")]


def test_the_sum_of_weights_of_what_was_lost_is_not_known() -> None:
    book = closed(receipt("a", 0, 10), receipt("a", 10, 30, **FAILED)).datasets["mc"]
    assert (book.planned.sumw, book.processed.sumw, book.lost.sumw) == (None, 10.0, None)


def test_a_file_that_never_opened_is_lost_and_of_unknown_size() -> None:
    never = LostChunk("mc", "b", None, "OSError: truncated")
    ledger = closed(receipt("a", 0, 10), never=(never,))
    book = ledger.datasets["mc"]
    assert (book.planned.files, book.processed.files, book.lost.files) == (2, 1, 1)
    assert (book.planned.events, book.lost.events, book.lost.sumw) == (None, None, None)
    assert book.files_of_unknown_size == 1
    assert ledger.lost_fraction() == 0.5
    assert not ledger.is_complete


def test_a_file_without_events_counts_as_a_file() -> None:
    ledger = closed(receipt("a", 0, 10))
    ledger.add_empty("mc")
    book = ledger.datasets["mc"]
    assert (book.planned.files, book.processed.files, book.planned.chunks) == (2, 2, 1)


def test_resumed_chunks_are_processed_and_counted_apart() -> None:
    book = closed(receipt("a", 0, 10), receipt("a", 10, 30, status="resumed")).datasets["mc"]
    assert (book.processed.events, book.resumed.events, book.resumed.chunks) == (30, 20, 1)


def test_tries_after_the_first_are_retries() -> None:
    assert closed(receipt("a", 0, 10, tries=3), receipt("b", 0, 1)).retries == 2


def test_a_dataset_without_receipts_has_an_empty_book() -> None:
    assert closed().datasets["other"].planned.events == 0


@pytest.mark.parametrize("lost", [False, True])
def test_the_table_has_a_line_for_each_dataset(lost: bool) -> None:
    receipts = [receipt("a", 0, 10), receipt("b", 0, 2000, **(FAILED if lost else {}))]
    header, first, second = closed(*receipts).rows()
    assert header[0] == "dataset"
    assert first[0] == "mc"
    assert first[-1] == ("2,000" if lost else "0")
    assert second[0] == "other"


def test_the_ledger_is_plain_enough_for_json() -> None:
    never = LostChunk("mc", "b", None, "OSError: truncated")
    table = json.loads(json.dumps(closed(receipt("a", 0, 10), never=(never,)).to_dict()))
    assert table["lost_chunks"][0]["entries"] is None
    assert table["datasets"]["mc"]["planned"]["events"] is None
