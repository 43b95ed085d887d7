from __future__ import annotations

import numpy as np
import pytest

from intccms.sample import lumi

PATH = "corrections/Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt"


def listed(certified: lumi.Sections) -> set[tuple[int, int]]:
    return {
        (int(run), section)
        for run, ranges in certified.ranges.items()
        for low, high in ranges
        for section in range(low, high + 1)
    }


def test_runs_lie_in_the_range_of_the_name() -> None:
    runs = [int(run) for run in lumi.golden(PATH, 1).ranges]
    assert 278820 <= min(runs) < max(runs) <= 284044
    runs = [int(r) for r in lumi.golden("Cert_314472-325175_13TeV_x.json", 1).ranges]
    assert 314472 <= min(runs) < max(runs) <= 325175


def test_ranges_are_ordered_and_within_their_run() -> None:
    certified = lumi.golden(PATH, 1)
    for run, ranges in certified.ranges.items():
        edges = [edge for low_high in ranges for edge in low_high]
        assert edges == sorted(edges)
        assert edges[0] > 1
        sections = certified.other[certified.other[:, 0] == int(run)]
        assert edges[-1] < sections[:, 1].max()


def test_files_share_the_sections_without_overlap() -> None:
    certified = lumi.golden(PATH, 1)
    parts = [certified.of_file(i, 7) for i in range(7)]
    together = [tuple(row) for part in parts for row in part.certified.tolist()]
    assert len(together) == len(set(together))
    assert set(together) == listed(certified)
    others = [tuple(row) for part in parts for row in part.other.tolist()]
    assert not set(others) & listed(certified)


def test_one_event_in_twenty_is_outside() -> None:
    certified = lumi.golden(PATH, 1)
    drawn = lumi.drawn(certified.of_file(0, 2), 20_000, np.random.default_rng(1))
    good = listed(certified)
    outside = np.mean([tuple(row) not in good for row in drawn.tolist()])
    assert outside == pytest.approx(0.05, abs=0.006)
    assert (np.diff(drawn[:, 0]) >= 0).all()


def test_too_many_files_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        lumi.golden(PATH, 1).of_file(0, 100_000)
