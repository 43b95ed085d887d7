"""The whole of Run 2, small, from the sample to the limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import correctionlib
import numpy as np
import pytest

from example_cms import btag_yields
from example_cms.configs.btag_yields import config as before_b_tag
from example_cms.configs.corrections.jets import CORRELATED, EACH_YEAR
from example_cms.configs.datasets import BACKGROUNDS
from example_cms.configs.years import YEARS
from intccms import pipeline
from intccms.analysis.runner import run
from intccms.engine.results import AnalysisResult
from intccms.histograms.storage import load_years
from intccms.schema import load_config
from tests.example_cms.conftest import SIGNALS, small

N_DATASETS = 3 * (len(SIGNALS) + len(BACKGROUNDS)) + 11
FEW = ("lumi_run2", "xsec_ttbar")


def settings(run2: Path, output: Path, **general: Any) -> dict[str, Any]:
    general |= {"base_dir": str(run2), "output_dir": str(output)}
    general |= {"executor": "iterative"}
    off = {"metrics.generate_plots": False, "metrics.generate_reports": False}
    return {f"general.{key}": value for key, value in (general | off).items()}


def summary(output: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((output / "run_summary.json").read_text())
    return made


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, run2: Path, run2_config: dict[str, Any]
) -> AnalysisResult:
    """A run with every variation, without figures and fit."""
    output = tmp_path_factory.mktemp("whole")
    return run(load_config(run2_config, settings(run2, output)))


def test_every_dataset_of_three_years_is_processed_without_loss(whole: AnalysisResult) -> None:
    datasets = whole.ledger.datasets
    assert len(datasets) == N_DATASETS == 44
    for dataset in datasets.values():
        assert dataset.planned == dataset.processed
        assert dataset.processed.events > 0


def test_yields_of_the_years_add_up_to_those_of_run_2(whole: AnalysisResult) -> None:
    assert list(whole.years) == ["2016", "2017", "2018"]
    books = whole.years.values()
    for channel in ("one_b_tag", "no_b_tag"):
        parts = [book.yields(channel) for book in books]
        for process, (value, _) in whole.histograms.yields(channel).items():
            assert value == pytest.approx(sum(part[process][0] for part in parts))
    assert all(book.yields("one_b_tag")["data"][0] > 0 for book in books)
    # every year counts with its own luminosity
    signal = [book.yields("one_b_tag")["zprime_m2000_w200"][0] for book in books]
    assert signal[0] < signal[1]
    assert signal[0] < signal[2]


def test_sources_of_one_year_vary_the_sum_of_all(whole: AnalysisResult) -> None:
    total = whole.histograms
    labels = set(total.variations("ttbar_semilep"))
    wanted = {f"jes{source}" for source in CORRELATED}
    wanted |= {f"jes{source}_{year.name}" for source in EACH_YEAR for year in YEARS}
    wanted |= {f"jer_{year.name}" for year in YEARS} | {"lumi_run2", "pdf", "isr", "top_pt"}
    assert {f"{name}_{side}" for name in wanted for side in ("up", "down")} <= labels
    where = ("one_b_tag", "workshop_mtt", "ttbar_semilep")
    nominal = total.slice(*where).values()
    for label in ("lumi_2017_up", "jesFlavorQCD_up", "jer_2018_up", "btag_hf_up"):
        varied = total.slice(*where, label).values()
        assert not np.array_equal(varied, nominal), label
        assert varied.sum() == pytest.approx(nominal.sum(), rel=0.5)
    only_2017 = 0.02 * whole.years["2017"].yields("one_b_tag")["ttbar_semilep"][0]
    shifted = total.slice(*where, "lumi_2017_up").sum(flow=True).value
    assert shifted - total.slice(*where).sum(flow=True).value == pytest.approx(only_2017)


def test_boson_pairs_have_no_variation_of_matrix_elements(whole: AnalysisResult) -> None:
    labels = whole.histograms.variations("diboson")
    assert not [label for label in labels if label.startswith(("scale_", "pdf"))]
    assert "isr_up" in labels


def test_a_signal_is_fitted_with_its_mass(
    tmp_path: Path, run2: Path, run2_config: dict[str, Any]
) -> None:
    """With few nuisance parameters: all of them take minutes."""
    corrections = {
        year: [
            entry | {"uncertainty_sources": kept}
            for entry in entries
            for found in [entry.get("uncertainty_sources", ())]
            for kept in [[one for one in found if one["name"].startswith(FEW)]]
            if kept or {"key", "nominal_function"} & entry.keys()
        ]
        for year, entries in run2_config["corrections"].items()
    }
    # blind: the few events of so small data files are no sample of what is expected
    statistics = {"signals": ["zprime_m2000_w200"], "blind": ["one_b_tag"]}
    config = run2_config | {
        "corrections": corrections,
        "statistics": run2_config["statistics"] | statistics,
    }
    processes = ["zprime_m2000_w200", "ttbar_semilep", "single_top", "data"]
    restricted = settings(run2, tmp_path, processes=processes, channels=["one_b_tag"])
    pipeline.run(load_config(config, restricted))
    made = summary(tmp_path)
    assert made["status"] == "complete"
    assert list(made["limits"]) == ["zprime_m2000_w200"]
    assert made["limits"]["zprime_m2000_w200"]["mass_gev"] == 2000
    assert made["limits"]["zprime_m2000_w200"]["expected"] > 0


def test_the_yield_ratio_is_measured_before_any_b_tag(
    tmp_path: Path,
    run2: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(btag_yields, "LEAST_EVENTS", 0)  # there are few
    processes = ["ttbar_semilep", "wjets"]
    config = load_config(small(before_b_tag), settings(run2, tmp_path / "run", processes=processes))
    pipeline.run(config)
    arguments = [str(tmp_path / "run"), "--base-dir", str(tmp_path)]
    assert btag_yields.main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for year, book in load_years(tmp_path / "run" / "histograms").items():
        path = tmp_path / "example_cms" / "corrections" / year / "btag_yields.json"
        ratio = correctionlib.CorrectionSet.from_file(str(path))["btag_yield_ratio"]
        where = ("before_b_tag", "n_jets", "ttbar_semilep")
        other = ("before_b_tag", "n_jets", "wjets")
        nominal = book.slice(*where).values() + book.slice(*other).values()
        varied = [book.slice(*name, "with_btag_up").values() for name in (where, other)]
        found = np.flatnonzero((nominal > 0) & (sum(varied) > 0))
        expected = nominal[found] / sum(varied)[found]
        assert not np.allclose(expected, 1.0)
        made = ratio.evaluate(found.astype(float))
        for one, two in zip(made, expected, strict=True):
            assert one == pytest.approx(two)
        assert ratio.evaluate(20.0) == ratio.evaluate(8.0)


def test_the_yield_ratio_needs_every_year(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert btag_yields.main([str(tmp_path)]) == 2
    assert "no histograms of 2016" in capsys.readouterr().err
