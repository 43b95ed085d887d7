from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from intccms.sample.events.collisions import Expectation, collide
from intccms.sample.events.generator import generate
from intccms.sample.events.kinds import known_kinds
from intccms.sample.events.reconstruction import looks_selected, reconstruct
from intccms.sample.events.slots import Batch
from intccms.sample.lumi import OUTSIDE

LUMI_IPB, XSEC_PB = 1500.0, 364.3
TTBAR = (known_kinds()["ttbar_semilep"], LUMI_IPB * XSEC_PB)
WJETS = (known_kinds()["wjets"], LUMI_IPB * 61526.7)


def all_found(eta: np.ndarray, pt: np.ndarray) -> np.ndarray:
    return np.ones_like(pt)


def half_found(eta: np.ndarray, pt: np.ndarray) -> np.ndarray:
    return np.full(len(pt), 0.5)


def collided(
    n_events: int, seed: int, share: float = 1.0, efficiency: Callable[..., np.ndarray] = all_found
) -> Batch:
    expected = Expectation((TTBAR,), efficiency)
    return collide(expected, share, n_events, np.random.default_rng(seed))


def test_selected_data_agree_with_simulation() -> None:
    rng = np.random.default_rng(1)
    hard, weight = generate(TTBAR[0], 20_000, rng)
    weight = weight[looks_selected(reconstruct(hard, rng))] * TTBAR[1] / weight.sum()
    expected = weight.sum() / (1 - OUTSIDE)
    n_data = sum(looks_selected(collided(3_000, seed, share=0.5)).sum() for seed in (1, 2))
    error = np.sqrt((weight**2).sum() + expected)
    assert abs(n_data - expected) < 4 * error


def test_every_data_event_fired_the_trigger_and_the_file_is_full() -> None:
    expected = Expectation((TTBAR, WJETS), all_found)
    found = collide(expected, 1.0, 6_000, np.random.default_rng(2))
    assert len(found) == 6_000
    assert found.values["has_trigger"].all()


def test_inefficient_muons_are_lost() -> None:
    every, half = (
        looks_selected(collided(3_000, 3, share=0.5, efficiency=efficiency)).sum()
        for efficiency in (all_found, half_found)
    )
    assert half / every == pytest.approx(0.5, abs=0.15)


def test_what_looks_selected_is_kept_if_not_all_fits() -> None:
    kept, plenty = collided(400, 4), collided(6_000, 4)
    assert len(kept) == 400
    assert looks_selected(kept).mean() > 3 * looks_selected(plenty).mean()
