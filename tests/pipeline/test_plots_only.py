"""Figures from saved histograms: no event file is opened, many are drawn in several processes."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import matplotlib.pyplot as plt
import pytest

from example_opendata.configs.configuration import config as example
from intccms.engine.derived import against, without
from intccms.errors import FigureError
from intccms.histograms.sums import CutStep
from intccms.metrics.tables import describe
from intccms.pipeline import RunResult, Stages
from intccms.pipeline.figures import MANY, drawn, planned
from intccms.plots import cutflow, save
from intccms.schema import Config, load_config
from tests.pipeline.runs import NOMINAL_ONLY, configured, processed

YEARS = ("2016", "2017")
MET = {
    "name": "met",
    "label": "MET [GeV]",
    "binning": "0,500,10",
    "function": lambda met: met,
    "use": [("PuppiMET", "pt")],
}


class Opened:
    """Remembers which files are opened while it listens; a hook stays for ever."""

    def __init__(self) -> None:
        self.listens = False
        self.names: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.listens and event == "open" and isinstance(arguments[0], str | os.PathLike):
            self.names.append(os.fspath(arguments[0]))

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        self.names, self.listens = [], True
        try:
            yield self.names
        finally:
            self.listens = False


@pytest.fixture(scope="module")
def opened() -> Opened:
    return Opened()


def drawn_again(done: RunResult, sample: Path, folder: Path, *overrides: str) -> tuple[Path, ...]:
    out = folder / "out"
    shutil.copytree(done.output.directory, out)
    shutil.rmtree(out / "plots")
    with Stages(configured(sample, out, "general.run_systematics=False", *overrides)) as stages:
        stages.count_files()
        stages.process()
        figures = stages.draw("cutflow", "observables")
        stages.finish()
    return figures


@pytest.mark.parametrize(
    "overrides",
    [
        ("general.run_plots_only=True",),
        ("general.run_processor=False", "general.run_statistics=False"),
    ],
    ids=["run_plots_only", "run_processor"],
)
def test_no_event_file_and_no_listing_is_opened(
    done: RunResult,
    tiny_sample: Path,
    tmp_path: Path,
    opened: Opened,
    overrides: tuple[str, ...],
) -> None:
    with opened.listening() as names:
        figures = drawn_again(done, tiny_sample, tmp_path, *overrides)
    assert [name for name in names if name.startswith(str(tiny_sample))] == []
    assert any(name.endswith("histograms.json") for name in names)  # the hook does hear
    assert len(figures) >= 4
    assert all(path.exists() for path in figures)


def test_many_figures_are_drawn_by_processes_just_as_by_this_one(tmp_path: Path) -> None:
    overrides = ("general.executor=futures", "general.n_workers=2")
    general = configured(tmp_path, tmp_path, *overrides).general
    flow = {"sr": {"top": [CutStep("all", 10, 1.5), CutStep("one muon", 5, 0.5)]}}
    todo = [(tmp_path / f"figure_{i}", partial(cutflow.plot, flow, "sr")) for i in range(MANY)]
    files = [path for one in drawn(todo, general) for path in one.files]
    assert {path.name for path in files} == {
        f"figure_{i}.{suffix}" for i in range(MANY) for suffix in ("png", "pdf")
    }
    here = save(todo[0][1]()[0], tmp_path / "here")
    for one, suffix in zip(here, (".png", ".pdf"), strict=True):
        assert (tmp_path / f"figure_{MANY - 1}{suffix}").read_bytes() == one.read_bytes()


def with_years(sample: Path, out: Path, *overrides: str) -> Config:
    """The example with its files as those of two years, an N-1 channel and a plane."""
    table = copy.copy(example)
    datasets = copy.deepcopy(example["datasets"])
    for entry in datasets["datasets"]:
        entry.update(directories=(entry["directories"],) * 2, years=YEARS)
    table["datasets"] = datasets
    channel = example["channels"][0]
    channel = {**channel, "observables": [*channel["observables"], MET, against(MET, MET)]}
    table["channels"] = [channel, without({**channel, "observables": [MET]}, "met_cut")]
    table["general"] = {**example["general"], "lumi": {"2016": 1000.0, "2017": 3000.0}}
    places = {"base_dir": str(sample), "output_dir": str(out), "executor": "iterative",
              "processes": ["signal", "data"]}  # fmt: skip
    settings = [f"general.{key}={json.dumps(value)}" for key, value in places.items()]
    return load_config(table, [*settings, *NOMINAL_ONLY, *overrides])


@pytest.fixture(scope="module")
def two_years(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    return processed(with_years(tiny_sample, tmp_path_factory.mktemp("years") / "out"))


def test_each_year_has_its_histograms_with_its_luminosity(two_years: Stages) -> None:
    found = two_years.result
    assert found.book is not None
    books = found.years.items()
    yields = {year: book.yields("CMS_WORKSHOP")["signal"].value for year, book in books}
    assert yields["2017"] == pytest.approx(3 * yields["2016"])
    total = found.book.yields("CMS_WORKSHOP")["signal"].value
    assert total == pytest.approx(sum(yields.values()))


def test_years_are_drawn_again_from_what_was_saved(two_years: Stages) -> None:
    config = with_years(Path("/nowhere"), two_years.output.directory, "general.run_plots_only=True")
    with Stages(config) as again:
        again.process()
        assert again.result.years == two_years.result.years
        stems = [stem for stem, _ in planned(again.result, ["observables"])]
    names = {str(stem.relative_to(again.output.plots_dir)) for stem in stems}
    assert {f"{year}/CMS_WORKSHOP/workshop_mtt" for year in YEARS} <= names
    assert {"CMS_WORKSHOP/workshop_mtt", "CMS_WORKSHOP/workshop_mtt_log"} <= names
    assert "CMS_WORKSHOP/met_against_met_map" in names
    assert "CMS_WORKSHOP_without_met_cut/met" in names


def unreadable() -> tuple[Any, Any]:
    figure, axes = plt.subplots()
    axes.set_title(r"$\textrm{jets}$")
    return figure, axes


@pytest.mark.parametrize("n", [2, MANY])
def test_a_figure_that_cannot_be_drawn_stops_no_other(tmp_path: Path, n: int) -> None:
    overrides = ("general.executor=futures", "general.n_workers=2")
    general = configured(tmp_path, tmp_path, *overrides).general
    flow = {"sr": {"top": [CutStep("all", 10, 1.5), CutStep("one muon", 5, 0.5)]}}
    good = [(tmp_path / f"figure_{i}", partial(cutflow.plot, flow, "sr")) for i in range(n - 1)]
    bad = (tmp_path / "bad", unreadable)
    open_before = plt.get_fignums()
    answers = {one.stem.name: one for one in drawn([good[0], bad, *good[1:]], general)}
    assert plt.get_fignums() == open_before
    assert len(answers) == n
    why = answers.pop("bad").error
    assert why.startswith("ValueError: ")
    assert "textrm" in why
    assert all(path.is_file() for one in answers.values() for path in one.files)
    assert not any(one.error for one in answers.values())


def test_the_run_names_the_figures_that_could_not_be_drawn(
    done: RunResult,
    tiny_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    schema: dict[str, Any],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.output.directory, out)
    monkeypatch.setattr(cutflow, "plot", lambda *_, **__: unreadable())
    with Stages(configured(tiny_sample, out, "general.run_plots_only=True")) as stages:
        stages.process()
        assert stages.draw("cutflow", "observables")
        with pytest.raises(FigureError, match=r"1 figure could not be drawn.*cutflow: ValueError"):
            stages.finish()
    summary = json.loads((out / "run_summary.json").read_text())
    jsonschema.validate(summary, schema)
    assert summary["status"] == "failed"
    (undrawn,) = summary["undrawn_figures"]
    assert undrawn["figure"].endswith("CMS_WORKSHOP/cutflow")
    before = json.loads((done.output.directory / "run_summary.json").read_text())
    assert (summary["fit"], summary["yields"]) == (before["fit"], before["yields"])
    assert f"not drawn: {undrawn['figure']}: ValueError" in describe(summary, out)
