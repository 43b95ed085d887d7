"""A process that is killed while it writes leaves whole files only."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.skimming.conftest import part, store_at

PROGRAM = """
import sys
from intccms.reading.source import open_source
from intccms.reading.columns import ReadMeter
from intccms.skimming import SkimColumns
from tests.skimming.conftest import N_EVENTS, part, store_at
events = open_source(sys.argv[1], "Events").events(0, N_EVENTS, ReadMeter(), {})
store = store_at(sys.argv[2], sys.argv[3])
for chunk in range(10_000):
    store.write(events, SkimColumns(), part(chunk, n_in=300))
"""


@pytest.mark.parametrize("kind", ["parquet", "ttree", "rntuple"])
def test_a_killed_writer_leaves_whole_files_only(
    tmp_path: Path, nano_file: Path, root: Path, events: Any, kind: str
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(nano_file), str(tmp_path), kind]
    writer = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 100
    while len(list(tmp_path.rglob("part_*"))) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    writer.kill()
    _, complaint = writer.communicate()
    store = store_at(tmp_path, kind)
    manifest = store.load("ttbar_2017")
    assert manifest is not None, complaint
    assert len(manifest.parts) == len(list(tmp_path.rglob("part_*"))) >= 3
    assert all(one.n_out == len(events) for one in manifest.parts)
    store.save(manifest.parts)
    assert not list(tmp_path.rglob(".*"))


def test_what_was_left_behind_is_swept_up(tmp_path: Path, events: Any) -> None:
    from intccms.skimming import SkimColumns

    store = store_at(tmp_path)
    written = store.write(events, SkimColumns(), part())
    left = tmp_path / "ttbar_2017/file_2/.part_1.parquet.0123.tmp"
    left.write_bytes(b"half")
    store.save([written])
    assert not left.exists()
