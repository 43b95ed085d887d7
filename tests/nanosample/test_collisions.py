from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nanosample.collisions import OUTSIDE, Expectation, Sections, collide, golden
from nanosample.detector import looks_selected, reconstruct
from nanosample.generation import generate
from nanosample.settings import known_kinds
from nanosample.vectors import Batch

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


PATH = "corrections/Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt"


def listed(certified: Sections) -> set[tuple[int, int]]:
    return {
        (int(run), section)
        for run, ranges in certified.ranges.items()
        for low, high in ranges
        for section in range(low, high + 1)
    }


def test_runs_lie_in_the_range_of_the_name() -> None:
    runs = [int(run) for run in golden(PATH, 1).ranges]
    assert 278820 <= min(runs) < max(runs) <= 284044
    runs = [int(r) for r in golden("Cert_314472-325175_13TeV_x.json", 1).ranges]
    assert 314472 <= min(runs) < max(runs) <= 325175


def test_ranges_are_ordered_and_within_their_run() -> None:
    certified = golden(PATH, 1)
    for run, ranges in certified.ranges.items():
        edges = [edge for low_high in ranges for edge in low_high]
        assert edges == sorted(edges)
        assert edges[0] > 1
        sections = certified.other[certified.other[:, 0] == int(run)]
        assert edges[-1] < sections[:, 1].max()


def test_files_share_the_sections_without_overlap() -> None:
    certified = golden(PATH, 1)
    parts = [certified.of_file(i, 7) for i in range(7)]
    together = [tuple(row) for part in parts for row in part.certified.tolist()]
    assert len(together) == len(set(together))
    assert set(together) == listed(certified)
    others = [tuple(row) for part in parts for row in part.other.tolist()]
    assert not set(others) & listed(certified)


def test_one_event_in_twenty_is_outside() -> None:
    certified = golden(PATH, 1)
    drawn = certified.of_file(0, 2).drawn(20_000, np.random.default_rng(1))
    good = listed(certified)
    outside = np.mean([tuple(row) not in good for row in drawn.tolist()])
    assert outside == pytest.approx(0.05, abs=0.006)
    assert (np.diff(drawn[:, 0]) >= 0).all()


def test_too_many_files_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        golden(PATH, 1).of_file(0, 100_000)
