"""Configurations of other people: they validate as they are and give what a plain loop gives."""

from __future__ import annotations

import copy
import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from intccms.analysis.runner import AnalysisResult, run
from intccms.cli import main
from intccms.schema import Config, load_config
from tests.configurations import plain

NAMES = ("electrons_years", "ghosts", "muons_old", "numba_jets", "real_nano", "taus")


def configured(module: ModuleType, folder: Path, out: Path) -> Config:
    """Load a configuration as it is; only where it reads and writes is said from outside."""
    where = {"base_dir": str(folder), "output_dir": str(out), "executor": "iterative"}
    return load_config(
        f"{module.__name__}:config", {f"general.{key}": value for key, value in where.items()}
    )


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module", params=NAMES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(f"tests.configurations.{request.param}")


@pytest.fixture(scope="module")
def inputs(module: ModuleType, folder: Path, request: pytest.FixtureRequest) -> Path:
    """Where the files of a configuration are."""
    is_real = module.__name__.endswith("real_nano")
    return request.getfixturevalue("shared_data") if is_real else folder


@pytest.fixture(scope="module")
def result(module: ModuleType, inputs: Path, outputs: Path) -> AnalysisResult:
    return run(configured(module, inputs, outputs / module.__name__))


def expected(module: ModuleType, folder: Path) -> plain.Templates:
    datasets = {
        name: (process, norm, sorted(path for one in patterns.split() for path in folder.glob(one)))
        for name, (process, norm, patterns) in module.DATASETS.items()
    }
    labels = {name: module.labels(name) for name in datasets}
    columns = getattr(module, "COLUMNS", None)
    return plain.templates(datasets, module.EDGES, labels, module.loop(folder), columns)


def test_every_template_is_that_of_a_plain_loop(
    module: ModuleType, inputs: Path, result: AnalysisResult
) -> None:
    wanted = expected(module, inputs)
    for (channel, observable, process, label), counts in wanted.items():
        histogram = result.histograms.histograms[channel, observable]
        got = histogram[:, process, label].values(flow=True)
        # functions of the user that stay in float32 are not more precise than that
        scale = 1e-6 * float(np.abs(counts).max())
        np.testing.assert_allclose(
            got, counts, rtol=1e-6, atol=scale, err_msg=f"{channel} {observable} {process} {label}"
        )


def test_functions_that_get_awkwards_own_arrays_give_the_same_bits(
    module: ModuleType, inputs: Path, outputs: Path, result: AnalysisResult
) -> None:
    config = configured(module, inputs, outputs / f"{module.__name__}_awkward")
    general = config.general.model_copy(update={"columns": "awkward"})
    own = run(config.model_copy(update={"general": general})).histograms.histograms
    assert own.keys() == result.histograms.histograms.keys()
    for key, histogram in result.histograms.histograms.items():
        assert own[key].view(flow=True).tobytes() == histogram.view(flow=True).tobytes(), key


def test_no_variation_is_left_out_and_none_is_empty(
    module: ModuleType, result: AnalysisResult
) -> None:
    wanted = {
        process: {
            label
            for name, (p, norm, _) in module.DATASETS.items()
            if p == process and norm
            for label in module.labels(name)
        }
        for process, _, _ in module.DATASETS.values()
    }
    for process, labels in wanted.items():
        assert set(result.histograms.variations(process)) == {"nominal", *labels}
    for key in module.EDGES:
        histogram = result.histograms.histograms[key]
        for process in wanted:
            assert np.any(histogram[:, process, "nominal"].values(flow=True) != 0.0), (key, process)


def test_each_variation_changes_some_template(module: ModuleType, result: AnalysisResult) -> None:
    for label in {label for name in module.DATASETS for label in module.labels(name)}:
        assert any(
            not np.array_equal(
                histogram[:, :, label].values(flow=True),
                histogram[:, :, "nominal"].values(flow=True),
            )
            for histogram in result.histograms.histograms.values()
        ), label


def test_loading_leaves_the_configuration_as_it_is(
    module: ModuleType, inputs: Path, tmp_path: Path
) -> None:
    before = copy.deepcopy(module.config)
    configured(module, inputs, tmp_path)
    assert repr(before) == repr(module.config)


def test_the_whole_chain_runs_with_a_classifier(folder: Path, tmp_path: Path) -> None:
    settings = {
        "base_dir": folder,
        "output_dir": tmp_path,
        "executor": "iterative",
        "run_mva_training": True,
        "run_statistics": False,
    }
    words = [f"general.{key}={value}" for key, value in settings.items()]
    assert main(["run", "--config", "tests.configurations.ghosts:config", *words]) == 0
    summary = json.loads((tmp_path / "run_summary.json").read_text())
    assert summary["status"] == "complete"
    assert summary["yields"]["apart"]["signal"]["value"] > 0
    assert list((tmp_path / "plots" / "apart").glob("hard_ht.*"))
