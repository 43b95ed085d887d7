"""A disk that is full, read-only or closed ends a run in one line, and the next goes on from it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from intccms.cli import main
from intccms.errors import OutputError
from intccms.pipeline import read_summary
from intccms.storage import disk_errors
from tests.pipeline.runs import NOMINAL_ONLY

Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path, require: Callable[[object, str], None]) -> Iterator[Mount]:
    """Mount a small file system; a second time it only gets other options."""
    require(os.geteuid() == 0, "only root can mount a file system")
    place = tmp_path / "small"
    place.mkdir()

    def mounted(options: str) -> Path:
        if place.is_mount():
            options = f"remount,{options}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        require(done.returncode == 0, f"cannot mount a file system: {done.stderr.strip()}")
        return place

    yield mounted
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=True)


def run(sample: Path, out: Path, *overrides: str) -> int:
    general = {"base_dir": sample, "output_dir": out, "executor": "iterative"}
    settings = [f"general.{key}={json.dumps(str(value))}" for key, value in general.items()]
    return main(["run", *settings, *NOMINAL_ONLY, "general.processes=[ttbar_lep]", *overrides])


# what fits: the plan, and only just; the histograms; some of the figures
@pytest.mark.parametrize("size", ["4k", "24k", "120k", "400k"])
def test_a_full_disk_ends_in_one_line_and_the_next_run_goes_on(
    tiny_sample: Path,
    tmp_path: Path,
    mount: Mount,
    capsys: pytest.CaptureFixture[str],
    size: str,
) -> None:
    out = mount(f"size={size}") / "out"
    cache = f"general.cache_dir={tmp_path / 'cache'}"
    assert run(tiny_sample, out, cache) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    (line,) = [one for one in captured.err.splitlines() if one.startswith("intccms: error: ")]
    assert "No space left on device" in line
    assert f"(file system {tmp_path / 'small'}: " in line
    assert f"finished chunks in {tmp_path / 'cache'}; make room" in line
    had_chunks = any((tmp_path / "cache").rglob("*.partial"))
    mount("size=50m")
    assert run(tiny_sample, out, cache) == 0
    (book,) = read_summary(out)["datasets"].values()
    assert book["resumed"]["events"] == (2000 if had_chunks else 0)


def test_a_disk_without_inodes_is_full(
    tiny_sample: Path, mount: Mount, capsys: pytest.CaptureFixture[str]
) -> None:
    out = mount("size=10m,nr_inodes=2") / "out"
    assert run(tiny_sample, out) == 1
    assert "0 inodes are free)" in capsys.readouterr().err.splitlines()[-1]


def test_a_read_only_disk_is_the_wrong_place(
    tiny_sample: Path, mount: Mount, capsys: pytest.CaptureFixture[str]
) -> None:
    out = mount("ro,size=10m") / "out"
    assert run(tiny_sample, out) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"intccms: error: cannot write to {out}: Read-only file system"


def test_figures_of_saved_histograms_need_room_too(
    tiny_sample: Path, mount: Mount, capsys: pytest.CaptureFixture[str]
) -> None:
    out = mount("size=50m") / "out"
    assert run(tiny_sample, out) == 0
    used = sum(path.stat().st_blocks * 512 for path in out.rglob("*"))
    mount(f"size={used // 1024 + 4}k")
    (out / "plots").rename(out / "before")
    assert run(tiny_sample, out, "general.run_plots_only=True") == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]


def test_a_sample_that_cannot_be_written_is_one_line(
    tmp_path: Path, mount: Mount, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no directory")
    few = ["--files-per-process", "1", "--events-per-file", "50", "--lean"]
    assert main(["sample", "--out", str(tmp_path / "file" / "sample"), *few]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"intccms: error: cannot write to {tmp_path / 'file' / 'sample'}: Not a")
    assert main(["sample", "--out", str(mount("size=100k") / "sample"), *few]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in last
    assert "make room" in last


@pytest.mark.parametrize("size", ["12k", "40k"])  # what fits: no chunk; the chunks, no columns
def test_what_cannot_be_kept_for_the_next_run_costs_this_one_nothing(
    tiny_sample: Path, tmp_path: Path, mount: Mount, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    cache = f"general.cache_dir={mount(f'size={size}') / 'cache'}"
    assert run(tiny_sample, tmp_path / "quiet") == 0
    assert run(tiny_sample, tmp_path / "full", cache) == 0
    assert "cannot keep the" in capsys.readouterr().err
    quiet, full = (read_summary(tmp_path / name) for name in ("quiet", "full"))
    assert full["status"] == quiet["status"] == "complete"
    assert main(["diff", str(tmp_path / "quiet"), str(tmp_path / "full")]) == 0


def test_an_analysis_that_cannot_be_written_is_one_line_and_nothing_half_made(
    mount: Mount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(mount("size=20k"))
    assert main(["new", "mine"]) == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    mount("size=50m")
    assert main(["new", "mine"]) == 0


def test_a_quota_is_named_and_not_the_room_that_others_have(tmp_path: Path) -> None:
    # only btrfs and kernels with further options have one that holds for root, too
    full = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(tmp_path / "file"))
    quota = pytest.raises(OutputError, match="Disk quota exceeded.*see your quota")
    with quota as told, disk_errors(tmp_path, "make room"):
        raise full
    assert "are free" not in str(told.value)
    assert str(told.value).endswith("; make room")


MARKS = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from intccms.execution import marks
marks.begin("a chunk")
marks.swap("a function")
"""


def test_a_worker_whose_temporary_files_have_no_room_goes_on(mount: Mount) -> None:
    place = mount("size=8k")
    (place / "full").write_bytes(bytes(8192))
    subprocess.run([sys.executable, "-c", MARKS, str(place)], check=True)
