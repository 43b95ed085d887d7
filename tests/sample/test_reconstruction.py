from __future__ import annotations

import numpy as np
import pytest

from intccms.sample.generator import generate
from intccms.sample.hard import TOP_JET
from intccms.sample.kinds import KINDS
from intccms.sample.reconstruction import Reconstructed, reconstruct


@pytest.fixture(scope="module")
def signal() -> Reconstructed:
    rng = np.random.default_rng(10)
    hard, _ = generate(KINDS["signal"], 8_000, rng)
    return reconstruct(hard, rng)


def test_boosted_tops_become_large_jets_of_the_right_mass(signal: Reconstructed) -> None:
    jets = signal.large_jets
    tops = jets.valid & (jets["content"] == TOP_JET) & (jets["pt"] > 500)
    assert np.median(jets["mass"][tops]) == pytest.approx(174, abs=4)
    assert (jets["top_score"][tops] > 0.5).mean() == pytest.approx(0.78, abs=0.03)
    others = jets.valid & (jets["content"] < 2)
    assert (jets["top_score"][others] > 0.5).mean() < 0.1


def test_bottom_jets_are_tagged_and_light_ones_are_not(signal: Reconstructed) -> None:
    jets = signal.jets
    central = jets.valid & (np.abs(jets["eta"]) < 2.4)
    tagged = jets["deep_b"] > 0.5
    assert 0.55 < tagged[central & (jets["flavour"] == 5)].mean() < 0.85
    assert tagged[central & (jets["flavour"] == 1)].mean() < 0.04


def test_the_trigger_fires_only_with_a_hard_muon(signal: Reconstructed) -> None:
    leading = np.where(signal.muons.valid[:, 0], signal.muons["pt"][:, 0], 0)
    assert leading[signal.has_trigger].min() > 40
    assert signal.has_trigger[leading > 60].mean() == pytest.approx(0.93, abs=0.03)


def test_missing_momentum_follows_the_neutrinos(signal: Reconstructed) -> None:
    generated = np.hypot(*signal.hard.invisible)
    measured = np.hypot(*signal.missing)
    hard = generated > 200
    assert np.median(measured[hard] / generated[hard]) == pytest.approx(1, abs=0.03)
    assert np.corrcoef(measured[hard], generated[hard])[0, 1] > 0.9


def test_a_few_percent_of_the_signal_look_selected(signal: Reconstructed) -> None:
    assert 0.015 < signal.looks_selected.mean() < 0.08
