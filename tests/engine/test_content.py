"""What is in the files: weights and their sums, sections, and files that change meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from intccms.analysis.runner import AnalysisResult, chunk_size, make_processor, process, run
from intccms.datasets import DatasetManager, metadata
from intccms.errors import FunctionError, IncompleteError, InputError, MissingColumnError
from intccms.execution.executors import IterativeExecutor
from intccms.schema import Config, load_config
from tests.engine import small
from tests.engine.flat import write

MC = {"name": "mc", "directories": "mc/", "cross_sections": 1.0}
DATA = {"name": "data", "directories": "data/", "is_data": True}
MET = ("MET", "pt")


def configured(base: Path, *datasets: dict[str, Any], **parts: Any) -> Config:
    general = {"base_dir": str(base), "output_dir": str(base / "out"), "executor": "iterative"}
    observable = small.observable("met", lambda pt: pt, MET, edges=[0.0, 100.0, 200.0])
    parts = {"channels": [small.channel("all", [observable])], **parts}
    general |= parts.pop("general", {})
    table = {"datasets": list(datasets or [MC])}
    return load_config(small.config(general=general, datasets=table, **parts))


def analysed(base: Path, *datasets: dict[str, Any], **parts: Any) -> AnalysisResult:
    return run(configured(base, *datasets, **parts))


def total(result: AnalysisResult, name: str = "mc") -> float:
    histogram = result.histograms.histograms["all", "met"]
    return float(histogram[:, name, "nominal"].values(flow=True).sum())


# Sums of weights


def test_a_filtered_file_without_events_keeps_its_sum_of_weights(tmp_path: Path) -> None:
    write(tmp_path / "mc/a.root", 10, runs=(1000.0, 1000))
    write(tmp_path / "mc/b.root", 0, runs=(500.0, 1000))
    result = analysed(tmp_path)
    assert total(result) == pytest.approx(10 / 1500)
    book = result.ledger.datasets["mc"]
    assert (book.processed.sumw, book.processed.files, book.sumw_source) == (1500.0, 2, "runs")


def test_a_dataset_of_nothing_but_files_without_events_has_yield_zero(tmp_path: Path) -> None:
    write(tmp_path / "mc/a.root", 10)
    for name in ("a", "b"):
        write(tmp_path / f"rare/{name}.root", 0, runs=(500.0, 1000))
    result = analysed(tmp_path, MC, {**MC, "name": "rare", "directories": "rare/"})
    assert (total(result, "rare"), total(result)) == (0.0, pytest.approx(1.0))
    assert result.ledger.datasets["rare"].processed.sumw == 1000.0


def test_a_skim_hands_on_the_sum_of_weights_of_files_without_events(tmp_path: Path) -> None:
    write(tmp_path / "mc/a.root", 10, runs=(1000.0, 1000))
    write(tmp_path / "mc/b.root", 0, runs=(1000.0, 1000))
    analysed(tmp_path, general={"run_skimming": True})
    result = analysed(tmp_path, general={"use_skimmed_input": True})
    assert total(result) == pytest.approx(10 / 2000)


def test_the_sum_of_another_weight_is_that_of_the_events(tmp_path: Path) -> None:
    sign = np.where(np.arange(200) % 4 == 0, -1, 1).astype("f4")
    write(tmp_path / "mc/a.root", 200, genWeight=250 * sign, signWeight=sign, runs=(25e3, 200))
    result = analysed(tmp_path, {**MC, "weight_branch": "signWeight"})
    assert total(result) == pytest.approx(1.0)
    book = result.ledger.datasets["mc"]
    assert (book.processed.sumw, book.sumw_source) == (100.0, "events")


@pytest.mark.parametrize("n_events", [10, 0])
def test_another_weight_of_a_filtered_file_has_no_known_sum(tmp_path: Path, n_events: int) -> None:
    write(tmp_path / "mc/a.root", 20, signWeight=np.ones(20, "f4"), runs=(20.0, 20))
    left = np.ones(n_events, "f4")
    write(tmp_path / "mc/b.root", n_events, signWeight=left, runs=(1000.0, 1000))
    with pytest.raises(
        InputError, match=rf"b\.root holds {n_events} of 1,000 .* not of signWeight"
    ):
        analysed(tmp_path, {**MC, "weight_branch": "signWeight"})


@pytest.mark.parametrize("name", ["Generator_weight", "LHEWeight_originalXWGTUP"])
def test_a_flat_column_of_a_group_is_a_weight(tmp_path: Path, name: str) -> None:
    weight = np.where(np.arange(120) % 4 == 0, -3, 3).astype("f4")
    group = {"Generator_x1": np.zeros(120, "f4"), "LHEWeight_originalXWGTUP": weight}
    write(tmp_path / "mc/a.root", 120, **{**group, name: weight})
    general = {"weight_branch": name, "read_from_cache": False}
    assert total(analysed(tmp_path, general=general)) == pytest.approx(1.0)
    assert analysed(tmp_path, general=general).ledger.datasets["mc"].processed.sumw == 180.0
    analysed(tmp_path, general={**general, "run_skimming": True})
    again = analysed(tmp_path, general={**general, "use_skimmed_input": True})
    assert total(again) == pytest.approx(1.0)


def test_a_weight_branch_that_is_not_there_or_no_number_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mc/a.root", 10, Generator_weight=np.ones(10, "f4"))
    with pytest.raises(MissingColumnError, match="'wieght'; did you mean 'weight'"):
        analysed(tmp_path, general={"weight_branch": "Generator_wieght"})
    with pytest.raises(FunctionError, match="Generator: one number per event"):
        analysed(tmp_path, general={"weight_branch": "Generator"})


# Damaged numbers


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_weight_that_cannot_be_is_a_damaged_input(tmp_path: Path, value: float) -> None:
    for index in range(4):
        weight = np.ones(50)
        weight[7] = value if index == 2 else 1.0
        write(tmp_path / f"mc/{index}.root", 50, genWeight=weight)
    where = r"'mc', .*2\.root: BadContentError: bad content: genWeight is \S+ at entry 7"
    with pytest.raises(IncompleteError, match=where):
        analysed(tmp_path)
    result = analysed(tmp_path, general={"max_lost_fraction": 0.3})
    assert total(result) == pytest.approx(1.0)
    (lost,) = result.ledger.lost_chunks
    assert (Path(lost.file).name, lost.entries) == ("2.root", (0, 50))


def test_the_best_chunk_size_is_found_without_the_damaged_file(tmp_path: Path) -> None:
    weight = np.ones(100)
    weight[7] = np.nan
    write(tmp_path / "mc/a.root", 100, genWeight=weight)
    write(tmp_path / "mc/b.root", 50)
    result = analysed(tmp_path, general={"chunk_size": "auto", "max_lost_fraction": 0.7})
    assert total(result) == pytest.approx(1.0)
    assert "events a chunk" in result.chunking


def test_the_entry_of_a_damaged_weight_counts_from_the_beginning_of_the_file(
    tmp_path: Path,
) -> None:
    weight = np.ones(100)
    weight[[75, 80]] = np.nan
    write(tmp_path / "mc/a.root", 100, genWeight=weight)
    parts = {"preprocess": {"skimming": {"chunk_size": 25}}, "general": {"max_lost_fraction": 0.5}}
    result = analysed(tmp_path, **parts)
    (lost,) = result.ledger.lost_chunks
    assert lost.entries == (75, 100)
    assert "genWeight is nan at entry 75 and 1 more" in lost.error


def test_a_sum_in_runs_that_is_no_number_is_a_damaged_input(tmp_path: Path) -> None:
    write(tmp_path / "mc/a.root", 10, runs=(10.0, 10))
    write(tmp_path / "mc/b.root", 10, runs=(np.nan, 10))
    with pytest.raises(IncompleteError, match=r"b\.root: BadContentError: .*genEventSumw"):
        analysed(tmp_path)
    assert total(analysed(tmp_path, general={"max_lost_fraction": 0.5})) == pytest.approx(1.0)


def test_a_weight_of_a_correction_that_is_no_number_is_its_functions_fault(tmp_path: Path) -> None:
    write(tmp_path / "mc/a.root", 10)
    correction = {"name": "pileup", "type": "event", "use_correctionlib": False}
    function = {"nominal_function": lambda pt: pt * np.nan, "args": [MET]}
    with pytest.raises(FunctionError, match="'pileup': 10 of 10 event weights are not finite"):
        analysed(tmp_path, corrections=[{**correction, **function}])


# Files under several names, sections in several datasets


def data(path: Path, n: int = 100, **columns: Any) -> Path:
    return write(path, n, genWeight=None, **columns)


def test_a_file_under_two_names_counts_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(data(tmp_path / "data/a.root"), tmp_path / "data/b.root")
    result = analysed(tmp_path, DATA)
    assert total(result, "data") == 100
    (repeated,) = result.ledger.repeated_files
    assert (Path(repeated.file).name, Path(repeated.same_as).name) == ("b.root", "a.root")
    assert result.ledger.datasets["data"].processed.files == 1
    assert "it is read once" in caplog.text


def test_a_skim_knows_where_the_events_of_a_copy_are(tmp_path: Path) -> None:
    (tmp_path / "el").mkdir()
    shutil.copy(data(tmp_path / "mu/a.root"), tmp_path / "el/b.root")
    both = {**DATA, "directories": ("mu/", "el/")}
    analysed(tmp_path, both, general={"run_skimming": True})
    result = analysed(tmp_path, both, general={"use_skimmed_input": True})
    assert total(result, "data") == 100
    assert not result.ledger.lost_chunks
    assert [one.dataset for one in result.ledger.repeated_files] == ["data_el"]


def test_sections_that_two_datasets_hold_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data(tmp_path / "mu/a.root")
    data(tmp_path / "el/a.root", 30, seed=2)
    both = {**DATA, "directories": ("mu/", "el/")}
    result = analysed(tmp_path, both)
    assert caplog.text.count("1 luminosity sections are in both 'data_mu' and 'data_el'") == 1
    assert result.lumis is not None
    assert [one.first for one in result.lumis.shared] == [(1, 1)]
    caplog.clear()
    veto = small.function(lambda pt: pt < 100, MET)
    analysed(tmp_path, {**both, "selection": [None, veto]})
    assert "luminosity sections are in both" not in caplog.text


def test_a_sample_can_be_split_into_two_processes_by_selections(tmp_path: Path) -> None:
    write(tmp_path / "mc/a.root", 100)
    low = {**MC, "name": "low", "selection": small.function(lambda pt: pt < 100, MET)}
    high = {**MC, "name": "high", "selection": small.function(lambda pt: pt >= 100, MET)}
    result = analysed(tmp_path, low, high)
    assert total(result, "low") + total(result, "high") == pytest.approx(1.0)
    assert 0 < total(result, "low") < 1
    with pytest.raises(InputError, match="one file for two processes"):
        analysed(tmp_path, MC, {**MC, "name": "again"})


# Files that change


def updated(path: Path, n: int) -> None:
    """Rewrite the events of a file in place: its uuid stays."""
    with uproot.open(path) as file:
        uuid = file.file.uuid
    other = write(path.with_name("other.tmp"), n, seed=9)
    with uproot.open(other) as file:
        new = file.file.uuid
    path.write_bytes(other.read_bytes().replace(new.bytes, uuid.bytes))
    other.unlink()
    with uproot.open(path) as file:
        assert file.file.uuid == uuid


def test_a_file_that_was_rewritten_under_its_uuid_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "mc/a.root", 100, MET_pt=np.full(100, 150, "f4"))
    kept = {"cache_dir": str(tmp_path / "cache")}
    upper = analysed(tmp_path, general=kept).histograms.histograms["all", "met"].values()
    assert upper[1, 0, 0] == pytest.approx(1.0)
    updated(path, 100)
    with uproot.open(path) as file:
        share = np.mean(file["Events/MET_pt"].array(library="np") >= 100)
    again = analysed(tmp_path, general=kept)
    assert again.histograms.histograms["all", "met"].values()[1, 0, 0] == pytest.approx(share)


def test_a_file_that_was_touched_moved_and_copied_is_resumed(tmp_path: Path) -> None:
    path = write(tmp_path / "mc/a.root", 100)
    analysed(tmp_path)
    copy = Path(shutil.copyfile(path, path.with_name("b.root")))
    path.unlink()
    os.utime(copy, (1.0, 1.0))
    assert {one.status for one in analysed(tmp_path).reports} == {"resumed"}


@pytest.mark.parametrize("change", [updated, write])
def test_a_file_that_is_replaced_after_it_was_counted_is_lost(
    tmp_path: Path, change: Callable[[Path, int], Any]
) -> None:
    first, second = (write(tmp_path / f"mc/{name}.root", 100) for name in "ab")
    config = configured(tmp_path)
    fileset = DatasetManager(config).fileset()
    executor = IterativeExecutor()
    found = metadata.collect(fileset, executor, chunk_size=chunk_size(config))
    change(second, 100)
    result = process(config, found, executor, processor=make_processor(config, fileset))
    (lost,) = result.ledger.lost_chunks
    assert lost.file == str(second)
    assert "is not the file that was planned" in lost.error
    assert [one.file for one in result.reports if one.status.is_processed] == [str(first)]


def test_a_file_that_changes_while_it_is_read_is_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "mc/a.root", 100)
    seen: list[int] = []

    def changing(pt: Any) -> Any:
        if len(pt) and not seen:
            seen.append(len(pt))
            updated(path, 100)
        return pt

    observable = small.observable("met", changing, MET, edges=[0.0, 200.0])
    channels = [small.channel("all", [observable])]
    result = analysed(
        tmp_path, channels=channels, preprocess={"skimming": {"chunk_size": 50}},
        general={"max_lost_fraction": 1.0},
    )  # fmt: skip
    assert len(result.ledger.lost_chunks) == 2
    assert "was changed while it was read" in result.ledger.lost_chunks[0].error
    assert "is not the file that was planned" in result.ledger.lost_chunks[1].error


# Absurd weights


def outlier(path: Path, value: float = 1e6) -> Path:
    weight = np.ones(1000)
    weight[5] = value
    return write(path, 1000, genWeight=weight, MET_pt=np.full(1000, 50.0, "f4"))


def test_an_absurd_weight_is_told_with_its_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outlier(tmp_path / "mc/a.root")
    result = analysed(tmp_path, preprocess={"skimming": {"chunk_size": 300}})
    weights = result.ledger.datasets["mc"].weights
    assert weights is not None
    assert weights["n_effective"] == pytest.approx((999 + 1e6) ** 2 / (999 + 1e12))
    assert (weights["n_above"], weights["largest"], weights["n_events"]) == (1, 1e6, 1000)
    assert "dataset 'mc': 1 of 1,000 events have a weight above 10 x" in caplog.text
    caplog.clear()
    analysed(tmp_path, general={"weight_outlier_factor": 1e8})
    assert "have a weight above" not in caplog.text


@pytest.mark.parametrize("clip", [5.0, {"mc": 5.0}])
def test_a_clipped_weight_counts_as_much_in_events_and_sum(tmp_path: Path, clip: Any) -> None:
    outlier(tmp_path / "mc/a.root")
    general = {"weight_clip": clip}
    whole, parts = (
        analysed(tmp_path, general=general, preprocess={"skimming": {"chunk_size": size}})
        for size in (1000, 70)
    )
    for result in (whole, parts):
        assert result.ledger.datasets["mc"].processed.sumw == 999 + 5
        weights = result.ledger.datasets["mc"].weights
        assert weights is not None
        assert (weights["n_clipped"], weights["largest"]) == (1, 5.0)
    assert total(whole) == pytest.approx(1.0)
    assert (whole.histograms.histograms["all", "met"].view(flow=True).tobytes()) == (
        parts.histograms.histograms["all", "met"].view(flow=True).tobytes()
    )
    plain = analysed(tmp_path, general={"weight_clip": {"other": 5.0}})
    assert plain.ledger.datasets["mc"].processed.sumw == 999 + 1e6


def test_runs_have_no_sum_of_clipped_weights(tmp_path: Path) -> None:
    write(tmp_path / "mc/a.root", 10, runs=(1000.0, 1000))
    with pytest.raises(InputError, match="not of genWeight clipped at 5"):
        analysed(tmp_path, general={"weight_clip": 5.0})


def test_a_skim_knows_of_which_weight_its_sums_are(tmp_path: Path) -> None:
    outlier(tmp_path / "mc/a.root")
    clipped = {"weight_clip": 5.0}
    original = analysed(tmp_path, general={**clipped, "run_skimming": True})
    again = analysed(tmp_path, general={**clipped, "use_skimmed_input": True})
    assert again.ledger.datasets["mc"].weights == original.ledger.datasets["mc"].weights
    for general in ({}, {"weight_branch": "Generator_weight"}):
        with pytest.raises(InputError, match="has the sum of genWeight clipped at 5"):
            analysed(tmp_path, general={**general, "use_skimmed_input": True})


# Events that are there more than once


@pytest.mark.parametrize("from_skim", [False, True])
def test_repeated_events_are_counted_if_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, from_skim: bool
) -> None:
    data(tmp_path / "mu/a.root")
    data(tmp_path / "el/a.root", 30, seed=2)
    both = {**DATA, "directories": ("mu/", "el/")}
    general = {"check_duplicates": True}
    if from_skim:
        analysed(tmp_path, both, general={"run_skimming": True})
        general["use_skimmed_input"] = True
    (one,) = analysed(tmp_path, both, general=general).duplicates
    assert (one.n_events, one.n_repeated, one.pairs) == (130, 30, (("data_mu", "data_el", 30),))
    assert one.first[0][:3] == (1, 1, 0)
    assert "30 of 130 events are there twice (30 in 'data_mu' and 'data_el')" in caplog.text
    assert analysed(tmp_path, both).duplicates == ()
