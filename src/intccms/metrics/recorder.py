"""The observer that writes a run down: chunk reports as they come, samples of the workers.

Hands everything on to the observer behind it; where that one wants to see the workers, or nobody
else samples them, a thread polls.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self, TextIO, runtime_checkable

from distributed import Client

from intccms.execution.tasks import ChunkReport, Observer
from intccms.metrics.worker_tracker import (
    ProcessTracker,
    Sample,
    Timeline,
    WorkerLoad,
    WorkerTracker,
    run_by_value,
)

log = logging.getLogger(__name__)

TOPIC = "intccms-run"  # of events that the scheduler's dashboard listens to
WATCHER = "intccms-watcher"  # name of the plugin that does
SEND_S = 0.5  # between two events
JOIN_S = 5.0


@runtime_checkable
class Watcher(Observer, Protocol):
    """An observer that wants to see the workers too."""

    def workers(self, samples: Sequence[Sample], loads: Sequence[WorkerLoad]) -> None:
        """Take what was sampled since the last time, and the workers as they are now."""


class Recorder:
    """Records a run; a context manager around it.

    Parameters
    ----------
    inner
        Is told of everything.
    client
        Of the cluster that runs it; None: processes of this machine.
    interval_s
        Between two samples of the workers; None: they are not sampled.
    reports
        The file that chunk reports are written to as they come.
    target_gbps
        Data rate to compare with, for the dashboard on the scheduler.
    """

    def __init__(
        self,
        inner: Observer,
        client: Client | None = None,
        *,
        interval_s: float | None = 1.0,
        reports: Path | None = None,
        target_gbps: float = 200.0,
    ) -> None:
        self.inner, self.target_gbps = inner, target_gbps
        self.started = time.time()  # of the chunks, when they begin
        self.tracker: WorkerTracker | ProcessTracker | None = None
        if interval_s is not None and client is not None:
            self.tracker = WorkerTracker(client, interval_s=interval_s)
        elif interval_s is not None:
            self.tracker = ProcessTracker(interval_s=interval_s)
        self._polls = isinstance(inner, Watcher) or isinstance(self.tracker, ProcessTracker)
        self._every_s = interval_s or 1.0
        self._path = reports
        self._file: TextIO | None = None
        self._dashboard = client if client is not None and is_watched(client) else None
        self._unsent: list[dict[str, Any]] = []  # chunk reports for the dashboard
        self._sent = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="intccms-recorder", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._write("")
        if self.tracker is not None:
            self.tracker.start()
        if self._polls:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        if self._polls:
            self._thread.join(JOIN_S)
        self._look(is_last=True)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    @property
    def timeline(self) -> Timeline | None:
        """What was sampled so far."""
        return None if self.tracker is None else self.tracker.timeline

    def begin(
        self, stage: str, *, parts: Mapping[str, Sequence[int]] | None = None, **amount: Any
    ) -> None:
        """See `Observer.begin`."""
        if parts is not None:
            self.started = time.time()
        self.inner.begin(stage, parts=parts, **amount)
        if parts is not None:
            plan = {name: list(sizes) for name, sizes in parts.items()}
            self._send({"begin": plan, "target_gbps": self.target_gbps})

    def advance(self, n: int = 1) -> None:
        """See `Observer.advance`."""
        self.inner.advance(n)

    def notice(self, text: str) -> None:
        """See `Observer.notice`."""
        self.inner.notice(text)

    def report(self, report: ChunkReport) -> None:
        """See `Observer.report`."""
        self.inner.report(report)
        self._write(json.dumps(report.to_dict()) + "\n")
        if self._dashboard is not None:
            self._unsent.append(report.to_dict())
            if time.monotonic() - self._sent > SEND_S:
                self._send({})

    def end(self) -> None:
        """See `Observer.end`."""
        self.inner.end()
        self._send({"end": time.time()})

    def _send(self, message: dict[str, Any]) -> None:
        """Tell the dashboard on the scheduler, if ours is there, with the reports that wait."""
        if self._dashboard is None or self._dashboard.status != "running":
            return
        reports, self._unsent, self._sent = self._unsent, [], time.monotonic()
        try:
            self._dashboard.log_event(TOPIC, {**message, "receipts": reports})
        except OSError as error:  # the run itself finds out whether the scheduler is gone
            log.debug("the dashboard was not told: %s", error)

    def _write(self, line: str) -> None:
        """Write to the file of chunk reports; go on without it if that fails: it is a record."""
        if self._path is None:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("w", encoding="utf-8")
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            log.warning("chunk reports are not written to %s: %s", self._path, error.strerror)
            self._path = None

    def _poll(self) -> None:
        while not self._over.wait(self._every_s):
            self._look()

    def _look(self, *, is_last: bool = False) -> None:
        try:
            samples: Sequence[Sample] = ()
            loads: Sequence[WorkerLoad] = ()
            if self.tracker is not None:
                samples, loads = self.tracker.stop() if is_last else self.tracker.fetch()
            if isinstance(self.inner, Watcher):
                self.inner.workers(samples, loads)
        except Exception as error:  # noqa: BLE001 - what only looks must not end the run
            log.warning("the workers could not be sampled: %s", error)


def is_watched(client: Client) -> bool:
    """Whether the scheduler serves our dashboard."""

    def has_plugin(*, dask_scheduler: Any) -> bool:
        return WATCHER in dask_scheduler.plugins

    return bool(run_by_value(client, has_plugin))
