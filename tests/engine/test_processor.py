from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.processor import accumulate

from intccms.analysis.runner import AnalysisResult, run
from intccms.datasets import DatasetManager
from intccms.engine import systematics
from intccms.engine.inputs import dataset_tasks
from intccms.engine.processor import AnalysisProcessor
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from intccms.schema import load_config
from tests.engine import configuration as cc
from tests.engine import reference


def analysed(inputs: Path, overrides: dict[str, Any] | None = None, **general: Any) -> Any:
    config = cc.make_config(base_dir=str(inputs), executor="iterative", **general)
    return run(load_config(config, overrides or {}))


@pytest.fixture(scope="module")
def result(inputs: Path) -> AnalysisResult:
    return analysed(inputs)


def bits(result: AnalysisResult) -> dict[Any, bytes]:
    return {k: h.view(flow=True).tobytes() for k, h in result.histograms.histograms.items()}


@pytest.mark.parametrize("label", reference.LABELS)
def test_each_variation_equals_a_plain_loop(
    inputs: Path, result: AnalysisResult, label: str
) -> None:
    events = reference.load([inputs / "mc/0.root", inputs / "mc/1.root"])
    scale = 5.0 * 1000.0 / np.sum(np.asarray(events.genWeight, dtype=np.float64))
    expected = reference.histograms(events, label, inputs / "corrections.json")
    for key, values in expected.items():
        got = result.histograms.histogram(*key)[:, "ttbar", label].values()
        np.testing.assert_allclose(got, values * scale, rtol=1e-9, atol=1e-9)


def test_every_shift_moves_something(result: AnalysisResult) -> None:
    histogram = result.histograms.histogram("SR", "mass")
    nominal = histogram[:, "ttbar", "nominal"].values(flow=True)
    for label in result.histograms.varied["ttbar"]:
        assert not np.array_equal(histogram[:, "ttbar", label].values(flow=True), nominal), label


def test_weights_before_cuts_sum_to_cross_section_times_luminosity(
    result: AnalysisResult,
) -> None:
    first = result.cutflow["SR"]["ttbar"][0]
    assert first.name == "all events"
    assert first.yields == pytest.approx(5.0 * 1000.0, rel=1e-12)


def test_the_sample_has_negative_weights(inputs: Path) -> None:
    events = reference.load([inputs / "mc/0.root"])
    assert ak.any(events.genWeight < 0)


@pytest.mark.parametrize("chunk_size", [137, 1000, 10_000])
def test_chunking_changes_no_bit(inputs: Path, result: AnalysisResult, chunk_size: int) -> None:
    assert bits(analysed(inputs, chunk_size=chunk_size)) == bits(result)


@pytest.mark.parametrize("batch_memory_mb", [0.3, 2.0])
def test_slabs_change_no_bit(inputs: Path, result: AnalysisResult, batch_memory_mb: float) -> None:
    assert bits(analysed(inputs, batch_memory_mb=batch_memory_mb)) == bits(result)


@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_executors_change_no_bit(inputs: Path, result: AnalysisResult, executor: str) -> None:
    other = analysed(inputs, {"general.executor": executor, "general.n_workers": 2})
    assert bits(other) == bits(result)


def test_a_run_takes_up_what_another_has_kept_at_a_url(
    inputs: Path, result: AnalysisResult, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/kept"
    for status in ("done", "resumed"):
        again = analysed(inputs, cache_dir=url)
        assert {receipt.status for receipt in again.reports} == {status}
        assert bits(again) == bits(result)


def test_variations_leave_the_nominal_alone(inputs: Path, result: AnalysisResult) -> None:
    bare = analysed(inputs, run_systematics=False)
    for key, histogram in result.histograms.histograms.items():
        alone = bare.histograms.histogram(*key)[:, "ttbar", "nominal"]
        assert alone == histogram[:, "ttbar", "nominal"]


def test_data_has_the_nominal_only(result: AnalysisResult) -> None:
    histogram = result.histograms.histogram("SR", "mass")
    assert result.histograms.varied["data"] == ()
    assert histogram[:, "data", "nominal"].values().sum() > 0
    assert histogram[:, "data", "jes0_up"].values().sum() == 0


@pytest.fixture
def processor(inputs: Path) -> AnalysisProcessor:
    config = load_config(cc.make_config(base_dir=str(inputs)))
    fileset = DatasetManager(config).fileset()
    return AnalysisProcessor(config, dataset_tasks(config, fileset))


def chunk(inputs: Path, start: int, stop: int) -> ak.Array:
    source = open_source(str(inputs / "mc/0.root"), "Events")
    return source.events(start, stop, ReadMeter(), {"dataset": "ttbar"})


def test_a_processor_used_twice_gives_twice(inputs: Path, processor: AnalysisProcessor) -> None:
    once = processor.process(chunk(inputs, 0, 500))
    twice = accumulate([once, processor.process(chunk(inputs, 0, 500))])
    assert twice["n_events"] == 2 * once["n_events"]
    for key, sums in once["histograms"].items():
        assert np.array_equal(twice["histograms"][key].sumw.values(), 2 * sums.sumw.values())


def test_two_chunks_in_either_order_are_one(inputs: Path, processor: AnalysisProcessor) -> None:
    whole = processor.process(chunk(inputs, 0, 1000))
    left, right = (processor.process(chunk(inputs, *r)) for r in ((0, 321), (321, 1000)))
    for pair in ((left, right), (right, left)):
        total = accumulate(pair)
        assert total["sumw"] == whole["sumw"]
        for key, sums in whole["histograms"].items():
            assert total["histograms"][key].sumw == sums.sumw
            assert total["histograms"][key].sumw2 == sums.sumw2


def test_untouched_cuts_leave_few_candidates(
    inputs: Path, processor: AnalysisProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = systematics.batches

    def counting(nominal: Any, events: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(events))
        return original(nominal, events, *args, **kwargs)

    monkeypatch.setitem(vars(systematics), "batches", counting)
    processor.process(chunk(inputs, 0, 3000))
    events = reference.load([inputs / "mc/0.root"])
    events = events[events.HLT.TkMu50 & (events.PuppiMET.pt > 20)]
    one_muon = ak.sum(ak.num(events.Muon[cc.good_muons(events.Muon)]) == 1)
    assert 0 < sum(seen) <= one_muon


def test_a_processor_survives_pickling(inputs: Path, processor: AnalysisProcessor) -> None:
    import cloudpickle

    again = pickle.loads(cloudpickle.dumps(processor))
    first, second = (p.process(chunk(inputs, 0, 300)) for p in (processor, again))
    assert first["sumw"] == second["sumw"]
