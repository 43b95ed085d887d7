from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cabinetry
import pyhf
import pytest

from intccms import histograms
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import POI, Workspace, build_config, build_workspace, limits
from tests.statistics.conftest import SIGNAL_REGION, MakeBook


def modifiers(workspace: Workspace, channel: int, sample: int) -> dict[tuple[str, str], Any]:
    found = workspace.spec["channels"][channel]["samples"][sample]["modifiers"]
    return {(one["name"], one["type"]): one["data"] for one in found}


def test_the_workspace_is_valid_for_pyhf(config: Config, book: Book) -> None:
    workspace = build_workspace(config, book, "signal")
    pyhf.schema.validate(workspace.spec, "workspace.json")
    model, data = workspace.model_and_data()
    assert model.config.poi_name == POI
    assert data[: model.config.nmaindata] == [355.0, 238.0, 112.0, 103.0, 50.0, 17.0]


def test_it_holds_norm_and_shape_of_each_variation(config: Config, book: Book) -> None:
    workspace = build_workspace(config, book, "signal")
    sample = workspace.spec["channels"][0]["samples"][1]
    assert (sample["name"], sample["data"]) == ("ttbar", [80.0, 40.0, 10.0])
    found = modifiers(workspace, 0, 1)
    assert found["jes", "normsys"] == {
        "hi": pytest.approx(140 / 130),
        "lo": pytest.approx(120 / 130),
    }
    assert found["jes", "histosys"]["hi_data"] == pytest.approx(
        [88 * 130 / 140, 42 * 130 / 140, 10 * 130 / 140]
    )
    assert found["staterror_sr", "staterror"] == pytest.approx([8**0.5, 2.0, 1.0])


def test_a_one_sided_source_is_mirrored_about_the_nominal(
    config: Config, make_book: MakeBook
) -> None:
    wjets = {"nominal": [20.0, 8.0, 4.0], "top_up": [25.0, 9.0, 6.0]}
    workspace = build_workspace(config, make_book({**SIGNAL_REGION, "wjets": wjets}), "signal")
    found = modifiers(workspace, 0, 2)
    assert found["top", "normsys"] == {"hi": pytest.approx(1.25), "lo": pytest.approx(0.75)}
    up, down = (found["top", "histosys"][side] for side in ("hi_data", "lo_data"))
    assert [(a + b) / 2 for a, b in zip(up, down, strict=True)] == pytest.approx([20.0, 8.0, 4.0])


def test_it_is_what_cabinetry_makes_of_the_root_file(
    config: Config, book: Book, tmp_path: Path
) -> None:
    histograms.save(book, tmp_path / "out" / "histograms")
    own = build_config(config, book, "signal")
    cabinetry.templates.collect(own)
    theirs = cabinetry.workspace.build(own)
    for channel in theirs["channels"]:  # ours gives the signal a parameter of its own
        for sample in (one for one in channel["samples"] if one["name"] == "signal"):
            for modifier in sample["modifiers"]:
                if modifier["type"] == "staterror":
                    modifier["name"] += "_signal"
    ours = build_workspace(config, book, "signal").spec
    (measurement,) = ours["measurements"]
    parameters = measurement["config"]["parameters"]
    assert parameters.pop()["name"] == "staterror_sr_signal"  # few events: a range of its own
    assert ours == theirs


@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0])
def test_the_cross_section_of_the_simulated_signal_only_scales_the_limit(
    config: Config, make_book: MakeBook, factor: float
) -> None:
    book = make_book(SIGNAL_REGION)
    scaled = make_book(SIGNAL_REGION)
    view: Any = scaled.histogram("sr", "mass").view()
    view["value"][:, 0] *= factor
    view["variance"][:, 0] *= factor**2
    one, other = (limits(build_workspace(config, each, "signal")) for each in (book, scaled))
    assert other.observed * factor == pytest.approx(one.observed, rel=2e-3)
    assert other.expected[2] * factor == pytest.approx(one.expected[2], rel=2e-3)


def test_a_workspace_travels_to_other_processes(config: Config, book: Book) -> None:
    workspace = build_workspace(config, book, "signal")
    copied = pickle.loads(pickle.dumps(workspace))
    assert copied.spec == workspace.spec
    assert copied.region("cr").label == "$m$ [GeV]"
