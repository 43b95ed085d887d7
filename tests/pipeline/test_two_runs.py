"""Two runs in one output directory: real processes, through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from intccms.errors import InputError
from intccms.pipeline import Stages
from intccms.pipeline.lock import NAME, OutputLock
from tests.pipeline.runs import NOMINAL_ONLY, configured

PROCESSES = "general.processes=[data]"


def command(sample: Path, out: Path, *overrides: str) -> list[str]:
    general = {"base_dir": str(sample), "output_dir": str(out), "executor": "iterative"}
    settings = [f"general.{key}={json.dumps(value)}" for key, value in general.items()]
    given = [*settings, *NOMINAL_ONLY, PROCESSES, *overrides]
    return [sys.executable, "-m", "intccms", "run", *given]


def started(arguments: list[str]) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, sys.path))
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, env=environment)


def snapshot(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(directory.rglob("*"))}


def says_who(out: Path) -> bool:
    """Whether the lock is there and says already who has it."""
    return (out / NAME).exists() and (out / NAME).stat().st_size > 0


@pytest.mark.slow
def test_the_second_run_stops_and_the_first_goes_on(tiny_sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = started(command(tiny_sample, out))
    try:
        until = time.monotonic() + 120
        while not says_who(out) and first.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        os.kill(first.pid, signal.SIGSTOP)  # as long as the other one looks
        assert json.loads((out / NAME).read_text())["pid"] == first.pid
        before = snapshot(out)
        second = started(command(tiny_sample, out))
        said = second.communicate(timeout=120)[1]
        assert second.returncode == 2
        assert f"process {first.pid} on " in said
        assert str(out) in said
        assert len(said.splitlines()) == 1
        assert snapshot(out) == before
    finally:
        os.kill(first.pid, signal.SIGCONT)
        said = first.communicate(timeout=120)[1]
    assert first.returncode == 0, said
    assert not (out / NAME).exists()


@pytest.mark.slow
def test_a_run_goes_on_after_one_that_was_killed(tiny_sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = started(command(tiny_sample, out))
    until = time.monotonic() + 120
    while not says_who(out) and time.monotonic() < until:
        time.sleep(0.002)
    first.kill()
    first.communicate(timeout=30)
    assert (out / NAME).exists()
    again = started(command(tiny_sample, out))
    said = again.communicate(timeout=120)[1]
    assert again.returncode == 0, said
    assert f"taking over the lock of process {first.pid}" in said
    assert not (out / NAME).exists()


def test_the_directory_is_free_after_a_run_that_failed(tiny_sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = configured(tiny_sample, out, "general.weight_branch=noSuchBranch")
    with pytest.raises(InputError, match="noSuchBranch"):
        Stages(config).count_files()
    assert not out.exists()


def test_a_stage_that_is_interrupted_gives_the_directory_back(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path)

    def interrupted() -> None:
        with lock.held(keep=True):
            assert lock.is_held
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not lock.is_held
    with lock.held():
        assert (tmp_path / NAME).exists()
    assert not (tmp_path / NAME).exists()
    with lock.held(keep=True):
        pass
    with lock.held():
        pass
    assert lock.is_held
    lock.release()


def test_stages_hold_the_directory_from_the_first_file_to_the_end(
    tiny_sample: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = configured(tiny_sample, out, *NOMINAL_ONLY, PROCESSES)
    with Stages(config) as stages:
        assert not (out / NAME).exists()
        stages.count_files()
        stages.process()
        with pytest.raises(InputError, match="another run writes to"):
            Stages(config).count_files()
        assert (out / NAME).exists()
        stages.finish()
        assert not (out / NAME).exists()
    assert not (out / NAME).exists()
