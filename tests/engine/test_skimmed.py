"""An analysis of a skim and one of the originals: no bit may differ."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from intccms.errors import IncompleteError, InputError
from intccms.pipeline import RunResult, Stages, read_summary
from tests.engine.skim_runs import (
    assert_same,
    configured,
    manifest,
    nothing,
    reading,
    run,
)

NOMINAL = "general.run_systematics=False"
SKIM = "general.run_skimming=True"
ONLY = "general.run_analysis=False"


@pytest.fixture(scope="module")
def original(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(configured(inputs, tmp_path_factory.mktemp("original")))


@pytest.fixture(scope="module")
def nominal(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(configured(inputs, tmp_path_factory.mktemp("nominal"), NOMINAL))


@pytest.fixture(scope="module")
def skim(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Parts in parquet."""
    return run(configured(inputs, tmp_path_factory.mktemp("skim"), SKIM, NOMINAL))


@pytest.mark.parametrize("kind", ["parquet", "ttree", "rntuple"])
def test_no_bit_differs_in_any_format(
    kind: str, inputs: Path, original: RunResult, tmp_path: Path
) -> None:
    fmt = f"preprocess.skimming.output.format={kind}"
    made = run(configured(inputs, tmp_path / "made", SKIM, fmt))
    assert_same(made, original)
    read = run(configured(inputs, tmp_path / "read", fmt, *reading(made)))
    assert_same(read, original)
    assert read.cutflow["SR"]["ttbar"][1].name == "skim"
    assert len(list(made.output.skimmed_dir.glob("ttbar/file_*/part_*.[pr]*"))) == 4
    chunks = read.summary["datasets"]["ttbar"]["processed"]["chunks"]
    assert chunks == 6, "two of them are empty and have no part"


def test_parts_that_were_put_together_give_the_same_bits(
    inputs: Path, nominal: RunResult, tmp_path: Path
) -> None:
    size = "preprocess.skimming.target_part_size=1000000"
    made = run(configured(inputs, tmp_path / "made", SKIM, size, NOMINAL))
    assert len(list(made.output.skimmed_dir.glob("ttbar/file_*/part_*.parquet"))) == 2
    read = run(configured(inputs, tmp_path / "read", size, NOMINAL, *reading(made)))
    assert_same(read, nominal)
    again = run(configured(inputs, tmp_path / "made", SKIM, size, NOMINAL))
    assert again.summary["datasets"]["ttbar"]["resumed"]["chunks"] == 6
    assert manifest(again) == manifest(made)


def test_what_one_executor_writes_another_reads(
    inputs: Path, nominal: RunResult, skim: RunResult, tmp_path: Path
) -> None:
    workers = ["general.n_workers=2", NOMINAL]
    made = run(configured(inputs, tmp_path / "made", SKIM, "general.executor=futures", *workers))
    for dataset in ("ttbar", "data"):
        assert manifest(made, dataset) == manifest(skim, dataset)
    dask = "general.executor=dask"
    read = run(configured(inputs, tmp_path / "read", dask, *workers, *reading(made)))
    assert_same(read, nominal)


def test_no_original_is_opened(inputs: Path, nominal: RunResult, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(inputs, tmp_path / "inputs"))
    made = run(configured(copied, tmp_path / "made", SKIM, NOMINAL))
    for path in copied.rglob("*.root"):
        path.write_bytes(b"")
    read = run(configured(copied, tmp_path / "read", NOMINAL, *reading(made)))
    assert read.book is not None
    assert nominal.book is not None
    assert read.summary["yields"] == nominal.summary["yields"]
    assert read.summary["cutflow"] == nominal.summary["cutflow"]


def test_fewer_processes_and_files_are_a_part_of_the_same_skim(
    inputs: Path, skim: RunResult, tmp_path: Path
) -> None:
    fewer = ["datasets.max_files=1", "general.processes=[ttbar]", NOMINAL]
    read = run(configured(inputs, tmp_path / "read", *fewer, *reading(skim)))
    some = run(configured(inputs, tmp_path / "some", *fewer))
    assert read.summary["cutflow"] == some.summary["cutflow"]
    assert read.summary["datasets"] == some.summary["datasets"]


def refused(inputs: Path, out: Path, *overrides: str, **skimming: Any) -> str:
    """Run what must be refused before anything is written; return what is said."""
    with (
        pytest.raises(InputError) as found,
        Stages(configured(inputs, out, NOMINAL, *overrides, **skimming)) as stages,
    ):
        stages.count_files()
    assert not out.exists()
    assert found.value.exit_status == 2
    return str(found.value)


def test_a_skim_that_is_not_there_is_refused(inputs: Path, tmp_path: Path) -> None:
    said = refused(inputs, tmp_path / "out", *reading(tmp_path / "nowhere"))
    assert "no skim of dataset 'ttbar'" in said
    assert "general.run_skimming=True" in said


def test_a_skim_with_another_selection_is_refused(
    inputs: Path, skim: RunResult, tmp_path: Path
) -> None:
    said = refused(
        inputs, tmp_path / "out", *reading(skim), function=nothing, use=[("event", "event")]
    )
    assert "ttbar was made with another selection" in said
    assert "general.run_skimming=True" in said


def test_a_skim_in_another_format_is_refused(inputs: Path, skim: RunResult, tmp_path: Path) -> None:
    other = "preprocess.skimming.output.format=ttree"
    assert "parquet" in refused(inputs, tmp_path / "out", other, *reading(skim))


def test_a_skim_of_another_listing_is_refused(
    inputs: Path, skim: RunResult, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(inputs, tmp_path / "inputs"))
    said = refused(copied, tmp_path / "out", *reading(skim))
    assert "its file 0 was" in said


def test_a_skim_of_fewer_files_is_refused(inputs: Path, tmp_path: Path) -> None:
    made = run(configured(inputs, tmp_path / "made", SKIM, NOMINAL, "datasets.max_files=1"))
    said = refused(inputs, tmp_path / "out", *reading(made))
    assert "ttbar is incomplete" in said
    assert "mc/1.root" in said


def test_a_skim_without_the_column_of_a_correction_is_refused(inputs: Path, tmp_path: Path) -> None:
    fewer = "preprocess.mc_branches={event: [genWeight]}"
    config = configured(inputs, tmp_path / "made", SKIM, NOMINAL, fewer)
    branches = {k: v for k, v in config.preprocess.branches.items() if k != "Pileup"}
    config = config.model_copy(
        update={"preprocess": config.preprocess.model_copy(update={"branches": branches})}
    )
    made = run(config)
    said = refused(inputs, tmp_path / "out", *reading(made))
    assert "the skim of dataset 'ttbar'" in said
    assert "Pileup" in said
    assert "preprocess.branches" in said


def lose(skim: RunResult, tmp_path: Path) -> Path:
    """Copy a skim, in which parts may be damaged."""
    return Path(shutil.copytree(skim.output.skimmed_dir, tmp_path / "damaged"))


@pytest.mark.parametrize("damage", ["deleted", "truncated", "changed"])
def test_a_part_that_is_damaged_later_is_a_loss_in_the_ledger(
    damage: str, inputs: Path, skim: RunResult, tmp_path: Path
) -> None:
    place = lose(skim, tmp_path)
    part = place / "ttbar/file_0/part_2.parquet"
    content = part.read_bytes()
    part.unlink()
    if damage == "truncated":
        part.write_bytes(content[:-10])
    if damage == "changed":
        part.write_bytes(content[:1000] + b"x" + content[1001:])
    full = "preprocess.skimming.verify=full"
    with pytest.raises(IncompleteError, match="lost 1,000 of 6,500 events"):
        run(configured(inputs, tmp_path / "out", NOMINAL, full, *reading(place)))
    summary = read_summary(tmp_path / "out")
    assert summary["status"] == "incomplete"
    (lost,) = summary["lost_chunks"]
    assert lost["entries"] == [2000, 3000]
    assert lost["file"].endswith("mc/0.root")
    assert "part_2.parquet" in lost["error"]
    assert summary["datasets"]["ttbar"]["processed"]["events"] == 5000


def test_what_a_skim_lacks_is_lost_where_a_loss_is_allowed(
    inputs: Path, skim: RunResult, tmp_path: Path
) -> None:
    place = lose(skim, tmp_path)
    (place / "ttbar/file_0/part_2.parquet").unlink()
    (place / "ttbar/manifest.json").unlink()  # made again from the parts that are left
    assert "entries 2000 to 3000" in refused(inputs, tmp_path / "out", *reading(place))
    allowed = "general.max_lost_fraction=0.2"
    read = run(configured(inputs, tmp_path / "out", NOMINAL, allowed, *reading(place)))
    (lost,) = read.summary["lost_chunks"]
    assert lost["entries"] == (2000, 3000)
    assert "the skim lacks" in lost["error"]
    assert read.summary["datasets"]["ttbar"]["processed"]["events"] == 5000
    assert read.summary["cutflow"]["SR"]["ttbar"][0]["yields"] == pytest.approx(5000)


def test_a_filtered_file_counts_with_its_runs_on_a_skim_too(inputs: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(inputs, tmp_path / "inputs"))
    for path in copied.glob("mc/*.root"):
        with uproot.update(path) as file:
            file.mktree("Runs", {"run": "uint32", "genEventSumw": "f8", "genEventCount": "i8"})
            file["Runs"].extend(
                {"run": [np.uint32(1)], "genEventSumw": [9e6], "genEventCount": [np.int64(10**5)]}
            )
    whole = run(configured(copied, tmp_path / "all", NOMINAL))
    made = run(configured(copied, tmp_path / "made", ONLY))
    read = run(configured(copied, tmp_path / "read", NOMINAL, *reading(made)))
    assert read.summary["datasets"]["ttbar"]["sumw_source"] == "runs"
    assert_same(read, whole)
