"""Shifts of jets under masks and selections of all kinds: each is the nominal of another run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from tests.engine import small
from tests.engine.small import channel, function, observable

JET_PT, JET_ETA, MET = ("Jet", "pt"), ("Jet", "eta"), ("PuppiMET", "pt")
SCALES = {"nominal": 1.0, "jes_up": 1.3, "jes_down": 0.6}
MASKS: dict[str, Callable[..., Any]] = {
    "each alone": lambda pt, eta: (abs(eta) < 1.5) & (pt > 40),
    "or": lambda pt, eta: (abs(eta) < 1.5) | (pt > 40),
    "hardest of all": lambda pt, eta: (abs(eta) < 1.5) & (pt >= 0.7 * ak.max(pt, axis=1)),
    "with enough others": lambda pt, eta: (eta > -1) & (ak.sum(pt > 40, axis=1) > 2) & (pt > 20),
    "nothing moves": lambda pt, eta: abs(eta) < 1.5,
}
SELECTIONS: dict[str, tuple[Callable[..., Any], Any]] = {
    "counts": (lambda eta: ak.num(eta) >= 2, JET_ETA),
    "sums": (lambda pt: ak.sum(pt, axis=1) > 120, JET_PT),
}


def configuration(mask: str, selection: str, twice: bool, **more: Any) -> dict[str, Any]:
    masks = [{"object": "Jet", **function(MASKS[mask], JET_PT, JET_ETA)}]
    if twice:
        masks.append({"object": "Jet", **function(lambda pt: pt < 200, JET_PT)})
    call, column = SELECTIONS[selection]
    observables = [
        observable("hardest", lambda pt: ak.fill_none(ak.max(pt, axis=1), 0), JET_PT),
        observable("first", lambda eta: 40 * ak.fill_none(ak.firsts(eta), 9), JET_ETA),
        observable("met", lambda pt: pt, MET),
        observable("both", lambda pt, met: ak.sum(pt, axis=1) * met / 50, JET_PT, MET),
    ]
    return small.config(
        good_object_masks={"analysis": masks},
        baseline_selection=function(call, column),
        channels=[
            channel("all", observables),
            channel("more", observables, function(lambda pt: ak.num(pt) > 2, JET_PT)),
        ],
        **more,
    )


def scaled(pt: ak.Array, factor: float) -> ak.Array:
    return ak.ones_like(pt) * np.float32(factor)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("mask", MASKS)
def test_a_shift_is_the_nominal_of_shifted_jets(
    few: Path, mask: str, selection: str, twice: bool
) -> None:
    jes = {
        "name": "jes",
        "type": "object",
        "target": JET_PT,
        "use": [JET_PT],
        "up_function": lambda pt: scaled(pt, SCALES["jes_up"]),
        "down_function": lambda pt: scaled(pt, SCALES["jes_down"]),
    }
    got = small.run(few, configuration(mask, selection, twice, systematics=[jes]))
    for label, scale in SCALES.items():
        fixed = {
            "name": "scale",
            "type": "object",
            "use_correctionlib": False,
            "target": JET_PT,
            "args": [JET_PT],
            "nominal_function": lambda pt, scale=scale: scaled(pt, scale),
        }
        expected = small.run(few, configuration(mask, selection, twice, corrections=[fixed]))
        for key, sums in expected["histograms"].items():
            assert np.array_equal(
                sums.rounded()["nominal"], got["histograms"][key].rounded()[label]
            ), (key, label)
