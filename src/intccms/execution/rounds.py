"""Chunk tasks on an executor until each has its report, and the totals hold what these say."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from intccms.datasets.files import PAUSES_S
from intccms.errors import (
    ClusterLostError,
    EditedInputError,
    IntccmsError,
    OtherCodeError,
    WorkerLostError,
)
from intccms.execution.accounting import Totals
from intccms.execution.attempt import Processor
from intccms.execution.chunk import ChunkOutcome, ChunkPolicy, joined, keep, run_chunk
from intccms.execution.executors import Executor
from intccms.execution.parcel import ByValue
from intccms.execution.tasks import ChunkReport, ChunkStatus, ChunkTask

log = logging.getLogger(__name__)

ROUNDS = 3  # for results that went down with their workers
HALVINGS = 4  # of a chunk that kills its workers

ExactSum = Any  # whatever the processor gives as ``sumw``; it is added with ``+``
Place = tuple[str, str, int]  # dataset, file, first entry of the planned chunk


@dataclass(frozen=True)
class FileSums:
    """What must be known of each file when all chunks are in; those of several are added.

    Parameters
    ----------
    entries
        First entries of the chunks that are in.
    sumw
        Generator weights of all their events.
    """

    entries: tuple[int, ...]
    sumw: ExactSum

    def __add__(self, other: FileSums) -> FileSums:
        """Both."""
        return FileSums(self.entries + other.entries, self.sumw + other.sumw)


def tracked_chunk(
    task: ChunkTask, processor: Processor, policy: ChunkPolicy
) -> tuple[ChunkOutcome, dict[str, Any] | None]:
    """Process one chunk; return its outcome without the sums, and these with those of the file."""
    return _split(task, run_chunk(task, processor, policy))


def _split(task: ChunkTask, outcome: ChunkOutcome) -> tuple[ChunkOutcome, dict[str, Any] | None]:
    if outcome.sums is None:
        return outcome, None
    file = FileSums((task.item.entrystart,), outcome.sums["sumw"])
    return replace(outcome, sums=None), {**outcome.sums, "files": {task.item.filename: file}}


class ChunkRun:
    """Runs chunks; the totals by dataset have a ``files`` entry with `FileSums` by file.

    Parameters
    ----------
    executor
        Where to run.
    processor, policy
        As for `run_chunk`.
    """

    def __init__(self, executor: Executor, processor: Processor, policy: ChunkPolicy) -> None:
        self.executor, self.policy = executor, policy
        self.arguments: tuple[Any, ...] = (processor, policy)
        self.environment = dict(os.environ)  # as it is when the run begins
        self.unlike: set[str] = set()  # variables that workers see with other values
        self._warned: set[str] = set()
        self.totals = Totals(lambda task: str(task.item.dataset))

    def outcomes(self, tasks: Sequence[ChunkTask]) -> Iterator[ChunkOutcome]:
        """Yield the outcome of each task without sums; if there is a second one, it counts."""
        killed: list[ChunkTask] = []
        waiting: dict[Place, ChunkOutcome] = {}  # what could not be read, for the end of the run
        for n_round in range(max(ROUNDS, len(PAUSES_S) + 1)):
            done: list[ChunkTask] = []
            again: list[ChunkTask] = []
            other: list[ChunkTask] = []  # of which a worker would have run other code
            for task, answer in self._answers(tasks):
                if isinstance(answer, ClusterLostError) or _is_final(answer):
                    yield _lost(task, answer)
                elif isinstance(answer, OtherCodeError):
                    other.append(task)
                elif isinstance(answer, WorkerLostError):
                    killed.append(task)
                elif answer.may_pass and n_round < (len(PAUSES_S) if answer.is_unreachable else 1):
                    self._warn_once(answer)
                    waiting[place_of(task)] = answer
                    again.append(task)
                else:
                    done += [task] if answer.report.status.is_processed else []
                    yield answer.after(waiting.get(place_of(task)))
            tasks = self._to_repeat(done, again) + other
            if not tasks:
                break
            if any(waiting[place_of(task)].is_unreachable for task in again):
                time.sleep(PAUSES_S[n_round])  # for the servers to come back
        for task in tasks:
            yield _lost(task, WorkerLostError("its result went down with its worker, each time"))
        yield from self._in_parts(killed)

    def _answers(self, tasks: Sequence[ChunkTask]) -> Iterator[tuple[ChunkTask, Any]]:
        """Run tasks; where a worker would run other code, everything is sent again, by value.

        Raises
        ------
        OtherCodeError
            If that does not help.
        """
        left = {place_of(task): task for task in tasks}
        fault: OtherCodeError | None = None
        try:
            for task, answer in self.executor.map(
                tracked_chunk, tasks, arguments=self.arguments, totals=self.totals,
                timeout_s=self.policy.timeout_s,
            ):  # fmt: skip
                del left[place_of(task)]
                error = self._other_code(answer)
                fault = fault or error
                yield task, error or answer
                if error is not None and self.is_by_value:
                    raise error
        except OtherCodeError as error:  # what was sent cannot be loaded there
            if self.is_by_value or isinstance(error, EditedInputError):
                raise
            fault = error
            for task in left.values():
                yield task, error
        if fault is not None:
            log.warning("%s; it is sent again", fault)
            self.arguments = ByValue(self.arguments)

    @property
    def is_by_value(self) -> bool:
        """Whether functions are sent as they are in memory."""
        return isinstance(self.arguments, ByValue)

    def _other_code(self, answer: Any) -> OtherCodeError | None:
        """Say that a chunk did not run what was planned, if so.

        Raises
        ------
        EditedInputError
            If a file was edited.
        """
        if not isinstance(answer, ChunkOutcome):
            return None
        report, planned = answer.report, self.policy.planned
        if report.error_type == EditedInputError.__name__:  # to send it again would not help
            raise EditedInputError(report.error)
        if report.error_type == OtherCodeError.__name__:
            return OtherCodeError(report.error)
        if planned is None or not report.status.is_in_rates:
            return None
        if report.code != planned.digests.get(report.dataset, ""):
            raise IntccmsError(f"a chunk of {report.file} says that it ran other code")
        self._check_environment(answer)
        return None

    def _check_environment(self, outcome: ChunkOutcome) -> None:
        """See that functions were told by the environment what it said when the run began."""
        for name in outcome.inputs.unlike(self.environment) - self.unlike:
            if os.environ.get(name) != self.environment.get(name):
                raise EditedInputError(
                    f"the environment variable {name} was changed while the run went on: start "
                    "the run again to use its value"
                )
            log.warning("functions read %s, which workers have with another value", name)
            self.unlike.add(name)

    def _warn_once(self, outcome: ChunkOutcome) -> None:
        text = outcome.report.error
        if outcome.is_unreachable and text not in self._warned:
            self._warned.add(text)
            log.warning("%s; chunks there are tried again in the end", text)

    def _to_repeat(self, done: list[ChunkTask], again: list[ChunkTask]) -> list[ChunkTask]:
        gone = self._not_in_totals(done)
        if gone:
            log.warning("%d results went down with their workers and are made again", len(gone))
        if again:
            log.warning("%d chunks that could not be read are tried once more", len(again))
        return gone + again

    def _not_in_totals(self, tasks: list[ChunkTask]) -> list[ChunkTask]:
        counted = Counter(
            (dataset, file, entry)
            for dataset, total in self.totals.by_group.items()
            for file, sums in total["files"].items()
            for entry in sums.entries
        )
        twice = [place for place, n in counted.items() if n > 1]
        if twice:  # a wrong result must not leave the house
            raise IntccmsError(f"{len(twice)} chunks are in the sums more than once: {twice[0]}")
        held = counted.keys()
        return [task for task in tasks if place_of(task) not in held]

    def _in_parts(self, killed: list[ChunkTask]) -> Iterator[ChunkOutcome]:
        """Run what killed its workers in smaller parts; few at a time, as their sums come here."""
        while killed:
            n = 2 * self.executor.n_workers
            several, killed = killed[:n], killed[n:]
            names = ", ".join(dict.fromkeys(task.item.filename for task in several))
            log.warning("%d chunks killed their workers and are halved: %s", len(several), names)
            parts = self._parts_of(several)
            for task in several:
                outcome = joined(task.item, parts[place_of(task)])
                keep(task, outcome, self.policy)
                outcome, sums = _split(task, outcome)
                if sums is not None:
                    self.totals.take(task.item.dataset, sums)
                yield outcome

    def _parts_of(self, tasks: list[ChunkTask]) -> dict[Place, list[ChunkOutcome]]:
        found: dict[Place, list[ChunkOutcome]] = {place_of(task): [] for task in tasks}
        todo = [half for task in tasks for half in task.halves()]
        for depth in range(HALVINGS):
            again: list[ChunkTask] = []
            for part, answer in self.executor.map(
                run_chunk, todo, arguments=self.arguments, careful=True,
                timeout_s=self.policy.timeout_s,
            ):  # fmt: skip
                halves = part.halves()
                is_last = depth + 1 == HALVINGS or len(halves) < 2
                if (error := self._other_code(answer)) is not None:
                    raise error
                if not isinstance(answer, WorkerLostError):
                    found[place_of(part)].append(answer)
                elif is_last or isinstance(answer, ClusterLostError) or _is_final(answer):
                    found[place_of(part)].append(_lost(part, answer))
                else:
                    again += halves
            failed = {
                place for place, parts in found.items() if any(one.sums is None for one in parts)
            }
            todo = [part for part in again if place_of(part) not in failed]
        return found


def place_of(task: ChunkTask) -> Place:
    """Name the planned chunk that a task belongs to."""
    return task.item.dataset, task.item.filename, task.item.entrystart


def _is_final(answer: Any) -> bool:
    """Whether smaller parts of a chunk would end in the same way: only what was killed was not."""
    return isinstance(answer, WorkerLostError) and answer.end != "killed"


def _lost(task: ChunkTask, error: WorkerLostError) -> ChunkOutcome:
    name = {"killed": "KilledWorker", "crashed": "CrashedWorker", "hung": "Timeout"}[error.end]
    if isinstance(error, ClusterLostError):
        name = "ClusterLost"
    about = {"stage": "process", "error_type": name, "error": str(error)}
    report = ChunkReport.of(task.work, ChunkStatus.FAILED, **about)
    return ChunkOutcome(None, report, error.trace if error.is_fault else "")
