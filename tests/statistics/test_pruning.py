"""What has no effect is left out, and the report says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from intccms.errors import InputError
from intccms.histograms import Book
from intccms.statistics import Workspace, build_config, build_workspace, infer, limits
from intccms.statistics.workspace import Thresholds, thresholds
from tests.statistics.conftest import SIGNAL_REGION, MakeBook, MakeConfig


def wjets(norm: float, shape: float) -> dict[str, list[float]]:
    """Sample whose source changes the norm and, at the same norm, the first two bins."""
    nominal = [20.0, 20.0, 5.0]

    def varied(sign: float) -> list[float]:
        first, second = 20.0 * (1 + sign * shape), 20.0 * (1 - sign * shape)
        return [one * (1 + sign * norm) for one in (first, second, 5.0)]

    return {"nominal": nominal, "top_up": varied(1.0), "top_down": varied(-1.0)}


def kinds(workspace: Workspace) -> set[str]:
    (sample,) = (one for one in workspace.spec["channels"][0]["samples"] if one["name"] == "wjets")
    return {one["type"] for one in sample["modifiers"] if one["name"] == "top"}


@pytest.mark.parametrize(
    ("norm", "shape", "left"),
    [
        (0.01, 0.01, {"normsys", "histosys"}),
        (0.01, 0.0005, {"normsys"}),
        (0.0005, 0.01, {"histosys"}),
        (0.0005, 0.0005, set()),
    ],
)
def test_norm_and_shape_are_pruned_each_on_its_own(
    make_config: MakeConfig, make_book: MakeBook, norm: float, shape: float, left: set[str]
) -> None:
    book = make_book({**SIGNAL_REGION, "wjets": wjets(norm, shape)})
    workspace = build_workspace(make_config(), book, "signal")
    assert kinds(workspace) == left
    found = {
        one.reason.split()[0]: one.amount for one in workspace.changes if one.action == "pruned"
    }
    assert set(found) == {
        word for word, value in (("norm", norm), ("shape", shape)) if value < 1e-3
    }
    assert all(amount == pytest.approx(0.0005) for amount in found.values())
    model, _ = workspace.model_and_data()
    assert ("top" in model.config.par_order) == bool(left)


def test_thresholds_are_those_of_the_cabinetry_file(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book({**SIGNAL_REGION, "wjets": wjets(0.01, 0.0005)})
    config = make_config(cabinetry_config="mine.yml")
    content = build_config(config, book, "signal")
    written = (tmp_path / "mine.yml").read_text()
    assert "# Pruning: {Normalization: 0.001, Shape: 0.001}" in written
    for pruning, left in (
        ({"Shape": 0}, {"normsys", "histosys"}),
        ({"Normalization": 0.02}, set()),
        ({}, {"normsys"}),
    ):
        (tmp_path / "mine.yml").write_text(yaml.safe_dump({**content, "Pruning": pruning}))
        assert kinds(build_workspace(config, book, "signal")) == left


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ([1], r"Pruning: \[1\] is not a table of Normalization, Shape"),
        ({"Shap": 0.1}, "Pruning: no key 'Shap'; did you mean 'Shape'"),
        ({"Shape": -1}, "Pruning.Shape: -1 is not a number from 0 on"),
        ({"Shape": "much"}, "Pruning.Shape: 'much' is not a number"),
    ],
)
def test_wrong_thresholds_are_one_clear_line(
    make_config: MakeConfig, book: Book, tmp_path: Path, block: Any, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        thresholds(block)
    config = make_config(cabinetry_config="mine.yml")
    content = build_config(config, book, "signal")
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({**content, "Pruning": block}))
    with pytest.raises(InputError, match=f"mine.yml: {reason}"):
        build_workspace(config, book, "signal")


def test_what_is_pruned_by_default_does_not_move_the_limit(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book({**SIGNAL_REGION, "wjets": wjets(0.0009, 0.0009)})
    config = make_config(cabinetry_config="mine.yml")
    content = build_config(config, book, "signal")
    default = limits(build_workspace(config, book, "signal"))
    everything = {**content, "Pruning": {"Normalization": 0, "Shape": 0}}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(everything))
    full = limits(build_workspace(config, book, "signal"))
    assert default.expected == pytest.approx(full.expected, rel=2e-3)


def test_one_key_turns_pruning_off(make_config: MakeConfig, make_book: MakeBook) -> None:
    book = make_book({**SIGNAL_REGION, "wjets": wjets(0.0005, 0.0005)})
    workspace = build_workspace(make_config(pruning=False), book, "signal")
    assert kinds(workspace) == {"normsys", "histosys"}
    assert [one for one in workspace.changes if one.action == "pruned"] == []
    assert build_workspace(make_config(), book, "signal").unreduced == workspace.spec


def test_the_summary_has_the_limit_with_and_without(
    make_config: MakeConfig, make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book(SIGNAL_REGION)
    config = make_config(cabinetry_config="mine.yml")
    content = build_config(config, book, "signal")
    everything = {**content, "Pruning": {"Normalization": 1, "Shape": 1}}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(everything))
    found = infer(build_workspace(config, book, "signal"), n_ranked=1).summary()["limits"]
    whole = limits(build_workspace(make_config(pruning=False), book, "signal"))
    assert found["expected_unreduced"] == pytest.approx(whole.expected[2], rel=1e-3)
    assert found["expected_unreduced"] > 1.01 * found["expected"]
    alike = infer(build_workspace(make_config(pruning=False), book, "signal"), n_ranked=1)
    assert alike.summary()["limits"]["expected_unreduced"] == alike.limits.expected[2]


def test_two_sides_that_move_the_norm_alike_are_reported(
    make_config: MakeConfig, make_book: MakeBook
) -> None:
    both = {"nominal": [20.0, 8.0, 4.0], "top_up": [22.0, 8.8, 4.4], "top_down": [21.0, 8.4, 4.2]}
    workspace = build_workspace(
        make_config(), make_book({**SIGNAL_REGION, "wjets": both}), "signal"
    )
    (change,) = (one for one in workspace.changes if one.action == "kept")
    assert change.reason == "up and down both raise the norm"
    assert change.amount == pytest.approx(0.05)


def test_without_a_block_the_defaults_hold() -> None:
    assert thresholds({}) == Thresholds() == (1e-3, 1e-3)
