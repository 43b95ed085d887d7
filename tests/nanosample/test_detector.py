from __future__ import annotations

import numpy as np
import pytest

from nanosample.detector import looks_selected, may_trigger, reconstruct
from nanosample.generation import TOP_JET, generate
from nanosample.settings import known_kinds
from nanosample.vectors import Batch


@pytest.fixture(scope="module")
def signal() -> Batch:
    rng = np.random.default_rng(10)
    hard, _ = generate(known_kinds()["signal"], 8_000, rng)
    return reconstruct(hard, rng)


def test_boosted_tops_become_large_jets_of_the_right_mass(signal: Batch) -> None:
    jets = signal["large_jets"]
    tops = jets.valid & (jets["content"] == TOP_JET) & (jets["pt"] > 500)
    assert np.median(jets["mass"][tops]) == pytest.approx(174, abs=4)
    assert (jets["top_score"][tops] > 0.5).mean() == pytest.approx(0.78, abs=0.03)
    others = jets.valid & (jets["content"] < 2)
    assert (jets["top_score"][others] > 0.5).mean() < 0.1


def test_bottom_jets_are_tagged_and_light_ones_are_not(signal: Batch) -> None:
    jets = signal["jets"]
    central = jets.valid & (np.abs(jets["eta"]) < 2.4)
    tagged = jets["deep_b"] > 0.5
    assert 0.55 < tagged[central & (jets["flavour"] == 5)].mean() < 0.85
    assert tagged[central & (jets["flavour"] == 1)].mean() < 0.04


def test_the_trigger_fires_only_with_a_hard_muon(signal: Batch) -> None:
    leading = np.where(signal["muons"].valid[:, 0], signal["muons"]["pt"][:, 0], 0)
    assert leading[signal.values["has_trigger"]].min() > 40
    assert signal.values["has_trigger"][leading > 60].mean() == pytest.approx(0.93, abs=0.03)


def test_missing_momentum_follows_the_neutrinos(signal: Batch) -> None:
    generated = np.hypot(*signal.values["invisible"].T)
    measured = np.hypot(*signal.values["missing"].T)
    hard = generated > 200
    assert np.median(measured[hard] / generated[hard]) == pytest.approx(1, abs=0.03)
    assert np.corrcoef(measured[hard], generated[hard])[0, 1] > 0.9


def test_a_few_percent_of_the_signal_look_selected(signal: Batch) -> None:
    assert 0.015 < looks_selected(signal).mean() < 0.08


def test_the_cheap_cut_loses_no_triggered_event(signal: Batch) -> None:
    assert may_trigger(signal)[signal.values["has_trigger"]].mean() > 0.995
