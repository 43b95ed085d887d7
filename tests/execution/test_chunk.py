from __future__ import annotations

import gc
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.processor.executor import WorkItem

from intccms.execution import chunk
from intccms.execution.checkpoints import CheckpointStore
from intccms.execution.chunk import ChunkOutcome, ChunkPolicy, run_chunk
from intccms.execution.tasks import ChunkStatus, ChunkTask
from intccms.histograms.exact import ExactSums


@dataclass(frozen=True)
class Counter:
    """Adds up a column; fails as often as it is told to by the file `faults`."""

    column: tuple[str, str] = ("Muon", "pt")
    faults: Path | None = None

    def process(self, events: ak.Array) -> dict[str, Any]:
        if self.faults is not None and self.faults.exists():
            left = int(self.faults.read_text()) - 1
            self.faults.write_text(str(left)) if left else self.faults.unlink()
            raise OSError("Operation expired")
        collection, field = self.column
        total = float(ak.sum(events[collection][field]))
        sumw = ExactSums.total([total])
        return {"n_events": len(events), "n_kept": 0, "sumw": sumw, "fill_s": 0.0}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "BACKOFF_S", 0.01)


@pytest.fixture(scope="module")
def good(shared_data: Path) -> Path:
    return shared_data / "nano/nano_dy.root"


def task(*paths: Path, entries: tuple[int, int] = (0, 40)) -> ChunkTask:
    with uproot.open(paths[-1]) as file:
        uuid = str(file.file.uuid)
    item = WorkItem("mc", "/store/a.root", "Events", *entries, uuid)
    return ChunkTask(item, tuple(str(path) for path in paths))


def run(chunk_task: ChunkTask, processor: Counter, max_retries: int = 3) -> ChunkOutcome:
    return run_chunk(chunk_task, processor, ChunkPolicy(max_retries))


def test_a_receipt_says_what_was_done(good: Path) -> None:
    receipt = run(task(good, entries=(10, 30)), Counter()).report
    assert (receipt.status, receipt.tries, receipt.n_events) == ("done", 1, 20)
    assert (receipt.dataset, receipt.file) == ("mc", "/store/a.root")
    assert (receipt.entry_start, receipt.entry_stop, receipt.n_planned) == (10, 30, 20)
    assert receipt.bytes_read > 0
    assert receipt.n_requests == 2  # one for each column
    assert receipt.read_s > receipt.decompress_s > 0
    assert receipt.process_s >= 0
    assert receipt.rss_bytes > 10_000_000
    assert receipt.host
    assert receipt.sumw > 0


def test_the_sums_say_which_branches_were_read(good: Path) -> None:
    outcome = run(task(good, entries=(10, 30)), Counter())
    assert outcome.sums is not None
    assert set(outcome.sums["columns"]) == {"nMuon", "Muon_pt"}
    assert sum(outcome.sums["columns"].values()) == outcome.report.bytes_read


def test_garbage_is_searched_as_before_when_a_chunk_is_done(good: Path) -> None:
    before = gc.get_threshold()
    during: list[tuple[int, int, int]] = []

    class Watcher(Counter):
        def process(self, events: Any) -> dict[str, Any]:
            during.append(gc.get_threshold())
            return super().process(events)

    run(task(good), Watcher())
    assert during != [before]
    assert gc.get_threshold() == before


def test_a_failure_that_passes_is_tried_again(good: Path, tmp_path: Path) -> None:
    faults = tmp_path / "faults"
    faults.write_text("1")
    receipt = run(task(good), Counter(faults=faults)).report
    assert (receipt.status, receipt.tries) == ("done", 2)


def test_tries_are_bounded(good: Path, tmp_path: Path) -> None:
    faults = tmp_path / "faults"
    faults.write_text("100")
    outcome = run(task(good), Counter(faults=faults), max_retries=2)
    receipt = outcome.report
    assert (receipt.status, receipt.tries) == ("failed", 3)
    assert (receipt.error_type, receipt.error) == ("OSError", "Operation expired")
    assert outcome.sums is None


def test_a_column_that_cannot_be_read_makes_a_failed_receipt(shared_data: Path) -> None:
    outcome = run(task(shared_data / "broken/corrupt_basket_Muon_pt.root"), Counter())
    receipt = outcome.report
    assert (receipt.status, receipt.stage, receipt.tries) == ("failed", "read", 1)
    assert receipt.error_type
    assert "decompressing" in receipt.error
    assert outcome.trace == ""


def test_other_columns_of_that_file_are_read(shared_data: Path) -> None:
    broken = task(shared_data / "broken/corrupt_basket_Muon_pt.root")
    assert run(broken, Counter(("Jet", "pt"))).report.status == "done"


def test_the_next_place_of_a_file_is_tried(shared_data: Path, good: Path) -> None:
    places = (shared_data / "broken/truncated_50pct.root", good)
    receipt = run(task(*places), Counter()).report
    assert (receipt.status, receipt.tries) == ("done", 2)


def test_a_file_that_is_broken_everywhere_is_given_up(shared_data: Path, good: Path) -> None:
    broken = tuple(
        str(shared_data / "broken" / name) for name in ("bad_magic.root", "header_only_100B.root")
    )
    receipt = run(ChunkTask(task(good).item, broken), Counter()).report
    assert (receipt.status, receipt.stage, receipt.tries) == ("failed", "open", 2)


def test_a_file_that_was_replaced_is_not_read(shared_data: Path, good: Path) -> None:
    other = ChunkTask(task(good).item, (str(shared_data / "nano/nano_dimuon.root"),))
    receipt = run(other, Counter()).report
    assert receipt.status == "failed"
    assert "was replaced" in receipt.error


def test_a_fault_of_the_function_is_tried_once_and_shown(good: Path) -> None:
    outcome = run(task(good), Counter(("Muon", "no_such")))
    assert (outcome.report.status, outcome.report.tries) == ("failed", 1)
    assert outcome.report.stage == "process"
    assert "test_chunk.py" in outcome.trace


def test_the_redirector_is_told_without_the_name_of_the_file(good: Path) -> None:
    receipt = run(
        ChunkTask(task(good).item, ("root://127.0.0.1:9//store/a.root",)), Counter(), max_retries=0
    ).report
    assert receipt.status == "failed"
    assert receipt.redirector == "root://127.0.0.1:9"


def test_a_basket_that_is_damaged_is_named_by_its_branch(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        types = {"run": "uint32", "Thing_pt": "var * float32"}
        file.mktree("Events", types, counter_name=lambda _: "nThing")
        things = ak.unflatten(np.arange(400, dtype="f4"), np.full(200, 2))
        file["Events"].extend({"run": np.arange(200, dtype="u4"), "Thing_pt": things})
    with uproot.open(path) as file:
        branch = file["Events/Thing_pt"]
        start = int(branch.member("fBasketSeek")[0]) + int(branch.basket_key(0).fKeylen)
    content = bytearray(path.read_bytes())
    content[start + 20 : start + 60] = bytes(40)
    path.write_bytes(content)
    receipt = run(task(path, entries=(0, 200)), Counter(("Thing", "pt")), max_retries=0).report
    assert (receipt.status, receipt.stage) == ("failed", "read")
    assert receipt.error.endswith("(in branch Thing_pt)")
    assert len(receipt.error) <= 300


CODECS = {"ExactSums": ExactSums}


def test_a_result_that_is_kept_is_taken(good: Path, tmp_path: Path) -> None:
    policy = ChunkPolicy(store=CheckpointStore(str(tmp_path), codecs=CODECS))
    planned = replace(task(good, entries=(10, 30)), key="0" * 64)
    done = run_chunk(planned, Counter(), policy).report
    again = run_chunk(planned, Counter(), policy).report
    assert again == replace(done, status=ChunkStatus.RESUMED)


@pytest.mark.parametrize(
    "forged",
    [
        {"n_events": 19},
        {"receipt": {"n_events": 19}},
        {"receipt": {"dataset": "other"}},
        {"receipt": {"entry_start": 0}},
        {"receipt": {"status": "failed"}},
        {"receipt": {"sumw": 1e9}},
        {"receipt": {"no_such_field": 1}},
        {"sumw": 3.0},
    ],
    ids=str,
)
def test_a_result_of_other_events_is_made_again(
    good: Path, tmp_path: Path, forged: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = CheckpointStore(str(tmp_path), codecs=CODECS)
    policy = ChunkPolicy(store=store)
    planned = replace(task(good, entries=(10, 30)), key="0" * 64)
    done = run_chunk(planned, Counter(), policy)
    saved = store.load("0" * 64)
    assert saved is not None
    forged = dict(forged)
    saved["receipt"] |= forged.pop("receipt", {})
    saved["sums"] |= forged
    store.save("0" * 64, saved)
    again = run_chunk(planned, Counter(), policy)
    assert again.report.status is ChunkStatus.DONE
    assert again.report.sumw == done.report.sumw
    assert "is of other events" in caplog.text or "that is none" in caplog.text


@dataclass(frozen=True)
class Hungry(Counter):
    """Takes a while, and has memory for ten events."""

    def process(self, events: ak.Array) -> dict[str, Any]:
        time.sleep(0.02)
        if len(events) > 10:
            raise MemoryError
        return super().process(events)


def test_the_time_of_a_halved_chunk_is_all_of_it_and_its_parts_fit_in(good: Path) -> None:
    begin = time.perf_counter()
    receipt = run(task(good, entries=(0, 40)), Hungry()).report
    assert receipt.status is ChunkStatus.DONE
    assert receipt.n_events == 40
    assert receipt.has_possible_times
    assert 7 * 0.02 <= receipt.wall_s <= time.perf_counter() - begin  # 1 + 2 + 4 tries
    assert receipt.process_s >= 4 * 0.02


def test_the_times_of_chunks_that_fail_or_are_tried_again_are_possible(
    good: Path, tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    faults.write_text("1")
    again = run(task(good), Counter(faults=faults)).report
    assert (again.status, again.tries) == (ChunkStatus.DONE, 2)
    faults.write_text("1")
    failed = run(task(good), Counter(faults=faults), max_retries=0).report
    assert failed.status is ChunkStatus.FAILED
    assert again.has_possible_times
    assert failed.has_possible_times
