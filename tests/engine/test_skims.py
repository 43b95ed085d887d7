"""Runs that write skims: alone, again, in halves, killed, and where nothing can be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from intccms.errors import ConfigError, IncompleteError, InputError
from intccms.pipeline import Stages, read_summary
from tests.engine.skim_runs import (
    assert_same,
    configured,
    manifest,
    reading,
    run,
    settings,
)

NOMINAL = "general.run_systematics=False"
SKIM = "general.run_skimming=True"
ONLY = "general.run_analysis=False"


def hungry(met: ak.Array) -> ak.Array:
    """Take too much memory for more than 600 events."""
    if len(met) > 600:
        raise MemoryError
    return met.pt > 40


def tighter(met: ak.Array) -> ak.Array:
    return met.pt > 80


def slow(met: ak.Array) -> ak.Array:
    time.sleep(0.5 if len(met) else 0.0)
    return met.pt > 40


class FlakyFiles(LocalFileSystem):
    """A storage that fails now and then when a part is put there: every first time."""

    protocol = "flaky"
    tried: set[str] = set()
    always = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return super()._strip_protocol(str(path).removeprefix("flaky://"))

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        name = self._strip_protocol(path).rpartition("/")[2].split(".")[1]
        if "w" in mode and name.startswith("part") and (self.always or name not in self.tried):
            self.tried.add(name)
            raise OSError("connection reset by the storage")
        return super().open(path, mode, **kwargs)


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> type[FlakyFiles]:
    fsspec.register_implementation("flaky", FlakyFiles, clobber=True)
    monkeypatch.setattr(FlakyFiles, "tried", set())
    return FlakyFiles


@pytest.mark.parametrize("asked", [[ONLY], ["general.analysis=skip"], [ONLY, SKIM]])
def test_a_run_can_stop_after_the_skim(asked: list[str], inputs: Path, tmp_path: Path) -> None:
    made = run(configured(inputs, tmp_path / "made", *asked))
    assert made.summary["status"] == "complete"
    assert made.summary["yields"] == {}
    assert not made.output.histograms_dir.exists()
    skim = made.summary["skims"]["ttbar"]
    assert skim["is_complete"]
    assert skim["n_files"] == 4
    assert skim["n_events"] == sum(part["n_out"] for part in manifest(made)["parts"])
    assert made.summary["datasets"]["ttbar"]["processed"]["events"] == 6000


def test_a_skim_made_alone_gives_the_same_bits(inputs: Path, tmp_path: Path) -> None:
    made = run(configured(inputs, tmp_path / "made", ONLY))
    read = run(configured(inputs, tmp_path / "read", NOMINAL, *reading(made)))
    assert_same(read, run(configured(inputs, tmp_path / "all", NOMINAL)))


def test_without_analysis_and_skim_there_is_nothing_to_do(inputs: Path, tmp_path: Path) -> None:
    config = configured(inputs, tmp_path / "out", ONLY, *reading(tmp_path))
    with pytest.raises(InputError, match="nothing to do"):
        Stages(config)


def test_without_a_selection_every_event_is_kept(inputs: Path, tmp_path: Path) -> None:
    keep = {"function": None, "use": ()}
    made = run(configured(inputs, tmp_path / "made", ONLY, **keep))
    assert made.summary["skims"]["ttbar"]["n_events"] == 6000
    read = run(configured(inputs, tmp_path / "read", NOMINAL, *reading(made), **keep))
    assert_same(read, run(configured(inputs, tmp_path / "all", NOMINAL, **keep)))


def test_a_skim_of_a_skim_knows_the_original(inputs: Path, tmp_path: Path) -> None:
    use = {"function": tighter, "use": [("PuppiMET", None)]}
    first = run(configured(inputs, tmp_path / "first", ONLY, function=hungry, use=use["use"]))
    second = f"preprocess.skimming.output.output_dir={json.dumps(str(tmp_path / 'tight'))}"
    made = run(configured(inputs, tmp_path / "made", SKIM, NOMINAL, second, *reading(first), **use))
    read = run(configured(inputs, tmp_path / "read", NOMINAL, second, *reading(first), **use))
    whole = run(configured(inputs, tmp_path / "all", NOMINAL, **use))
    assert_same(made, whole)
    assert_same(read, whole)
    assert made.summary["skims"]["ttbar"]["url"] == str(tmp_path / "tight/ttbar")


def test_a_skim_is_never_written_over_the_one_it_is_made_from(inputs: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="two places"),
        Stages(configured(inputs, tmp_path / "out", SKIM, *reading(tmp_path))) as stages,
    ):
        stages.count_files()


def test_a_chunk_that_is_too_large_is_written_in_halves(inputs: Path, tmp_path: Path) -> None:
    use = {"function": hungry, "use": [("PuppiMET", None)]}
    made = run(configured(inputs, tmp_path / "made", SKIM, NOMINAL, **use))
    names = sorted(p.name for p in made.output.skimmed_dir.glob("ttbar/file_0/*.parquet"))
    assert names[:2] == ["part_0_0_500.parquet", "part_0_500_1000.parquet"]
    read = run(configured(inputs, tmp_path / "read", NOMINAL, *reading(made), **use))
    assert_same(read, made)
    assert read.summary["datasets"]["ttbar"]["processed"]["chunks"] == 6


def test_only_the_chunk_whose_part_is_gone_is_made_again(inputs: Path, tmp_path: Path) -> None:
    config = configured(inputs, tmp_path / "made", SKIM, NOMINAL)
    first = run(config)
    before = manifest(first)
    part = first.output.skimmed_dir / "ttbar/file_1/part_0.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    again = run(config)
    assert part.read_bytes() == content
    assert again.summary["datasets"]["ttbar"]["resumed"]["chunks"] == 5
    assert manifest(again) == before
    (first.output.skimmed_dir / "ttbar/manifest.json").unlink()
    assert manifest(run(config)) == before


def test_a_killed_run_goes_on_where_it_was(inputs: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.engine.test_skims import ONLY, slow\n"
        "from tests.engine.skim_runs import configured, run\n"
        "run(configured(Path(sys.argv[1]), Path(sys.argv[2]), ONLY, function=slow,"
        " use=[('PuppiMET', None)]))\n"
    )
    out, root = tmp_path / "made", Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(inputs), str(out)]
    process = subprocess.Popen(command, cwd=root)
    until = time.monotonic() + 120
    while len(list(out.glob("skimmed/*/*/part_*.parquet"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    use = {"function": slow, "use": [("PuppiMET", None)]}
    again = run(configured(inputs, out, ONLY, **use))
    assert again.summary["datasets"]["ttbar"]["resumed"]["chunks"] >= 1
    clean = run(configured(inputs, tmp_path / "clean", ONLY, **use))
    for dataset in ("ttbar", "data"):
        assert manifest(again, dataset) == manifest(clean, dataset)
    assert not list(out.glob("skimmed/**/*.tmp"))


def test_a_write_that_fails_is_tried_again(
    inputs: Path, tmp_path: Path, flaky: type[FlakyFiles]
) -> None:
    place = f"preprocess.skimming.output.output_dir=flaky://{tmp_path}/parts"
    made = run(configured(inputs, tmp_path / "made", ONLY, place))
    assert made.summary["status"] == "complete"
    tries = [receipt.tries for receipt in made.analysis.reports if receipt.n_kept]
    assert max(tries) == 2
    clean = run(configured(inputs, tmp_path / "clean", ONLY))
    parts = json.loads((tmp_path / "parts/ttbar/manifest.json").read_text())
    assert parts == manifest(clean)


def test_a_chunk_that_cannot_be_written_is_lost(
    inputs: Path, tmp_path: Path, flaky: type[FlakyFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flaky, "always", True)
    place = f"preprocess.skimming.output.output_dir=flaky://{tmp_path}/parts"
    few = ["preprocess.skimming.max_retries=1", "general.processes=[data]"]
    with pytest.raises(IncompleteError, match="cannot write flaky://"):
        run(configured(inputs, tmp_path / "out", ONLY, place, *few))
    summary = read_summary(tmp_path / "out")
    assert summary["status"] == "incomplete"
    assert [lost["entries"] for lost in summary["lost_chunks"]] == [[0, 500]]
    assert not list(tmp_path.glob("parts/**/part_*"))


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_half_written(
    inputs: Path, tmp_path: Path, mounted: Callable[[str], Path]
) -> None:
    disk = mounted("size=64k")
    place = f"preprocess.skimming.output.output_dir={disk}"
    with pytest.raises(IncompleteError, match="No space left on device"):
        run(configured(inputs, tmp_path / "out", ONLY, place))
    summary = read_summary(tmp_path / "out")
    assert summary["status"] == "incomplete"
    assert summary["lost_chunks"]
    assert not list(disk.rglob("*.tmp"))
    listed = {path.name for path in disk.rglob("*.parquet")}
    assert all(size for size in map(os.path.getsize, disk.rglob("*.parquet")))
    read = configured(inputs, tmp_path / "read", NOMINAL, *reading(disk))
    with pytest.raises(InputError, match="incomplete|no skim"):
        run(read)
    assert len(listed) < 5


def test_a_place_that_cannot_be_written_to_loses_every_chunk_at_once(
    inputs: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    place = f"preprocess.skimming.output.output_dir={tmp_path}/file/skims"
    none = "preprocess.skimming.max_retries=0"
    with pytest.raises(IncompleteError, match="cannot write"):
        run(configured(inputs, tmp_path / "out", ONLY, place, none))
    summary = read_summary(tmp_path / "out")
    assert summary["datasets"]["ttbar"]["lost"]["chunks"] == 6
    assert summary["throughput"]["bytes_read"] == 0, "nothing was processed in vain"


def test_an_option_that_the_writer_does_not_know_is_refused(inputs: Path, tmp_path: Path) -> None:
    unknown = "preprocess.skimming.output.to_kwargs={compresion: zstd}"
    with (
        pytest.raises(ConfigError, match="did you mean 'compression'"),
        Stages(configured(inputs, tmp_path / "out", SKIM, unknown)) as stages,
    ):
        stages.count_files()
    assert not (tmp_path / "out").exists()


def test_a_branch_that_no_file_has_is_refused_by_name(inputs: Path, tmp_path: Path) -> None:
    config = settings(inputs, tmp_path / "out")
    config["preprocess"]["branches"] = {"Jet": ["pt", "btagDeepC"]}
    config["preprocess"]["mc_branches"] = {}
    from intccms.schema import load_config

    with (
        pytest.raises(InputError, match="Jet_btagDeepC"),
        Stages(load_config(config, [ONLY])) as stages,
    ):
        stages.count_files()
    skipped = load_config(config, [ONLY, "preprocess.ignore_missing=True"])
    assert run(skipped).summary["status"] == "complete"
