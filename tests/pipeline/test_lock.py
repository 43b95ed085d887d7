"""One run at a time: real processes that want the same output directory."""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from intccms.errors import InputError
from intccms.pipeline import lock as lock_module
from intccms.pipeline.lock import NAME, OutputLock

# The module alone: what else its package imports takes seconds in each process.
ALONE = f"""
import importlib.util, os, sys
from pathlib import Path
from intccms.errors import InputError
spec = importlib.util.spec_from_file_location("lock", {lock_module.__file__!r})
module = sys.modules["lock"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
OutputLock = module.OutputLock
"""
HOLDS = """
lock = OutputLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
if sys.argv[2:] == ["fails"]:
    raise SystemError("on purpose")
if sys.argv[2:] == ["forks"]:
    if os.fork() == 0:
        sys.exit()
    os.wait()
    print("forked", flush=True)
    sys.stdin.readline()
"""
RACES = """
lock = OutputLock(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
try:
    lock.acquire()
    print("won", flush=True)
except InputError:
    print("lost", flush=True)
sys.stdin.readline()
"""


def child(script: str, *arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-c", ALONE + script, *arguments],
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() in ("held", "ready")
    return process


def told(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()


@contextmanager
def held(directory: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    process = child(HOLDS, str(directory), *more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def written(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / NAME).read_text())
    return content


def leave(directory: Path, **fields: Any) -> None:
    """Leave a lock as somebody else would have."""
    owner = {"host": socket.gethostname(), "pid": 1, "started": "2026-11-22T10:00:00+00:00"}
    (directory / NAME).write_text(json.dumps({**owner, **fields}))


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lock_says_who_holds_it_and_is_gone_in_the_end(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path)
    lock.acquire()
    lock.acquire()
    assert lock.is_held
    about = written(tmp_path)
    assert (about["host"], about["pid"]) == (socket.gethostname(), os.getpid())
    lock.release()
    lock.release()
    assert not lock.is_held
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with held(tmp_path) as other, pytest.raises(InputError) as caught:
        OutputLock(tmp_path).acquire()
    assert f"process {other.pid} on {socket.gethostname()}" in str(caught.value)
    assert caught.value.exit_status == 2
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("more", [(), ("fails",)], ids=["well", "with an error"])
def test_a_process_that_ends_gives_the_lock_back(tmp_path: Path, more: tuple[str, ...]) -> None:
    with held(tmp_path, *more) as other:
        told(other)
        assert other.wait(30) == bool(more)
        assert not (tmp_path / NAME).exists()


def test_the_lock_of_a_killed_process_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = OutputLock(tmp_path)
    with held(tmp_path) as other, caplog.at_level(logging.WARNING):
        other.send_signal(signal.SIGKILL)
        other.wait()
        lock.acquire()
    assert f"process {other.pid}" in caplog.text
    assert written(tmp_path)["pid"] == os.getpid()
    lock.release()


def test_a_killed_process_that_nobody_has_waited_for_is_gone(tmp_path: Path) -> None:
    with held(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        lock = OutputLock(tmp_path)
        lock.acquire()
    lock.release()


def test_another_process_with_the_number_of_the_owner_is_not_the_owner(tmp_path: Path) -> None:
    leave(tmp_path, pid=os.getppid(), started="2001-01-01T00:00:00+00:00")
    lock = OutputLock(tmp_path)
    lock.acquire()
    lock.release()


def test_this_process_can_bear_the_number_of_an_owner_that_ended(tmp_path: Path) -> None:
    leave(tmp_path, pid=os.getpid())  # a container in which every kernel gets the same number
    lock = OutputLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_lock_of_another_host_is_never_taken_over(tmp_path: Path) -> None:
    leave(tmp_path, host="elsewhere", pid=dead_pid())
    with pytest.raises(InputError, match=r"on elsewhere, .*remove .*\.lock"):
        OutputLock(tmp_path).acquire()
    assert written(tmp_path)["host"] == "elsewhere"


@pytest.mark.parametrize("content", ["", '{"host": "a"}', "\x00", '{"pid": "x"}'])
def test_a_damaged_lock_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    lock = OutputLock(tmp_path)
    lock.acquire()
    assert written(tmp_path)["pid"] == os.getpid()
    lock.release()


def test_an_owner_that_has_not_yet_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / NAME
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    about = json.dumps({"host": "elsewhere", "pid": 4, "started": "2026-11-22T10:00:00+00:00"})
    timer = threading.Timer(0.3, path.write_text, [about])
    timer.start()
    with pytest.raises(InputError, match="elsewhere"):
        OutputLock(tmp_path).acquire()
    timer.join()
    file.close()


def test_two_runs_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    first, second = OutputLock(tmp_path), OutputLock(tmp_path)
    first.acquire()
    with pytest.raises(InputError, match="restart its kernel"):
        second.acquire()
    del first
    gc.collect()  # a notebook that makes its session anew
    second.acquire()
    second.release()


def test_a_lock_that_was_taken_from_us_is_left_to_its_owner(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path)
    lock.acquire()
    leave(tmp_path, host="elsewhere")
    lock.release()
    assert written(tmp_path)["host"] == "elsewhere"


def test_a_directory_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot lock .*absent"):
        OutputLock(tmp_path / "absent").acquire()


def test_a_fork_does_not_give_back_the_lock_of_its_parent(tmp_path: Path) -> None:
    with held(tmp_path, "forks") as other:
        told(other)
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "forked"
        assert written(tmp_path)["pid"] == other.pid


@pytest.mark.parametrize("prepare", [lambda _: None, lambda d: leave(d, pid=dead_pid())])
def test_of_many_processes_one_gets_the_lock(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    prepare(tmp_path)
    racers = [child(RACES, str(tmp_path)) for _ in range(5)]
    try:
        for racer in racers:
            told(racer)
        answers = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
        assert sorted(answers) == ["lost"] * 4 + ["won"]
    finally:
        for racer in racers:
            racer.communicate("end\n", timeout=30)
