from __future__ import annotations

import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from intccms import storage
from intccms.execution.checkpoints import CheckpointStore
from intccms.execution.tasks import ChunkReport
from intccms.histograms.exact import ExactSums
from intccms.histograms.sums import CutflowSums, HistogramSums

CODECS = {one.__name__: one for one in (ExactSums, HistogramSums, CutflowSums, ChunkReport)}
KEY = CheckpointStore.key_of({"uuid": "5a", "entries": [0, 100]})


def make_sums(seed: int = 1) -> dict[str, Any]:
    """What a processor returns for a chunk, with its receipt."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=100) * 1e-3
    histogram = HistogramSums.of(("nominal", "jes_up"), 5, rng.integers(0, 7, 100), [weights] * 2)
    return {
        "n_events": 100,
        "n_kept": np.int64(7),
        "sumw": ExactSums.total(weights),
        "histograms": {("SR", "mtt"): histogram, ("SR", "χ²"): HistogramSums.zeros(("a",), 3)},
        "cutflow": {"SR": CutflowSums.of(("muon", "met"), rng.integers(0, 3, 100), weights)},
        "fill_s": 0.1,
        "receipt": ChunkReport(
            "ttbar", "/store/a.root", "5a", 0, 100, "done", sumw=-0.0, host="n1"
        ),
    }


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(str(tmp_path / "partials"), codecs=CODECS)


@pytest.fixture
def memory() -> Iterator[CheckpointStore]:
    url = f"memory://partials-{time.monotonic_ns()}"
    yield CheckpointStore(url, codecs=CODECS)
    fs, root = fsspec.core.url_to_fs(url)
    if fs.exists(root):
        fs.rm(root, recursive=True)


def file_of(store: CheckpointStore, key: str = KEY) -> Path:
    return Path(store.path_of(key))


def test_a_result_comes_back_as_it_was(store: CheckpointStore) -> None:
    store.save(KEY, make_sums())
    back = store.load(KEY)
    assert back == make_sums()
    assert str(back["receipt"].sumw) == "-0.0"
    assert isinstance(back["n_kept"], np.int64)
    assert back["cutflow"]["SR"].then("weights", 3, ExactSums.total([1.0])).counts[-1] == 3


def test_a_key_without_result_gives_none(store: CheckpointStore) -> None:
    assert store.load(KEY) is None
    assert store.prune(set()) == 0


def test_a_key_depends_on_content_and_not_on_order() -> None:
    one = CheckpointStore.key_of({"a": 1, "b": {"x": (1, 2), "y": 0.1}})
    assert one == CheckpointStore.key_of({"b": {"y": 0.1, "x": [1, 2]}, "a": 1})
    assert one != CheckpointStore.key_of({"a": 1.0, "b": {"x": [1, 2], "y": 0.1}})
    with pytest.raises(TypeError):
        CheckpointStore.key_of({"a": {1, 2}})


def test_each_flipped_bit_is_found(
    store: CheckpointStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(KEY, make_sums())
    whole = file_of(store).read_bytes()
    rng = random.Random(3)
    places = [*range(60), *(rng.randrange(len(whole)) for _ in range(200)), len(whole) - 1]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << rng.randrange(8)
        file_of(store).write_bytes(data)
        caplog.clear()
        assert store.load(KEY) is None
        assert str(file_of(store)) in caplog.text
    file_of(store).write_bytes(whole)
    assert store.load(KEY) == make_sums()


def test_each_truncation_is_found_and_saving_again_heals(store: CheckpointStore) -> None:
    store.save(KEY, make_sums())
    whole = file_of(store).read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        file_of(store).write_bytes(whole[:length])
        assert store.load(KEY) is None
    file_of(store).write_bytes(whole + b"\0")
    assert store.load(KEY) is None
    store.save(KEY, make_sums())
    assert store.load(KEY) == make_sums()


def test_a_file_under_another_key_is_not_taken(store: CheckpointStore) -> None:
    store.save(KEY, make_sums())
    other = CheckpointStore.key_of({"uuid": "other"})
    file_of(store, other).parent.mkdir(exist_ok=True)
    file_of(store).rename(file_of(store, other))
    assert store.load(other) is None


def test_memory_keeps_results_too(memory: CheckpointStore) -> None:
    memory.save(KEY, make_sums())
    assert memory.load(KEY) == make_sums()
    memory.fs.pipe_file(memory.path_of(KEY), memory.fs.cat_file(memory.path_of(KEY))[:-1])
    assert memory.load(KEY) is None
    assert memory.prune(set()) == 1
    assert memory.load(KEY) is None


def test_a_remote_file_system_gets_a_renamed_file(tmp_path: Path) -> None:
    store = CheckpointStore(f"dir::file://{tmp_path}", codecs=CODECS)
    store.save(KEY, make_sums())
    assert store.load(KEY) == make_sums()
    assert not list(tmp_path.rglob("*.tmp"))


def test_results_live_on_an_xrootd_server(xrootd_server: Any) -> None:
    store = CheckpointStore(f"{xrootd_server.redirector}/store/partials", codecs=CODECS)
    store.save(KEY, make_sums())
    store.save(KEY, make_sums(2))
    assert store.load(KEY) == make_sums(2)
    assert store.prune({KEY}) == 0
    assert store.prune(set()) == 1
    assert store.load(KEY) is None


def test_a_store_that_was_shipped_is_the_same(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = CheckpointStore("partials", codecs=CODECS, max_bytes=5)
    shipped = pickle.loads(pickle.dumps(relative))
    monkeypatch.chdir("/")
    shipped.save(KEY, make_sums())
    assert store.load(KEY) == make_sums()
    assert shipped.max_bytes == 5


def test_pruning_leaves_what_is_needed(store: CheckpointStore) -> None:
    keys = [CheckpointStore.key_of({"n": n}) for n in range(5)]
    for key in keys:
        store.save(key, make_sums())
    (file_of(store).parents[1] / "notes.txt").write_text("mine")
    assert store.prune(set(keys[:2])) == 3
    assert [store.load(key) is not None for key in keys] == [True, True, False, False, False]
    assert (file_of(store).parents[1] / "notes.txt").exists()


def test_pruning_leaves_what_was_written_lately(store: CheckpointStore) -> None:
    keys = [CheckpointStore.key_of({"n": n}) for n in range(2)]
    for key in keys:
        store.save(key, make_sums())
    os.utime(file_of(store, keys[0]), (1e9, 1e9))
    assert store.prune(set(), unused_s=3600) == 1
    assert [store.load(key) is not None for key in keys] == [False, True]


def test_the_size_bound_takes_the_oldest_first(store: CheckpointStore) -> None:
    keys = [CheckpointStore.key_of({"n": n}) for n in range(4)]
    for age, key in enumerate(keys):
        store.save(key, make_sums())
        os.utime(file_of(store, key), (1e9 - age, 1e9 - age))
    size = file_of(store, keys[0]).stat().st_size
    store.max_bytes = 2 * size
    assert store.prune(set(keys)) == 2
    assert [store.load(key) is not None for key in keys] == [True, True, False, False]
    assert store.prune(set(keys)) == 0


def test_pruning_takes_away_what_a_killed_writer_left(store: CheckpointStore) -> None:
    store.save(KEY, make_sums())
    old, fresh = (file_of(store).with_name(f".{name}.tmp") for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    assert store.prune({KEY}) == 0
    assert not old.exists()
    assert fresh.exists()


def test_a_failed_write_leaves_nothing(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store.save(KEY, make_sums())
    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(KEY, make_sums(2))
    assert store.load(KEY) == make_sums()
    assert [path.name for path in file_of(store).parent.iterdir()] == [file_of(store).name]


WRITER = """
import sys
import numpy as np
from intccms.execution.checkpoints import CheckpointStore

store = CheckpointStore(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    value = np.full(20_000, float(number))
    for key in ("aa0", "aa1", "bb2"):
        store.save(key, {"number": number, "value": value})
"""


def start_writer(folder: Path) -> subprocess.Popen[bytes]:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=-1, env=env())
    writer.stdout.readline()
    return writer


def env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def check_whole(store: CheckpointStore) -> int:
    found = 0
    for key in ("aa0", "aa1", "bb2"):
        sums = store.load(key)
        if sums is not None:
            found += 1
            assert (sums["value"] == sums["number"]).all()
    return found


def test_killed_writers_leave_whole_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, rng = CheckpointStore(str(tmp_path)), random.Random(5)
    for _ in range(6):
        writer = start_writer(tmp_path)
        time.sleep(rng.uniform(0.0, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        check_whole(store)
    assert check_whole(store) == 3
    assert "left out" not in caplog.text


def test_writers_of_the_same_key_do_not_disturb_each_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    writers = [start_writer(tmp_path) for _ in range(2)]
    store = CheckpointStore(str(tmp_path))
    time.sleep(0.2)
    for _ in range(50):
        assert check_whole(store) == 3
    for writer in writers:
        assert writer.poll() is None
        writer.kill()
        writer.communicate()
    assert "left out" not in caplog.text
