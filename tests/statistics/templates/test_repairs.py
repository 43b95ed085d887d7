"""Smoothing and mirroring of templates, as cabinetry does them, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cabinetry
import numpy as np
import pytest
import yaml

from intccms import histograms
from intccms.errors import FitError
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import Workspace, build_config, build_workspace, significance
from intccms.statistics.export.datacards import datacard
from tests.statistics.conftest import CONTROL_REGION, SIGNAL_REGION, MakeBook, MakeConfig

STATISTICAL = "staterror"
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


def raised(workspace: Workspace) -> tuple[float, float]:
    """Background and its error in the last bin of the first channel."""
    samples = workspace.spec["channels"][0]["samples"][1:]
    errors = [
        m["data"][-1] for one in samples for m in one["modifiers"] if m["type"] == STATISTICAL
    ]
    return sum(one["data"][-1] for one in samples), float(np.hypot.reduce(errors))


def with_errors(book: Book, process: str, errors: list[float]) -> Book:
    histogram = book.histogram("sr", "mass")
    row = list(histogram.axes["process"]).index(process)
    histogram.view()["variance"][:, row, :] = np.square(errors)[:, None]
    return book


def test_a_bin_without_background_gets_what_simulation_does_not_exclude(
    config: Config, make_book: MakeBook
) -> None:
    contents = {
        **SIGNAL_REGION,
        "ttbar": {"nominal": [80.0, 40.0, 0.0], "jes_up": [88.0, 42.0, 1.0]},
        "wjets": {"nominal": [20.0, 8.0, 0.0]},
    }
    workspace = build_workspace(config, make_book(contents), "signal")
    assert raised(workspace) == pytest.approx((0.1, 0.2))  # each simulated event weighs 0.1
    (change,) = (one for one in workspace.changes if one.action == "filled")
    assert str(change) == "sr, ttbar: bin 2 without background, set to 0.1 ± 0.2 events"
    book = with_errors(make_book(contents), "wjets", [2.0, 4.0, 0.0])
    workspace = build_workspace(config, book, "signal")
    assert raised(workspace) == pytest.approx((2.0, 4.0))  # W+jets weigh 16 / 8 in the next bin
    assert [one.sample for one in workspace.changes if one.action == "filled"] == ["wjets"]


def test_a_negative_bin_keeps_its_error(config: Config, make_book: MakeBook) -> None:
    contents = {
        "signal": {"nominal": [0.0, 5.0, 2.0]},
        "ttbar": {"nominal": [50.0, 20.0, -0.3]},
        "data": {"nominal": [52.0, 24.0, 4.0]},
    }
    book = with_errors(make_book(contents), "ttbar", [5**0.5, 2**0.5, 1.2])
    workspace = build_workspace(make_config_of(config, contents), book, "signal")
    assert raised(workspace) == pytest.approx((0.1, 1.2))
    # The likelihood by hand, with the bin at -0.3 ± 1.2 and at least 0, gives 2.2.
    assert 1.9 < significance(workspace).observed_sigmas < 2.25


def test_weights_of_either_sign_that_add_up_to_little_are_no_prediction(
    config: Config, make_book: MakeBook
) -> None:
    contents = {**SIGNAL_REGION, "ttbar": {"nominal": [80.0, 40.0, 0.01]}}
    contents["wjets"] = {"nominal": [20.0, 8.0, 0.0]}
    book = with_errors(make_book(contents), "ttbar", [3.0, 2.0, 0.7])
    assert raised(build_workspace(config, book, "signal")) == pytest.approx((0.1, 0.7))
    book = with_errors(make_book(contents), "ttbar", [3.0, 2.0, 0.01])  # one event, as it is
    assert raised(build_workspace(config, book, "signal")) == pytest.approx((0.01, 0.022))


def test_what_a_source_moves_into_an_empty_bin_stays(config: Config, make_book: MakeBook) -> None:
    ttbar = {"nominal": [80.0, 40.0, 0.0], "jes_up": [80.0, 40.0, 3.0], "jes_down": [76.0, 38.0, 0]}
    contents = {**SIGNAL_REGION, "ttbar": ttbar, "wjets": {"nominal": [20.0, 8.0, 0.0]}}
    workspace = build_workspace(config, make_book(contents), "signal")
    up, down = varied(workspace, "ttbar", "jes")
    assert up == pytest.approx([80.0, 40.0, 3.0])
    assert down == pytest.approx([76.0, 38.0, 0.095])
    # Also where another process has events in that bin, and nothing is to be raised.
    contents["wjets"] = SIGNAL_REGION["wjets"]
    up, _ = varied(build_workspace(config, make_book(contents), "signal"), "ttbar", "jes")
    assert up == pytest.approx([80.0, 40.0, 3.0])


@pytest.mark.parametrize("last", [0.0, -0.4])
def test_a_rate_stays_a_rate(config: Config, make_book: MakeBook, last: float) -> None:
    ttbar = {
        "nominal": [80.0, 40.0, last],
        "top_up": [88.0, 44.0, 1.1 * last],
        "top_down": [72.0, 36.0, 0.9 * last],
    }
    contents = {**SIGNAL_REGION, "ttbar": ttbar, "wjets": {"nominal": [20.0, 8.0, 0.0]}}
    workspace = build_workspace(config, make_book(contents), "signal")
    found = {
        one["type"]: one["data"]
        for one in workspace.spec["channels"][0]["samples"][1]["modifiers"]
        if one["name"] == "top"
    }
    assert set(found) == {"normsys"}
    assert found["normsys"] == {"hi": pytest.approx(1.1), "lo": pytest.approx(0.9)}


@pytest.mark.parametrize(
    ("up", "down", "norms"),
    [
        ([60.0, 24.0, 15.0], [0.0, 0.0, 0.0], (3.0, 1 / 3)),
        ([0.0, 0.0, 0.0], [22.0, 8.8, 5.5], (0.5, 1.1)),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], (2.0, 0.5)),
        ([0.02, 0.008, 0.005], [2000.0, 800.0, 500.0], (0.1, 10.0)),
    ],
)
def test_no_source_takes_away_all_events_or_multiplies_them_without_end(
    config: Config, make_book: MakeBook, up: list[float], down: list[float], norms: Any
) -> None:
    wjets = {"nominal": [20.0, 8.0, 5.0], "top_up": up, "top_down": down}
    workspace = build_workspace(config, make_book({**SIGNAL_REGION, "wjets": wjets}), "signal")
    sides = varied(workspace, "wjets", "top")
    assert tuple(sum(side) / 33.0 for side in sides) == pytest.approx(norms)
    assert len(workspace.notes) == sum(not 3 < sum(side) < 100 for side in (up, down))
    card = datacard(workspace)
    (line,) = (one for one in card.text.splitlines() if one.startswith("top"))
    assert line.split()[-1] == f"{norms[1]:.6g}/{norms[0]:.6g}"
    assert all(values.sum() > 1 for values, _ in card.shapes.values())


def test_a_large_effect_on_one_side_is_mirrored_in_the_logarithm(
    config: Config, make_book: MakeBook
) -> None:
    wjets = {"nominal": [20.0, 8.0, 5.0], "top_up": [60.0, 24.0, 15.0]}
    workspace = build_workspace(config, make_book({**SIGNAL_REGION, "wjets": wjets}), "signal")
    up, down = varied(workspace, "wjets", "top")
    assert up == pytest.approx([60.0, 24.0, 15.0])
    assert down == pytest.approx([20 / 3, 8 / 3, 5 / 3])


def test_a_process_below_0_is_left_out_and_its_error_kept(
    config: Config, make_book: MakeBook
) -> None:
    contents = {**SIGNAL_REGION, "wjets": {"nominal": [-0.1, 0.0, -0.2], "jes_up": [1.0, 1.0, 1.0]}}
    book = with_errors(make_book(contents), "wjets", [3.0, 4.0, 0.0])
    workspace = build_workspace(config, book, "signal")
    signal, ttbar = workspace.spec["channels"][0]["samples"]
    assert (signal["name"], ttbar["name"]) == ("signal", "ttbar")
    (errors,) = (one["data"] for one in ttbar["modifiers"] if one["type"] == STATISTICAL)
    assert errors == pytest.approx([(8 + 9) ** 0.5, (4 + 16) ** 0.5, 1.0])
    assert "sr/wjets" not in datacard(workspace).shapes


def test_a_bin_that_is_not_a_number_is_named(config: Config, make_book: MakeBook) -> None:
    contents = {**SIGNAL_REGION, "wjets": {"nominal": [20.0, np.nan, 5.0]}}
    reason = r"histogram sr/mass/wjets/nominal: bins \[1\] are not a number"
    with pytest.raises(FitError, match=reason):
        build_workspace(config, make_book(contents), "signal")


def test_bins_with_little_simulation_are_named(config: Config, book: Book) -> None:
    assert actions(build_workspace(config, book, "signal"), "thin") == []
    thin = with_errors(book, "ttbar", [8**0.5, 2.0, 6.0])
    workspace = build_workspace(config, thin, "signal")
    (change,) = (one for one in workspace.changes if one.action == "thin")
    assert change.amount == pytest.approx(15**2 / 36.5)
    assert str(change).startswith("sr: bins [2] have less than 10 effective background events")
    assert str(change) in workspace.notes
    # 6.16 effective events weigh 36.5 / 15 each; the error grows by 1.2 of that
    assert raised(workspace)[1] == pytest.approx(36.5**0.5 + 1.2 * 36.5 / 15)


def make_config_of(config: Config, contents: dict[str, Any]) -> Config:
    """The configuration of fewer processes."""
    wanted = config.general.model_copy(update={"processes": tuple(contents)})
    return config.model_copy(update={"general": wanted})


def varied(workspace: Workspace, sample: str, source: str) -> tuple[list[float], list[float]]:
    """Bins at one standard deviation up and down."""
    (found,) = (one for one in workspace.spec["channels"][0]["samples"] if one["name"] == sample)
    data = {one["type"]: one["data"] for one in found["modifiers"] if one["name"] == source}
    shapes = data.get("histosys", {"hi_data": found["data"], "lo_data": found["data"]})
    norms = data.get("normsys", {"hi": 1.0, "lo": 1.0})
    up, down = (np.asarray(shapes[f"{side}_data"]) * norms[side] for side in ("hi", "lo"))
    return up.tolist(), down.tolist()
