"""Classes, weights and the split of the training events."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intccms.datasets import Fileset
from intccms.engine.results import AnalysisResult
from intccms.errors import InputError
from intccms.mva.evaluation import Sample, sample_of, training_rows
from intccms.pipeline import Stages
from intccms.schema import Mva, load_config
from tests.mva.conftest import collected, collected_by
from tests.mva.small import classifier, table

Events = tuple[AnalysisResult, Fileset]


def mva(**more: Any) -> Mva:
    return Mva.model_validate(classifier(**more))


def sample(events: Events, **more: Any) -> Sample:
    analysis, fileset = events
    return sample_of(mva(**more), fileset, analysis)


def same(one: Sample, two: Sample) -> None:
    for name in ("values", "weights", "labels", "processes", "folds"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.counts == two.counts


def test_chunks_and_executors_give_the_same_sample(
    events: Events, classes: Path, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"chunk_size": 123, "executor": "futures", "n_workers": 2}
    same(sample(events), sample(collected(classes, tmp_path, **more)))


def test_the_split_is_by_event_and_not_by_file(
    events: Events, classes: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "in"
    shutil.copytree(classes, renamed)
    for process in ("signal", "ttbar", "wjets"):  # the first file becomes the second
        first, second = renamed / process / "0.root", renamed / process / "1.root"
        first.rename(renamed / process / "2.root")
        assert second.exists()
    same(sample(events), sample(collected(renamed, tmp_path / "out")))
    shares = np.bincount(sample(events).folds) / len(sample(events).folds)
    assert shares == pytest.approx([0.2] * 5, abs=0.03)
    assert np.mean(sample(events, folds=1).folds == 0) == pytest.approx(0.2, abs=0.02)


def test_another_seed_is_another_split(events: Events) -> None:
    for folds, different in ((1, 0.32), (5, 0.8)):
        one, two = sample(events, folds=folds), sample(events, folds=folds, random_state=7)
        np.testing.assert_array_equal(one.values, two.values)
        assert np.mean(one.folds != two.folds) == pytest.approx(different, abs=0.04)


def test_weights_are_positive_and_one_on_average_in_each_class(events: Events) -> None:
    found = sample(events)
    assert found.weights.min() > 0
    for label in (0, 1):
        assert found.weights[found.labels == label].mean() == pytest.approx(1)


def test_processes_of_a_class_are_mixed_by_cross_section(events: Events) -> None:
    found = sample(events)
    shares = {
        process: found.weights[found.processes == process].sum() for process in ("ttbar", "wjets")
    }
    assert shares["wjets"] / shares["ttbar"] == pytest.approx(4, rel=0.15)  # 20 pb and 5 pb


def test_without_balance_a_class_counts_by_its_events(events: Events) -> None:
    found = sample(events)
    rows, weights = training_rows(mva(), found, 2)
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(found.folds != 2))
    for label in (0, 1):
        mine = found.labels[rows] == label
        assert weights[mine].sum() == pytest.approx(np.sum(mine))


def test_class_weights_make_classes_equal(events: Events) -> None:
    found = sample(events)
    rows, weights = training_rows(mva(balance_strategy="class_weight"), found, 0)
    sums = [weights[found.labels[rows] == label].sum() for label in (0, 1)]
    assert sums == pytest.approx([len(rows) / 2] * 2)
    assert len(rows) == np.sum(found.folds != 0)


def test_undersampling_leaves_as_many_events_of_each_class(events: Events) -> None:
    found = sample(events)
    rows, _ = training_rows(mva(balance_strategy="undersample"), found, 0)
    smallest = np.sum((found.labels == 0) & (found.folds != 0))
    assert list(np.bincount(found.labels[rows])) == [smallest, smallest]
    assert len(set(rows)) == len(rows)
    again, _ = training_rows(mva(balance_strategy="undersample"), found, 0)
    np.testing.assert_array_equal(rows, again)


def test_a_sample_of_a_large_dataset_stands_for_all_of_it(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intccms.engine import processor as tables

    whole = sample(events)
    monkeypatch.setattr(tables, "MAX_EVENTS", 300)
    found = sample(events)
    assert [np.sum(found.processes == name) for name in ("ttbar", "wjets")] == [300, 300]
    shares = [
        one.weights[one.processes == "wjets"].sum() / one.weights[one.labels == 1].sum()
        for one in (whole, found)
    ]
    assert shares[0] == pytest.approx(shares[1], abs=1e-9)
    assert found.counts["ttbar"]["past_baseline"] == whole.counts["ttbar"]["past_baseline"]


def test_a_class_without_events_is_named(classes: Path, tmp_path: Path) -> None:
    analysis, fileset = collected(classes, tmp_path, chunk_size=800)
    table = analysis.samples["signal"]["nn"]
    nothing = type(table).of(table.identity, np.zeros(len(table.weights)), table.values)
    analysis.samples["signal"]["nn"] = nothing
    with pytest.raises(InputError, match="class 'signal' has no events to train on; 0 of its"):
        sample((analysis, fileset))


def test_a_skim_gives_the_same_sample(events: Events, classes: Path, tmp_path: Path) -> None:
    columns = {"event": ["run", "luminosityBlock", "event", "genWeight"]}
    preprocess = {
        "branches": {**columns, "Jet": ["pt", "eta", "phi", "mass"], "PuppiMET": ["pt", "phi"]},
        "mc_branches": {"event": ["genWeight"]},
    }
    skim = load_config(
        table(classes, tmp_path, run_skimming=True, run_analysis=False) | {"preprocess": preprocess}
    )
    with Stages(skim) as stages:
        stages.count_files()
        stages.process()
    config = load_config(
        table(classes, tmp_path, use_skimmed_input=True, run_mva_training=True)
        | {"preprocess": preprocess}
    )
    same(sample(events), sample(collected_by(config)))
