"""Smoothing and mirroring of templates, as cabinetry does them, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import cabinetry
import numpy as np
import pytest
import yaml

from intccms import histograms
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import Workspace, build_config, build_workspace
from tests.statistics.conftest import CONTROL_REGION, SIGNAL_REGION, MakeBook, MakeConfig

SMOOTHING = {"Algorithm": "353QH, twice", "Samples": ["ttbar"], "Regions": ["sr"]}


@pytest.fixture
def edited(make_config: MakeConfig, book: Book, tmp_path: Path) -> Config:
    """Configuration whose cabinetry file asks for smoothing and prunes nothing."""
    config = make_config(cabinetry_config="mine.yml")
    content = build_config(config, book, "signal")
    content["Systematics"][0]["Smoothing"] = SMOOTHING
    text = yaml.safe_dump({**content, "Pruning": {"Normalization": 0, "Shape": 0.0}})
    (tmp_path / "mine.yml").write_text(text)
    return config


@pytest.fixture
def noisy(make_book: MakeBook) -> Book:
    """One template of ttbar with a spike in the second bin."""
    ttbar = {
        "nominal": [80.0, 40.0, 10.0],
        "jes_up": [84.0, 52.0, 10.5],
        "jes_down": [76.0, 38.0, 9.5],
        "pileup_up": [84.0, 38.0, 10.0],
        "pileup_down": [76.0, 42.0, 10.0],
    }
    return make_book({**SIGNAL_REGION, "ttbar": ttbar}, CONTROL_REGION)


def actions(workspace: Workspace, action: str) -> list[tuple[str, str, str, str]]:
    return [
        (one.region, one.sample, one.systematic, one.direction)
        for one in workspace.changes
        if one.action == action
    ]


def test_smoothed_templates_are_those_of_cabinetry(
    edited: Config, noisy: Book, tmp_path: Path
) -> None:
    histograms.save(noisy, tmp_path / "out" / "histograms")
    own = build_config(edited, noisy, "signal")
    Path(own["General"]["HistogramFolder"]).mkdir(parents=True)
    cabinetry.templates.collect(own)
    cabinetry.templates.postprocess(own)
    workspace = build_workspace(edited, noisy, "signal")
    theirs = cabinetry.workspace.build(own)
    for channel, other in zip(workspace.spec["channels"], theirs["channels"], strict=True):
        for sample, one in zip(channel["samples"], other["samples"], strict=True):
            for mine, modifier in zip(sample["modifiers"], one["modifiers"], strict=True):
                if modifier["type"] == "histosys":
                    for side in ("hi_data", "lo_data"):
                        assert mine["data"][side] == pytest.approx(modifier["data"][side])
                else:
                    assert mine["data"] == pytest.approx(modifier["data"])
    # The ratio of the other direction is flat: there is nothing to smooth.
    assert actions(workspace, "smoothed") == [("sr", "ttbar", "jes", "Up")]


def test_a_smoothed_template_says_by_how_much_and_keeps_its_norm(
    edited: Config, noisy: Book
) -> None:
    workspace = build_workspace(edited, noisy, "signal")
    (change,) = (
        one for one in workspace.changes if one.action == "smoothed" and one.direction == "Up"
    )
    sample = workspace.spec["channels"][0]["samples"][1]
    data = {one["type"]: one["data"] for one in sample["modifiers"] if one["name"] == "jes"}
    assert data["normsys"]["hi"] == pytest.approx(146.5 / 130)
    after = np.asarray(data["histosys"]["hi_data"]) * data["normsys"]["hi"]
    largest = max(abs(after - [84.0, 52.0, 10.5]) / [80.0, 40.0, 10.0])
    assert change.amount == pytest.approx(largest)
    assert change.amount > 0.1
    assert change.reason == "353QH, twice"


def test_bins_without_events_do_not_disturb_the_smoothing(
    edited: Config, make_book: MakeBook
) -> None:
    ttbar = {
        "nominal": [80.0, 0.0, 10.0],
        "jes_up": [84.0, 0.0, 10.5],
        "jes_down": [76.0, 0.0, 9.5],
        "pileup_up": [84.0, 0.0, 10.0],
    }
    book = make_book({**SIGNAL_REGION, "ttbar": ttbar}, CONTROL_REGION)
    workspace = build_workspace(edited, book, "signal")
    assert actions(workspace, "smoothed") == []  # two bins are too few
    for channel in workspace.spec["channels"]:
        for sample in channel["samples"]:
            assert np.isfinite(sample["data"]).all()


def test_a_mirrored_source_is_reported_with_its_size(config: Config, make_book: MakeBook) -> None:
    wjets = {"nominal": [20.0, 8.0, 4.0], "top_up": [25.0, 9.0, 6.0]}
    workspace = build_workspace(config, make_book({**SIGNAL_REGION, "wjets": wjets}), "signal")
    (change,) = (one for one in workspace.changes if one.action == "symmetrised")
    assert (change.sample, change.systematic, change.direction) == ("wjets", "top", "Up")
    assert change.amount == pytest.approx(0.5)
    assert change.unit == "relative"


def test_a_mirrored_bin_below_0_is_0_and_reported(config: Config, make_book: MakeBook) -> None:
    wjets = {"nominal": [20.0, 8.0, 4.0], "top_up": [10.0, 5.0, 17.0]}
    workspace = build_workspace(config, make_book({**SIGNAL_REGION, "wjets": wjets}), "signal")
    assert actions(workspace, "clipped") == [("sr", "wjets", "top", "Down")]
    sample = workspace.spec["channels"][0]["samples"][2]
    (shape,) = (
        one["data"]
        for one in sample["modifiers"]
        if (one["name"], one["type"]) == ("top", "histosys")
    )
    assert shape["lo_data"][2] == 0.0
    assert min(shape["lo_data"]) >= 0


def test_an_empty_template_in_a_channel_is_left_out_and_reported(
    config: Config, book: Book
) -> None:
    workspace = build_workspace(config, book, "signal")
    assert actions(workspace, "left out") == [("cr", "signal", "", "")]
    samples = {
        one["name"]: [sample["name"] for sample in one["samples"]]
        for one in workspace.spec["channels"]
    }
    assert samples == {"cr": ["ttbar", "wjets"], "sr": ["signal", "ttbar", "wjets"]}


def test_in_another_observable_the_data_of_a_blinded_range_are_anywhere(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    config = make_config(blind={"sr": (1.5, 2.0)}, cabinetry_config="mine.yml")
    book = make_book(SIGNAL_REGION)
    both = dict.fromkeys((("sr", "mass"), ("sr", "ht")), book.histograms["sr", "mass"])
    other = Book(both, book.varied, book.data_processes)
    content = build_config(config, other, "signal")
    content["Regions"][0]["RegionPath"] = "sr/ht"
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(content))
    workspace = build_workspace(config, other, "signal")
    assert workspace.region("sr").blinded.all()
    assert workspace.spec["observations"][0]["data"] == [100.0, 48.0, 15.0]
