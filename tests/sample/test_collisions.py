from __future__ import annotations

import numpy as np
import pytest

from intccms.sample.collisions import Component, Expectation, collide
from intccms.sample.generator import generate
from intccms.sample.kinds import KINDS
from intccms.sample.lumi import OUTSIDE
from intccms.sample.reconstruction import reconstruct

LUMI_IPB, XSEC_PB = 1500.0, 364.3
TTBAR = Component(KINDS["ttbar_semilep"], LUMI_IPB * XSEC_PB)
WJETS = Component(KINDS["wjets"], LUMI_IPB * 61526.7)


def all_found(eta: np.ndarray, pt: np.ndarray) -> np.ndarray:
    return np.ones_like(pt)


def test_selected_data_agree_with_simulation() -> None:
    rng = np.random.default_rng(1)
    hard, weight = generate(TTBAR.kind, 20_000, rng)
    simulated = reconstruct(hard, rng)
    scale = TTBAR.n_expected / weight.sum()
    expected = weight[simulated.looks_selected].sum() * scale / (1 - OUTSIDE)
    error = np.sqrt((weight[simulated.looks_selected] ** 2).sum()) * scale
    n_data = sum(
        int(collide(Expectation((TTBAR,), 0.5, all_found), 3_000, rng).looks_selected.sum())
        for _ in range(2)
    )
    assert abs(n_data - expected) < 4 * np.hypot(error, np.sqrt(expected))


def test_every_data_event_fired_the_trigger_and_the_file_is_full() -> None:
    found = collide(Expectation((TTBAR, WJETS), 1.0, all_found), 6_000, np.random.default_rng(2))
    assert len(found) == 6_000
    assert found.has_trigger.all()


def test_inefficient_muons_are_lost() -> None:
    def half_found(eta: np.ndarray, pt: np.ndarray) -> np.ndarray:
        return np.full(len(pt), 0.5)

    n_selected = [
        collide(
            Expectation((TTBAR,), 0.5, efficiency), 3_000, np.random.default_rng(3)
        ).looks_selected.sum()
        for efficiency in (all_found, half_found)
    ]
    assert n_selected[1] / n_selected[0] == pytest.approx(0.5, abs=0.15)


def test_what_looks_selected_is_kept_if_not_all_fits() -> None:
    many = Expectation((TTBAR,), 1.0, all_found)
    kept = collide(many, 400, np.random.default_rng(4))
    assert len(kept) == 400
    plenty = collide(many, 6_000, np.random.default_rng(4)).looks_selected.mean()
    assert kept.looks_selected.mean() > 3 * plenty
