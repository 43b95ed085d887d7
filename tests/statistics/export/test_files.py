"""The report of what was done to templates, as JSON and as a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import SignalResult, build_workspaces, changes_of, infer, write
from tests.statistics.conftest import SIGNAL_REGION, MakeBook, MakeConfig


def result(config: Config, book: Book) -> SignalResult:
    (workspace,) = build_workspaces(config, book)
    return infer(workspace, n_ranked=1, mass_gev=1000.0, cross_section_pb=0.5)


def test_every_change_is_in_the_report(config: Config, make_book: MakeBook, tmp_path: Path) -> None:
    wjets = {
        "nominal": [20.0, -0.5, 5.0],
        "top_up": [24.0, -0.4, 5.5],
        "pileup_up": [20.0, -0.5, 5.001],
        "pileup_down": [20.0, -0.5, 4.999],
    }
    write([result(config, make_book({**SIGNAL_REGION, "wjets": wjets}))], tmp_path)
    report = json.loads((tmp_path / "templates.json").read_text())
    done = {(one["action"], one["sample"], one["systematic"]): one for one in report}
    assert set(done) == {
        ("clipped", "wjets", ""),
        ("symmetrised", "wjets", "top"),
        ("pruned", "wjets", "pileup"),
    }
    assert done["clipped", "wjets", ""]["amount"] == 0.5
    assert done["clipped", "wjets", ""]["unit"] == "events"
    assert done["symmetrised", "wjets", "top"]["signals"] == ["signal"]
    assert [one["action"] for one in report].count("pruned") == 2  # norm and shape
    lines = (tmp_path / "templates.txt").read_text().splitlines()
    assert lines[0].split() == [
        "action", "region", "sample", "systematic", "direction", "reason", "amount", "signals",
    ]  # fmt: skip
    assert len(lines) == 1 + len(report)
    assert "1 negative bins set to 0" in lines[1]
    assert "0.5 events" in lines[1]
    assert lines[1].endswith("all")


def test_changes_of_one_signal_only_name_it(make_config: MakeConfig, make_book: MakeBook) -> None:
    contents = {"zprime2000": {"nominal": [1.0, -0.25, 3.0]}, **SIGNAL_REGION}
    book = make_book(contents)
    found = changes_of(build_workspaces(make_config(tuple(contents)), book))
    (clipped,) = (one for one in found if one.action == "clipped")
    assert (clipped.sample, found[clipped]) == ("zprime2000", ["zprime2000"])


def test_limits_have_the_band_in_pb(config: Config, book: Book, tmp_path: Path) -> None:
    one = result(config, book)
    write([one], tmp_path)
    limit = json.loads((tmp_path / "limits.json").read_text())["signal"]
    assert limit["mass_gev"] == 1000.0
    assert list(limit["expected_band_pb"].values()) == pytest.approx(
        [0.5 * value for value in one.limits.expected]
    )
    assert json.loads((tmp_path / "significance.json").read_text())["signal"]["mass_gev"] == 1000.0


def test_the_goodness_of_fit_is_in_the_file(config: Config, book: Book, tmp_path: Path) -> None:
    one = result(config, book)
    write([one], tmp_path)
    found = json.loads((tmp_path / "fit.json").read_text())["signal"]
    assert found["goodness_of_fit"] == {
        "chi2": one.fit.chi2,
        "n_dof": one.fit.n_dof,
        "p_value": one.fit.results.goodness_of_fit,
    }
    assert found["is_blinded"] is False
