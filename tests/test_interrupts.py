"""Ctrl-C in a terminal and the interrupt button of a notebook."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from intccms.interrupts import is_interrupt, unheard
from tests.faults.inputs import list_files, write_files
from tests.faults.runs import ROOT, end

CONFIG = "tests.faults.analysis:config"
SECONDS = 60.0  # for a run to begin, on a busy machine


def by_statement() -> None:
    raise KeyboardInterrupt


def by_signal() -> None:
    signal.raise_signal(signal.SIGINT)


def again(call: Callable[[], None]) -> None:
    try:
        call()
    except KeyboardInterrupt:
        raise


@pytest.mark.parametrize(("call", "expected"), [(by_statement, False), (by_signal, True)])
def test_what_is_raised_by_a_statement_is_no_interrupt(
    call: Callable[[], None], expected: bool
) -> None:
    for raising in (call, lambda: again(call)):
        with pytest.raises(KeyboardInterrupt) as caught:
            raising()
        assert is_interrupt(caught.value) == expected


def test_a_process_that_is_started_unheard_does_not_hear_it() -> None:
    code = "import time; print(1, flush=True); time.sleep(0.5); print(2)"
    with unheard():
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=30)[0] == "2\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return list_files(tmp_path / "base", write_files(tmp_path / "store", 8))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@contextmanager
def running(base: Path, executor: str, pause_s: float, begun: int) -> Iterator[tuple[Any, Path]]:
    """Start a run in a group of its own, as a terminal does; it has begun when this goes on."""
    out, marks = base.parent / "out", base.parent / "marks"
    marks.touch()
    paths = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    settings = {"base_dir": base, "output_dir": out, "executor": executor, "n_workers": 2}
    with (base.parent / "log").open("w") as log:
        run = subprocess.Popen(
            [sys.executable, "-m", "intccms", "run", "--config", CONFIG]
            + [f"general.{name}={value}" for name, value in settings.items()],
            stderr=log,
            stdout=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": paths, "MARKS": str(marks), "PAUSE_S": str(pause_s)},
        )
    try:
        wait_for(lambda: len(marks.read_text().splitlines()) >= begun or run.poll() is not None)
        yield run, base.parent / "log"
    finally:
        end(run)


@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
def test_ctrl_c_ends_a_run_with_one_line_that_says_what_is_kept(base: Path, executor: str) -> None:
    with running(base, executor, 0.3, begun=8) as (run, log):
        before, since = len(log.read_text()), time.monotonic()
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(SECONDS) == 130
        assert time.monotonic() - since < 20
        said = log.read_text()[before:].splitlines()
        lines = [line for line in said if " failed 0" not in line]
    assert len(lines) == 1
    kept = len(list((base.parent / "out" / "partials").glob("*/*.partial")))
    assert lines[0].startswith("intccms: interrupted: ")
    assert f" of 40 chunks are finished and kept in {base.parent}/out/partials" in lines[0]
    assert 1 <= int(lines[0].split()[2]) <= kept < 40


def test_a_second_ctrl_c_ends_it_at_once(base: Path) -> None:
    with running(base, "dask", 30.0, begun=2) as (run, log):
        os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.3)
        since = time.monotonic()
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(SECONDS) == 130
        assert time.monotonic() - since < 2
        assert log.read_text().splitlines()[-1] == "intccms: ended at once"


SETUP = """
from intccms import notebook
s = notebook.setup(
    {config!r}, ["general.executor=dask"], base_dir={base!r}, output_dir={out!r}, n_workers=2
)
s.count_files()
"""


@pytest.mark.slow
def test_a_cell_that_was_interrupted_goes_on_when_it_is_run_again(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = pytest.importorskip("jupyter_client.manager")
    out, marks = base.parent / "out", base.parent / "marks"
    marks.touch()
    monkeypatch.setenv("MARKS", str(marks))
    monkeypatch.setenv("PAUSE_S", "0.3")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "src"), str(ROOT))))
    kernel, client = manager.start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    try:
        setup = SETUP.format(config=CONFIG, base=str(base), out=str(out))
        assert client.execute_interactive(setup, timeout=SECONDS)["content"]["status"] == "ok"
        # a kernel aborts what comes within moments of an error, unless it is told not to
        client.execute("s.process()", stop_on_error=False)
        wait_for(lambda: len(marks.read_text().splitlines()) > 3)
        kernel.interrupt_kernel()
        answer = client.get_shell_msg(timeout=SECONDS)["content"]
        assert answer["ename"] == "Interrupted"
        assert answer["traceback"] == [answer["evalue"]]
        assert "of 40 chunks are finished and kept in" in answer["evalue"]
        code = "s.process(); n = s.stages.result.ledger.n_processed; assert n == 2400, n"
        again = client.execute_interactive(code, timeout=SECONDS)
        assert again["content"]["status"] == "ok", again["content"]
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    assert len(marks.read_text().splitlines()) <= 40 + 2 * 2  # what was finished was not redone
