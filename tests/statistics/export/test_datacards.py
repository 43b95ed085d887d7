"""A datacard says what the workspace says: read back, every rate and shape is compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from intccms.statistics import Workspace, build_workspace
from intccms.statistics.export.datacards import datacard, write_datacard
from tests.statistics.conftest import CONTROL_REGION, SIGNAL_REGION, MakeBook, MakeConfig


@pytest.fixture
def workspace(make_book: MakeBook, make_config: MakeConfig) -> Workspace:
    return build_workspace(make_config(), make_book(SIGNAL_REGION, CONTROL_REGION), "signal")


class Card:
    """A card and its shapes as Combine would read them."""

    def __init__(self, text: Path, root: Path) -> None:
        rows = [line.split() for line in text.read_text().splitlines()]
        first, bins = (row[1:] for row in rows if row[0] == "bin")
        names, numbers = (row[1:] for row in rows if row[0] == "process")
        self.columns = list(zip(bins, names, strict=True))
        self.numbers = dict(zip(names, map(int, numbers), strict=True))
        rates = next(row[1:] for row in rows if row[0] == "rate")
        self.rates = dict(zip(self.columns, map(float, rates), strict=True))
        self.effects = {
            row[0]: (row[1], dict(zip(self.columns, row[2:], strict=True)))
            for row in rows
            if len(row) > 1 and row[1] in ("lnN", "shape", "shape?")
        }
        observed = next(row[1:] for row in rows if row[0] == "observation")
        self.observed = dict(zip(first, map(float, observed), strict=True))
        self.statistics = {row[0] for row in rows if row[1:2] == ["autoMCStats"]}
        self.file = uproot.open(root)

    def bins(self, channel: str, process: str, source: str = "", side: int = 0) -> Any:
        """Contents at so many standard deviations of one source."""
        nominal = self.file[f"{channel}/{process}"].values()
        effect = self.effects[source][1][channel, process] if source else "-"
        if effect == "-":
            return nominal
        if effect == "1":
            word = "Up" if side > 0 else "Down"
            return self.file[f"{channel}/{process}_{source}{word}"].values()
        low, high = map(float, effect.split("/"))
        return nominal * (high if side > 0 else low)


@pytest.fixture
def card(workspace: Workspace, tmp_path: Path) -> Card:
    return Card(*write_datacard(workspace, tmp_path))


def test_observations_and_rates_are_those_of_the_workspace(
    workspace: Workspace, card: Card
) -> None:
    for one in workspace.spec["observations"]:
        assert card.observed[one["name"]] == pytest.approx(sum(one["data"]))
        assert card.file[f"{one['name']}/data_obs"].values().tolist() == one["data"]
    for channel in workspace.spec["channels"]:
        for sample in channel["samples"]:
            where = (channel["name"], sample["name"])
            assert card.rates[where] == pytest.approx(sum(sample["data"]), rel=1e-6)
            np.testing.assert_allclose(card.bins(*where), sample["data"], rtol=1e-12)


def test_the_signal_has_number_zero_and_backgrounds_positive_ones(card: Card) -> None:
    assert card.numbers["signal"] == 0
    assert min(card.numbers["ttbar"], card.numbers["wjets"]) > 0


def test_errors_of_the_bins_are_the_statistical_ones_of_the_workspace(
    workspace: Workspace, card: Card
) -> None:
    for channel in workspace.spec["channels"]:
        assert channel["name"] in card.statistics
        for sample in channel["samples"]:
            (one,) = [m for m in sample["modifiers"] if m["type"] == "staterror"]
            errors = card.file[f"{channel['name']}/{sample['name']}"].errors()
            np.testing.assert_allclose(errors, one["data"], rtol=1e-9)


@pytest.mark.parametrize("side", [1, -1])
def test_every_source_moves_every_bin_as_in_the_workspace(
    workspace: Workspace, card: Card, side: int
) -> None:
    model, _ = workspace.model_and_data()
    start = dict(zip(model.config.par_names, model.config.suggested_init(), strict=True))
    sources = [name for name in card.effects if name in start]
    assert sorted(sources) == sorted(card.effects)
    assert {"jes", "pileup"} <= set(sources)
    for source in sources:
        values = model.expected_actualdata(list({**start, source: float(side)}.values()))
        first = 0
        for channel in model.config.channels:
            n_bins = model.config.channel_nbins[channel]
            names = [name for where, name in card.columns if where == channel]
            total = sum(card.bins(channel, name, source, side) for name in names)
            np.testing.assert_allclose(total, values[first : first + n_bins], rtol=1e-5)
            first += n_bins


def test_the_card_names_the_file_of_its_shapes(workspace: Workspace, tmp_path: Path) -> None:
    text, root = write_datacard(workspace, tmp_path)
    assert f"shapes * * {root.name} $CHANNEL/$PROCESS" in text.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_another_norm_factor_becomes_a_rate_parameter(workspace: Workspace) -> None:
    free = {"name": "ttbar_norm", "type": "normfactor", "data": None}
    for channel in workspace.spec["channels"]:
        for sample in channel["samples"]:
            if sample["name"] == "ttbar":
                sample["modifiers"].append(free)
    lines = datacard(workspace).text.splitlines()
    assert [line for line in lines if "rateParam" in line] == [
        f"ttbar_norm  rateParam  {name}  ttbar  1" for name in ("sr", "cr")
    ]
