"""``intccms diff`` of real runs, and of runs that were changed on disk."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from example_opendata.configs.configuration import config as example
from intccms.cli import main
from intccms.histograms import Book, storage
from intccms.pipeline.differences import FinishedRun, RunDiff, compare
from intccms.pipeline.made_with import code_of
from intccms.schema import load_config
from intccms.schema.resolved import leaves
from tests.pipeline.runs import FEW, NOMINAL_ONLY, configured, processed

LUMI = 16393.4


def run(sample: Path, out: Path, *overrides: str) -> Path:
    with processed(configured(sample, out, *NOMINAL_ONLY, *FEW, *overrides)) as stages:
        stages.finish()
    return out


@pytest.fixture(scope="module")
def first(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny_sample, tmp_path_factory.mktemp("diff") / "first")


@pytest.fixture(scope="module")
def second(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with half of the luminosity and another cross section."""
    changes = (f"general.lumi={LUMI / 2}", "datasets.datasets.signal.cross_sections=[4.0]")
    return run(tiny_sample, tmp_path_factory.mktemp("diff") / "second", *changes)


@pytest.fixture
def changed(first: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the first run and change one of its files."""

    def copied(name: str, change: Callable[[Any], None]) -> Path:
        out = tmp_path / "changed"
        shutil.copytree(first, out, dirs_exist_ok=True)
        content = json.loads((out / name).read_text())
        change(content)
        (out / name).write_text(json.dumps(content))
        return out

    return copied


def difference(one: Path, other: Path, **options: Any) -> RunDiff:
    return compare(FinishedRun.load(one), FinishedRun.load(other), **options)


def test_a_run_is_the_same_as_itself(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(first), str(first)]) == 0
    assert capsys.readouterr().out == "The runs are the same.\n"


def test_where_and_how_it_was_run_does_not_count(
    first: Path, tiny_sample: Path, tmp_path: Path
) -> None:
    again = run(tiny_sample, tmp_path / "again", "general.chunk_size=700")
    found = difference(first, again)
    assert found.is_same
    places = {one.what for one in found.sections["how it was run"]}
    assert places == {"general.chunk_size", "general.output_dir"}


def test_settings_yields_and_templates_are_named_with_their_change(
    first: Path, second: Path
) -> None:
    found = difference(first, second)
    assert not found.is_same
    places = {one.what: (one.before, one.after) for one in found.sections["settings"]}
    assert places == {
        "general.lumi": (LUMI, LUMI / 2),
        "datasets.datasets.signal.cross_sections.0": (1.0, 4.0),
    }
    yields = {one.what: one.after[0] / one.before[0] for one in found.sections["yields"]}
    assert yields == {
        "CMS_WORKSHOP: signal": pytest.approx(2.0),
        "CMS_WORKSHOP: ttbar_semilep": pytest.approx(0.5),
    }
    assert {(one.process, one.variation) for one in found.templates} == {
        ("signal", "nominal"), ("ttbar_semilep", "nominal"),
    }  # fmt: skip
    assert not found.sections["versions"]
    assert not found.sections["events"]
    assert "+100.000%" in str(found)


def test_the_command_ends_with_1_and_writes_json_and_figures(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(first), str(second), "--out", str(tmp_path)]) == 1
    written = json.loads((tmp_path / "diff.json").read_text())
    assert written["is_same"] is False
    assert written["runs"] == [str(first), str(second)]
    assert {one["channel"] for one in written["templates"]} == {"CMS_WORKSHOP"}
    for observable in ("workshop_mtt", "mtt_chi2", "chi2"):
        assert (tmp_path / "CMS_WORKSHOP" / f"{observable}.png").is_file()
        assert (tmp_path / "CMS_WORKSHOP" / f"{observable}.pdf").is_file()
    said = capsys.readouterr().out
    assert "The runs differ." in said
    assert str(tmp_path / "diff.json") in said


@pytest.mark.parametrize("name", ["run_summary.json", "config.json"])
def test_a_folder_that_is_no_run_is_wrong_input(
    first: Path, changed: Callable[..., Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = changed(name, lambda content: None)
    (out / name).unlink()
    assert main(["diff", str(first), str(out)]) == 2
    said = capsys.readouterr().err
    assert name in said
    assert len(said.splitlines()) == 1


def test_losses_are_told(first: Path, changed: Callable[..., Path]) -> None:
    def lose(summary: Any) -> None:
        book = summary["datasets"]["signal"]
        book["processed"]["events"], book["lost"]["events"] = 1500, 500

    found = difference(first, changed("run_summary.json", lose))
    assert [(one.what, one.before, one.after) for one in found.sections["events"]] == [
        ("signal: processed events", 2000, 1500),
        ("signal: lost events", 0, 500),
    ]
    assert "signal: lost events" in str(found)


def test_versions_and_fits_are_compared(first: Path, changed: Callable[..., Path]) -> None:
    def other(summary: Any) -> None:
        summary["versions"]["numpy"] = "1.0"
        summary["limits"] = {"signal": {"observed": 0.5}}

    found = difference(first, changed("run_summary.json", other))
    assert [one.what for one in found.sections["versions"]] == ["numpy"]
    [limit] = found.sections["fit and limits"]
    assert (limit.what, limit.before, limit.after) == (
        "limits: signal: observed", "(absent)", 0.5,
    )  # fmt: skip


def test_small_differences_are_let_pass_on_request(
    first: Path, changed: Callable[..., Path]
) -> None:
    def nudge(summary: Any) -> None:
        one = summary["yields"]["CMS_WORKSHOP"]["signal"]
        one["value"] *= 1 + 1e-9

    out = changed("run_summary.json", nudge)
    assert not difference(first, out).is_same
    assert difference(first, out, rtol=1e-6).is_same


@pytest.mark.parametrize("limits", [None, [200.0, 3000.0]], ids=["all", "range"])
def test_blinded_data_stay_blind(
    first: Path, changed: Callable[..., Path], limits: Any, tmp_path: Path
) -> None:
    def blind(config: Any) -> None:
        config["statistics"]["blind"] = {"CMS_WORKSHOP": limits}

    out = changed("config.json", blind)
    book = storage.load(out / "histograms")
    histograms = {key: one.copy() for key, one in book.histograms.items()}
    for one in histograms.values():
        one.view(flow=True)["value"][:, list(one.axes["process"]).index("data")] *= 7.0
    storage.save(Book(histograms, book.varied, book.data_processes), out / "histograms")
    assert difference(first, out).templates == []  # seen from either side
    assert difference(out, first).templates == []
    assert main(["diff", str(first), str(out), "--out", str(tmp_path / "diff")]) == 1
    assert '"data"' not in (tmp_path / "diff" / "diff.json").read_text()
    assert np.isfinite(book.yields("CMS_WORKSHOP")["data"].value)


def test_code_is_known_by_structure_and_files_by_content(tiny_sample: Path) -> None:
    override = [f"general.base_dir={json.dumps(str(tiny_sample))}"]
    table = copy.copy(example)
    channel = copy.copy(example["channels"][0])
    channel["selection"] = {"function": lambda pt: pt > 1, "use": [("PuppiMET", "pt")]}
    table["channels"] = [channel]
    before, after = (code_of(load_config(one, override)) for one in (example, table))
    assert before == code_of(load_config(example, override))
    different = {place for place in before if before[place] != after.get(place)}
    assert different == {"channels.CMS_WORKSHOP.selection.function"}
    assert any(place.endswith(".file") for place in before)
    assert any(place.endswith("static_kwargs.lumifile") for place in before)


def test_entries_go_by_their_names() -> None:
    config = load_config(example)
    places = dict(leaves(config))
    assert places["datasets.datasets.signal.cross_sections.0"] == 1.0
    assert places["channels.CMS_WORKSHOP.fit_observable"] == "workshop_mtt"
