"""Progress of long steps: bars in a terminal and in a notebook, plain lines elsewhere.

Writes to the stream or the notebook that it is given and to nothing else.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from intccms.execution.tasks import ChunkReport, Observer

LINE_EVERY_S = 3.0  # between two plain lines of one stage
REFRESH_S = 0.3  # between two updates in a notebook
PREFIXES = ((1e6, "M"), (1e3, "k"))


@dataclass
class Stage:
    """How far one stage has come.

    Parameters
    ----------
    name, total, unit
        As in `Observer.begin`.
    started
        Seconds on the clock that `rate` and `line` are given too.
    """

    name: str
    total: int | None
    unit: str
    started: float
    done: int = 0
    resumed: int = 0  # counted in `done`, left out of rates
    failed: int = 0  # chunks or files
    notice: str = ""  # what holds it up now

    @property
    def fraction(self) -> float | None:
        """Part that is done, from 0 to 1; None where the total is not known."""
        return None if not self.total else min(self.done / self.total, 1.0)

    def rate(self, now: float) -> float:
        """Units per second since the beginning."""
        elapsed = now - self.started
        return (self.done - self.resumed) / elapsed if elapsed > 0 else 0.0

    def line(self, now: float) -> str:
        """Say it in one line.

        Examples
        --------
        >>> Stage("processing", 600_000, "events", 0.0, done=350_000).line(2.5)
        'processing  350,000/600,000 events   58 %  140 kHz  0:00:02 left  failed 0'
        """
        return f"{self.name}  {self.amount()}  {self.pace(now)}"

    def amount(self) -> str:
        """Say how much is done."""
        if self.fraction is None:
            return f"{self.done:,} {self.unit}"
        return f"{self.done:,}/{self.total:,} {self.unit}  {100 * self.fraction:3.0f} %"

    def pace(self, now: float) -> str:
        """Say how fast, how long still, and how much has failed."""
        rate = self.rate(now)
        parts = [_rate(rate, self.unit)] if rate and self.unit in ("events", "files") else []
        if self.fraction is not None and self.fraction < 1 and rate > 0:
            parts.append(f"{_clock((self.total or 0) / rate - self.done / rate)} left")
        else:
            parts.append(f"took {_clock(now - self.started)}")
        if self.unit in ("events", "files"):
            parts.append(f"failed {self.failed}")
        parts += [self.notice] if self.notice else []
        return "  ".join(parts)


@dataclass
class _Progress:
    """Keeps the stage; how it is shown is what the others add."""

    clock: Callable[[], float] = time.monotonic
    stage: Stage | None = None
    every_s: float = 0.0  # between two looks at a stage, beside the last one
    _last: float = 0.0

    def begin(
        self,
        stage: str,
        *,
        total: int | None = None,
        unit: str = "steps",
        parts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """See `Observer.begin`."""
        self._last = self.clock()
        self.stage = Stage(stage, total, unit, self._last)
        self._open(self.stage)

    def advance(self, n: int = 1) -> None:
        """See `Observer.advance`."""
        if self.stage is not None:
            self.stage.done += n
            now = self.clock()
            if now - self._last >= self.every_s and self._is_due(self.stage):
                self._last = now
                self._show(self.stage)

    def notice(self, text: str) -> None:
        """See `Observer.notice`."""
        if self.stage is not None:
            self.stage.notice, self._last = text, float("-inf")
            self.advance(0)

    def report(self, report: ChunkReport) -> None:
        """See `Observer.report`."""
        if self.stage is not None:
            self.stage.failed += report.status.is_lost
            self.stage.resumed += report.n_planned if report.status.is_resumed else 0
            self.advance(report.n_planned)

    def end(self) -> None:
        """See `Observer.end`."""
        if self.stage is not None:
            self._show(self.stage)
            self._close()
        self.stage = None

    def _open(self, stage: Stage) -> None:
        """Make what shows the stage."""

    def _is_due(self, stage: Stage) -> bool:
        return True

    def _show(self, stage: Stage) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        """Take away what showed the stage."""


@dataclass
class PlainProgress(_Progress):
    """A line every few seconds and one at the end of each stage, for logs."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    every_s: float = LINE_EVERY_S

    def _is_due(self, stage: Stage) -> bool:
        return stage.fraction != 1.0  # the line at the end says it

    def _show(self, stage: Stage) -> None:
        self.stream.write(stage.line(self.clock()) + "\n")
        self.stream.flush()


@dataclass
class TerminalProgress(_Progress):
    """One bar per stage, in a terminal."""

    console: Console = field(default_factory=lambda: Console(stderr=True))
    _bar: Progress = field(default_factory=Progress)
    _task: TaskID = TaskID(0)

    def _open(self, stage: Stage) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
        self._bar = Progress(*columns, console=self.console)
        self._bar.start()
        self._task = self._bar.add_task(stage.name, total=stage.total, text="")

    def _show(self, stage: Stage) -> None:
        text = f"{stage.amount()}  {stage.pace(self.clock())}"
        self._bar.update(self._task, completed=stage.done, text=text)

    def _close(self) -> None:
        self._bar.stop()


@dataclass
class NotebookProgress(_Progress):
    """One bar per stage below the cell; it stays readable in a saved notebook.

    Parameters
    ----------
    place
        Has ``update``, as a display handle: shows all stages, one after the other. None: each
        has a line of its own below the cell.
    """

    every_s: float = REFRESH_S
    place: Any = None
    _handle: Any = None

    def _open(self, stage: Stage) -> None:
        self._handle = self.place
        self._show(stage)

    def _show(self, stage: Stage) -> None:
        from IPython.display import display

        now = self.clock()
        bar = "<progress style='width: 20em'></progress>"
        if stage.fraction is not None:
            bar = f"<progress value='{stage.fraction:.4f}' max='1' style='width: 20em'></progress>"
        text = html.escape(f"{stage.amount()}  {stage.pace(now)}")
        content = {
            "text/plain": stage.line(now),
            "text/html": f"<div>{html.escape(stage.name)} {bar} {text}</div>",
        }
        if self._handle is None:
            show: Any = display
            self._handle = show(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def make_observer(stream: TextIO | None = None) -> Observer:
    """Choose how progress is shown: by where this runs.

    Parameters
    ----------
    stream
        Where lines or bars go; default: standard error.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if stream is None and hasattr(shell, "kernel"):  # a notebook, not IPython in a terminal
        return NotebookProgress()
    stream = stream or sys.stderr
    if stream.isatty():
        return TerminalProgress(console=Console(file=stream))
    return PlainProgress(stream=stream)


def _rate(per_s: float, unit: str) -> str:
    """Write 120 kHz for events, 12 files/s for the rest.

    Examples
    --------
    >>> _rate(123_456.0, "events"), _rate(12.3, "files")
    ('123 kHz', '12.3 files/s')
    """
    if unit != "events":
        return f"{per_s:.3g} {unit}/s"
    for size, prefix in PREFIXES:
        if per_s >= size:
            return f"{per_s / size:.3g} {prefix}Hz"
    return f"{per_s:.3g} Hz"


def _clock(seconds: float) -> str:
    """Write hours, minutes and seconds.

    Examples
    --------
    >>> _clock(3725.4)
    '1:02:05'
    """
    whole = round(max(seconds, 0.0))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
