from __future__ import annotations

import io

import pytest
from rich.console import Console

from intccms.execution.tasks import ChunkReport
from intccms.metrics.progress import (
    PlainProgress,
    Stage,
    TerminalProgress,
    make_observer,
)


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def receipt(n_events: int, status: str = "done") -> ChunkReport:
    return ChunkReport("ttbar", "a.root", "", 0, n_events, status)


def test_a_line_tells_amount_rate_time_left_and_failures() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(clock=clock, stream=stream, every_s=3.0)
    progress.begin("processing", total=600_000, unit="events")
    progress.report(receipt(100_000))
    clock.now += 2.5
    progress.report(receipt(200_000))
    assert stream.getvalue() == ""  # not yet time for a line
    clock.now += 2.5
    progress.report(receipt(50_000, "failed"))
    assert stream.getvalue() == (
        "processing  350,000/600,000 events   58 %  70 kHz  0:00:04 left  failed 1\n"
    )


def test_a_stage_ends_with_its_line_and_the_time_it_took() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(clock=clock, stream=stream)
    progress.begin("counting events", total=4, unit="files")
    progress.advance(4)
    clock.now += 8
    progress.end()
    last = stream.getvalue().splitlines()[-1]
    assert last == "counting events  4/4 files  100 %  0.5 files/s  took 0:00:08  failed 0"


def test_resumed_chunks_are_progress_but_no_rate() -> None:
    stage = Stage("processing", 1000, "events", 0.0, done=600, resumed=500)
    assert stage.rate(10.0) == 10.0
    assert stage.fraction == 0.6


def test_a_stage_without_total_or_rate_has_a_line() -> None:
    assert Stage("fit", None, "steps", 0.0, done=3).line(2.0) == "fit  3 steps  took 0:00:02"
    assert Stage("processing", 10, "events", 5.0).rate(5.0) == 0.0


def test_nothing_happens_between_stages() -> None:
    progress = PlainProgress(stream=io.StringIO())
    progress.advance()
    progress.report(receipt(5))
    progress.end()
    assert progress.stage is None


def test_a_terminal_gets_bars() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=160)
    progress = TerminalProgress(console=console)
    progress.begin("processing", total=100, unit="events")
    progress.report(receipt(100))
    progress.end()
    assert "100/100 events" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()


def test_without_a_terminal_there_are_plain_lines() -> None:
    assert isinstance(make_observer(io.StringIO()), PlainProgress)


def test_a_terminal_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert isinstance(make_observer(stream), TerminalProgress)


def test_before_the_first_chunk_has_ended_no_rate_is_claimed() -> None:
    assert Stage("processing", 600_000, "events", 0.0).line(12.0) == (
        "processing  0/600,000 events    0 %  took 0:00:12  failed 0"
    )
