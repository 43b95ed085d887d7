"""The chunk function: opens, reads and processes one work item, and always returns a report."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from multiprocessing import parent_process
from operator import or_
from typing import Any

from coffea.processor import accumulate
from coffea.processor.executor import WorkItem

from intccms.datasets.files import UnreachableError, best_first, note_failure
from intccms.errors import EditedInputError, OtherCodeError
from intccms.execution.attempt import Attempt, ColumnPolicy, Processor
from intccms.execution.checkpoints import CheckpointStore
from intccms.execution.failures import FailureKind, classify, contained
from intccms.execution.tasks import PARTS, ChunkReport, ChunkStatus, ChunkTask
from intccms.fingerprint.digest import content_digest
from intccms.fingerprint.watching import Inputs, begin, known_inputs
from intccms.reading.source import forget

PATIENT = (100_000, 5, 10)
_lock = threading.Lock()
_before: list[tuple[int, int, int]] = []  # one for each thread that is at work


@contextmanager
def patient_collector() -> Iterator[None]:
    """Let new objects pile up before garbage is searched; afterwards all is as it was.

    In a process that was started as a worker it stays so, for what is done between chunks.
    """
    if parent_process() is not None:
        gc.set_threshold(*PATIENT)
        yield
        return
    with _lock:
        _before.append(gc.get_threshold())
        gc.set_threshold(*PATIENT)
    try:
        yield
    finally:
        with _lock:
            first = _before.pop(0)
            if _before:
                _before[0] = first
            else:
                gc.set_threshold(*first)


YOURS = "functions, or another version of a package that they use (restart the workers then)"


class PlannedCode:
    """The digests of what decides the sums of each dataset, to be found again where they are made.

    Parameters
    ----------
    digests
        By dataset; those that other processes cannot find in the same way are not there.
    files
        Digests of the files that are part of it, by path.
    versions
        What else is part of it, to be named if it differs.
    found
        Gives digests and versions as they are in the process that calls it.
    """

    def __init__(
        self,
        digests: Mapping[str, str],
        files: Mapping[str, str],
        versions: Mapping[str, str],
        found: Callable[[], tuple[Mapping[str, str], Mapping[str, str]]],
    ) -> None:
        self.digests, self.files = dict(digests), dict(files)
        self.versions, self._found = dict(versions), found
        self._fault: str | None = ""  # None: not looked at in this process

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind that it was looked at: another process has to do it again."""
        return {**self.__dict__, "_fault": None}

    def check(self, dataset: str) -> str:
        """Return the digest of what is run for a dataset.

        Quick but for the first time in a process: later only files are looked at.

        Raises
        ------
        OtherCodeError
            If this process would run something else.
        EditedInputError
            If it would read something else.
        """
        for path, digest in self.files.items():
            _check_file(path, digest)
        if self._fault is None:
            self._fault = self._compared()
        if self._fault:
            raise OtherCodeError(self._fault)
        return self.digests.get(dataset, "")

    def _compared(self) -> str:
        """Say what differs here; empty: nothing."""
        digests, versions = self._found()
        if all(digests.get(name) == digest for name, digest in self.digests.items()):
            return ""
        other = [
            f"{name} is {versions.get(name)} there, {version} here"
            for name, version in self.versions.items()
            if versions.get(name) != version
        ]
        return f"a worker runs other code than was planned: {', '.join(other) or YOURS}"


def _check_file(path: str, digest: str) -> None:
    try:
        is_same = content_digest(path) == digest
    except OSError as error:
        raise EditedInputError(f"a worker cannot read {path}: {error.strerror}") from error
    if not is_same:
        raise EditedInputError(
            f"{path} is not what it was when the run began: start the run again to use what is in "
            "it now"
        )


log = logging.getLogger(__name__)

TIMES = (*PARTS, "decompress_s", "wall_s")
BACKOFF_S = 0.5  # before the second try; doubled for each further one


@dataclass(frozen=True)
class ChunkPolicy:
    """How chunks are treated.

    Parameters
    ----------
    max_retries
        Tries after the first for failures that may pass, each at the next place of the file.
    store
        Where results are kept; None: nowhere.
    reuse
        Whether a result that is there is taken.
    is_valid
        Says of the sums of such a result whether what they stand for is still there.
    reader_options
        Gives, on the worker, the options with which pieces are opened.
    columns
        Which columns are kept for later runs; None: none.
    planned
        What is to be run; a chunk of which something else would be run fails. None: whatever
        comes.
    timeout_s
        What takes longer is taken to hang; None: from the median of the others.
    """

    max_retries: int = 3
    store: CheckpointStore | None = None
    reuse: bool = True
    is_valid: Callable[[dict[str, Any]], bool] | None = None
    reader_options: Callable[[], Mapping[str, Any]] | None = None
    columns: ColumnPolicy | None = None
    planned: PlannedCode | None = None
    timeout_s: float | None = None

    def check_code(self, task: ChunkTask) -> str:
        """Return the digest of what is run; raise if it is not what was planned."""
        return "" if self.planned is None else self.planned.check(task.item.dataset)

    def cause_of(self, task: ChunkTask, error: Exception) -> Exception:
        """Give what is behind an error: other code, or a file that was edited, if it is that."""
        try:
            self.check_code(task)
        except OtherCodeError as other:
            return other
        return error


@dataclass(frozen=True)
class ChunkOutcome:
    """What became of a chunk.

    Parameters
    ----------
    sums
        What the processor returned; None if the chunk failed.
    report
        Always there.
    trace
        The user's traceback when a user function failed.
    may_pass
        Whether a failure may be gone at the end of the run.
    inputs
        What functions have looked at besides the events: the result holds as long as that does.
    """

    sums: dict[str, Any] | None
    report: ChunkReport
    trace: str = ""
    may_pass: bool = False
    inputs: Inputs = field(default_factory=Inputs)

    @property
    def is_unreachable(self) -> bool:
        """Whether no redirector of its file took a connection."""
        return self.report.error_type == UnreachableError.__name__

    def after(self, before: ChunkOutcome | None) -> ChunkOutcome:
        """Count the tries of an earlier round, too."""
        if before is None:
            return self
        tries = self.report.tries + before.report.tries
        return replace(self, report=replace(self.report, tries=tries))


def run_chunk(task: ChunkTask, processor: Processor, policy: ChunkPolicy) -> ChunkOutcome:
    """Process one work item; no exception leaves this function but KeyboardInterrupt.

    A finished chunk is stored before it is reported, so that a run that is killed at any point
    finds it again. A chunk for which the memory does not suffice is halved.
    """
    known = _stored(task, policy)
    if known is not None:
        return known
    begin()
    with patient_collector():
        outcome = replace(_whole(task, processor, policy), inputs=known_inputs())
    keep(task, outcome, policy)
    return outcome


def _whole(task: ChunkTask, processor: Processor, policy: ChunkPolicy) -> ChunkOutcome:
    """Process all pieces of a task, if it has several."""
    if task.pieces is None or len(task.pieces) == 1:
        return _tried(task, processor, policy)
    return _in_order([replace(task, pieces=(piece,)) for piece in task.pieces], processor, policy)


def keep(task: ChunkTask, outcome: ChunkOutcome, policy: ChunkPolicy) -> None:
    """Store the result of a whole chunk for later runs, unless they cannot tell if it holds."""
    if outcome.sums is None or policy.store is None or task.key is None or task.part is not None:
        return
    if outcome.inputs.beyond:
        return
    kept = {"sums": outcome.sums, "receipt": outcome.report.to_dict()}
    try:
        policy.store.save(task.key, kept | {"inputs": outcome.inputs.to_json()})
    except OSError as exc:  # the result is good all the same, only not kept
        log.warning("cannot keep the result of a chunk of %s: %s", task.item.filename, exc)


def _stored(task: ChunkTask, policy: ChunkPolicy) -> ChunkOutcome | None:
    if policy.store is None or task.key is None or task.part is not None or not policy.reuse:
        return None
    saved = policy.store.load(task.key)
    try:
        return None if saved is None else _resumed(task, saved, policy)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:  # by whom was it written?
        log.warning("a result is kept for %s that is none: %r", task.item.filename, exc)
        return None


def _resumed(task: ChunkTask, saved: Mapping[str, Any], policy: ChunkPolicy) -> ChunkOutcome | None:
    """Return the outcome that was saved; None if it does not hold any more."""
    if policy.is_valid is not None and not policy.is_valid(saved["sums"]):
        return None
    inputs = Inputs.from_json(saved["inputs"])
    if not inputs.is_current:
        return None
    report = ChunkReport(**saved["receipt"])
    if not _is_of(task, saved["sums"], report):
        log.warning(
            "the result that is kept of %s, entries %d to %d, is of other events: made again",
            task.item.filename, task.item.entrystart, task.item.entrystop,
        )  # fmt: skip
        return None
    # the file may have another name by now; the events are the same, its uuid says so
    report = replace(report, status=ChunkStatus.RESUMED, file=task.item.filename)
    return ChunkOutcome(saved["sums"], report, inputs=inputs)


def _is_of(task: ChunkTask, sums: Mapping[str, Any], report: ChunkReport) -> bool:
    """Whether a result is of the planned events: a checksum says only that it was not damaged."""
    item = task.item
    return (
        (report.dataset, report.entry_start, report.entry_stop)
        == (item.dataset, item.entrystart, item.entrystop)
        and report.status.is_processed
        and report.n_events == sums["n_events"] == len(item)
        and report.sumw == sums["sumw"].value
    )


def _tried(task: ChunkTask, processor: Processor, policy: ChunkPolicy) -> ChunkOutcome:
    """Try until it succeeds or cannot."""
    started, clock = time.time(), time.perf_counter()
    outcome = ChunkOutcome(None, ChunkReport("", "", "", 0, 0, ChunkStatus.FAILED))
    kind = FailureKind.PERMANENT
    pfns = task.pfns if task.pieces is None else task.pieces[0].pfns
    for n_try, pfn in enumerate(_places(pfns, policy.max_retries), start=1):
        attempt = Attempt(task, pfn, n_try, started=started, clock=clock)
        try:
            policy.check_code(task)
            options = (policy.reader_options, policy.columns)
            sums, report = contained(attempt.run, processor, *options)
            code = policy.check_code(task)  # a file may have been edited meanwhile
            return ChunkOutcome(sums, replace(report, code=code))
        except Exception as error:  # noqa: BLE001 - sorted by class, kept in the report
            exc = policy.cause_of(task, error)
            outcome = ChunkOutcome(None, attempt.failed(exc), attempt.trace(exc))
            kind = classify(exc, attempt.stage)
            if kind is FailureKind.TRANSIENT and outcome.report.stage != "write":
                note_failure(pfn, exc)
            if isinstance(exc, UnreachableError) and n_try >= len(pfns):
                break
        forget(pfn, attempt.tree_name)
        if kind is FailureKind.MEMORY and len(halves := task.halves()) > 1:
            outcome = _in_order(halves, processor, policy)
            spent_s = time.perf_counter() - clock  # with the tries of the whole
            return replace(outcome, report=replace(outcome.report, started=started, wall_s=spent_s))
        if kind.is_final or (kind is FailureKind.PERMANENT and n_try >= len(pfns)):
            return outcome
        if n_try <= policy.max_retries:
            pause = BACKOFF_S * 2 ** (n_try - 1)
            time.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - only spreads the load
    return replace(outcome, may_pass=kind is FailureKind.TRANSIENT)


def _in_order(tasks: list[ChunkTask], processor: Processor, policy: ChunkPolicy) -> ChunkOutcome:
    """Process the parts of one chunk, up to the first that fails."""
    parts: list[ChunkOutcome] = []
    for task in tasks:
        parts.append(_tried(task, processor, policy))
        if parts[-1].sums is None:
            break
    whole = replace(tasks[0].work, entrystop=tasks[-1].work.entrystop)
    return joined(whole, parts)


def joined(item: WorkItem, parts: list[ChunkOutcome]) -> ChunkOutcome:
    """Make the outcome of `item` from those of its parts; it fails if one of them has failed."""
    for part in parts:
        if part.sums is None:
            return replace(part, report=_over(part.report, item))
    reports = [part.report for part in parts]
    summed = {
        name: sum(getattr(report, name) for report in reports)
        for name in ("n_events", "n_kept", "bytes_read", "n_requests", *TIMES)
    }
    sums = accumulate([part.sums for part in parts])
    tries = max(report.tries for report in reports) + 1
    report = replace(reports[0], **summed, tries=tries, sumw=sums["sumw"].value)
    inputs = reduce(or_, (part.inputs for part in parts))
    return ChunkOutcome(sums, _over(report, item), inputs=inputs)


def _over(report: ChunkReport, item: WorkItem) -> ChunkReport:
    """Let the report of a part speak for the whole."""
    return replace(report, entry_start=item.entrystart, entry_stop=item.entrystop)


def _places(pfns: tuple[str, ...], max_retries: int) -> Iterator[str]:
    ordered = best_first(pfns)
    for n in range(max_retries + 1):
        yield ordered[n % len(ordered)]
