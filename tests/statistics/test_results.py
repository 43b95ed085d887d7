from __future__ import annotations

import json
from pathlib import Path

import pyhf
import pytest

from intccms.histograms import Book
from intccms.schema import Config, load_config
from intccms.statistics import (
    SignalResult,
    build_workspaces,
    cross_section_of,
    infer,
    mass_of,
    write,
)
from tests.statistics.conftest import SIGNAL_REGION, MakeBook, MakeConfig


@pytest.fixture(scope="module")
def files() -> tuple[str, ...]:
    return ("fit.json", "limits.json", "significance.json", "workspace.json")


@pytest.fixture
def result(config: Config, book: Book) -> SignalResult:
    (workspace,) = build_workspaces(config, book)
    return infer(workspace, mass_gev=mass_of(config, "signal"), n_ranked=2)


def test_the_files_hold_what_was_found(
    result: SignalResult, tmp_path: Path, files: tuple[str, ...]
) -> None:
    cards = ("datacards/signal.txt", "datacards/signal_shapes.root")
    folder = tmp_path / "new"
    names = [path.relative_to(folder).as_posix() for path in write([result], folder)]
    assert set(names) >= {*files, *cards, "templates.json", "templates.txt"}
    assert all((folder / name).is_file() for name in names)
    fit, limits, discovery, workspace = (json.loads((folder / name).read_text()) for name in files)
    pyhf.schema.validate(workspace, "workspace.json")
    found = fit["signal"]
    assert found["mass_gev"] == 2000.0
    assert found["signal_strength"] == result.fit.mu
    assert found["parameters"]["jes"]["pull"] == result.fit.pulls["jes"][0]
    assert len(found["ranking"]["labels"]) == 2
    assert found["postfit"]["sr"]["data"] == [103.0, 50.0, 17.0]
    assert limits["signal"]["expected_band"]["0"] == limits["signal"]["expected"]
    assert limits["signal"]["observed"] == result.limits.observed
    assert discovery["signal"]["observed_p_value"] == result.significance.observed_p_value


def test_limits_in_pb_are_those_on_the_strength_times_the_cross_section(
    config: Config, book: Book
) -> None:
    (workspace,) = build_workspaces(config, book)
    limit = infer(workspace, cross_section_pb=0.25, n_ranked=1).summary()["limits"]
    assert limit["observed_pb"] == 0.25 * limit["observed"]
    assert limit["expected_pb"] == 0.25 * limit["expected"]


def test_the_cross_section_of_a_signal_is_that_of_one_year() -> None:
    example = load_config("example_opendata.configs.configuration:config")
    several = {
        "directories": ["a", "b", "c"],
        "cross_sections": [0.5, 0.25, 0.75],
        "years": ["2017", "2017", "2018"],
    }
    overrides = {f"datasets.datasets.signal.{key}": value for key, value in several.items()}
    config = load_config(example, overrides)
    assert cross_section_of(config, "signal") == 0.75
    assert cross_section_of(config, "no such signal") == 1.0


def test_the_summary_is_short_and_can_be_written(result: SignalResult) -> None:
    summary = json.loads(json.dumps(result.summary()))
    assert summary["fit"]["signal_strength_error"] == result.fit.mu_error
    assert summary["limits"]["expected"] == result.limits.expected[2]
    assert "scan" not in summary["limits"]


def test_blinded_data_are_null(make_config: MakeConfig, book: Book, tmp_path: Path) -> None:
    (workspace,) = build_workspaces(make_config(blind={"sr": (1.0, 2.0)}), book)
    write([infer(workspace, n_ranked=1)], tmp_path)
    fit = json.loads((tmp_path / "fit.json").read_text())
    assert fit["signal"]["prefit"]["sr"]["data"] == [103.0, None, 17.0]
    assert fit["signal"]["mass_gev"] is None


def test_each_signal_has_its_own_workspace(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    contents = {"zprime2000": SIGNAL_REGION["signal"], **SIGNAL_REGION}
    book = make_book(contents)
    workspaces = build_workspaces(make_config(tuple(contents)), book)
    assert [one.signal for one in workspaces] == ["zprime2000", "signal"]
    write([infer(one, n_ranked=1) for one in workspaces], tmp_path)
    assert (tmp_path / "workspace_zprime2000.json").exists()
    assert (tmp_path / "workspace_signal.json").exists()
    fit = json.loads((tmp_path / "fit.json").read_text())
    assert fit["signal"]["signal_strength"] == pytest.approx(
        fit["zprime2000"]["signal_strength"], abs=0.01
    )
