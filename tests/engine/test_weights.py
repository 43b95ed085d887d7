"""Event weights in nominal, weight variations and shifts, against a plain loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.schema.base import Sys
from tests.engine import small
from tests.engine.small import channel, function, observable

JET_PT = ("Jet", "pt")


@pytest.fixture(scope="module")
def events(few: Path) -> ak.Array:
    return small.load([few])


def tag_weight(word: str, pt: ak.Array) -> ak.Array:
    size = {"central": 1.0, "up_jes": 1.3, "down_jes": 0.7, "up_hf": 1.1, "down_hf": 0.9}[word]
    return 1 + 0.001 * size * pt


TAG = {
    "name": "btag",
    "type": "event",
    "use_correctionlib": False,
    "args": [Sys(), JET_PT],
    "nominal_function": tag_weight,
    "nominal_idx": "central",
    "reduce": "prod",
    "uncertainty_sources": [
        {
            "name": "btag_jes",
            "up_and_down_idx": ["up_jes", "down_jes"],
            "up_function": tag_weight,
            "down_function": tag_weight,
            "varies_with": ["jes"],
        },
        {
            "name": "btag_hf",
            "up_and_down_idx": ["up_hf", "down_hf"],
            "up_function": tag_weight,
            "down_function": tag_weight,
        },
    ],
}
LEPTON = {
    "name": "lepton",
    "type": "event",
    "use_correctionlib": False,
    "args": [("Muon", "eta")],
    "nominal_function": lambda eta: 1 - 0.02 * ak.num(eta),
    "uncertainty_sources": [
        {"name": "lepton", "up_function": lambda eta: 1 + 0.05 * ak.num(eta), "symmetrise": True},
        {"name": "on_top", "up_function": lambda eta: 1.5 + 0 * ak.num(eta), "is_delta": True},
    ],
}
PLUS = {
    "name": "plus",
    "type": "event",
    "op": "add",
    "use_correctionlib": False,
    "args": [("PuppiMET", "pt")],
    "nominal_function": lambda met: 0.1 * met,
}
JES = {
    "name": "jes",
    "type": "object",
    "target": JET_PT,
    "use": [JET_PT],
    "op": "mult",
    "up_function": lambda pt: ak.ones_like(pt) * 1.2,
    "down_function": lambda pt: ak.ones_like(pt) * 0.8,
}
OTHER = {**JES, "name": "other", "symmetrise": True, "down_function": None}
LABELS = [
    "nominal",
    *("btag_hf_up", "btag_hf_down", "lepton_up", "lepton_down", "on_top_up"),
    *("jes_up", "jes_down", "other_up", "other_down"),
]


@pytest.fixture(scope="module")
def got(few: Path) -> dict[str, np.ndarray]:
    return small.outcome(
        few,
        small.config(
            corrections=[TAG, LEPTON, PLUS],
            systematics=[JES, OTHER],
            channels=[
                channel(
                    "all",
                    [observable("ht", lambda pt: ak.sum(pt, axis=1), JET_PT)],
                    function(lambda pt: ak.any(pt > 50, axis=1), JET_PT),
                )
            ],
        ),
    )


@pytest.mark.parametrize("label", LABELS)
def test_weights_equal_a_plain_loop(
    got: dict[str, np.ndarray], events: ak.Array, label: str
) -> None:
    scale = {"jes_up": 1.2, "jes_down": 0.8, "other_up": 1.2, "other_down": 0.8}.get(label, 1.0)
    pt = ak.values_astype(events.Jet.pt * scale, np.float32)
    word = {
        "jes_up": "up_jes",
        "jes_down": "down_jes",
        "btag_hf_up": "up_hf",
        "btag_hf_down": "down_hf",
    }.get(label, "central")
    n_muons = np.asarray(ak.num(events.Muon))
    lepton = {
        "lepton_up": 1 + 0.05 * n_muons,
        "lepton_down": 2 * (1 - 0.02 * n_muons) - (1 + 0.05 * n_muons),
        "on_top_up": (1 - 0.02 * n_muons) * 1.5,
    }.get(label, 1 - 0.02 * n_muons)
    weights = np.asarray(events.genWeight, "f8") * np.asarray(
        ak.prod(tag_weight(word, pt), axis=1), "f8"
    )
    weights = weights * lepton + 0.1 * np.asarray(events.PuppiMET.pt)
    kept = np.asarray(ak.any(pt > 50, axis=1))
    expected = small.filled(ak.sum(pt, axis=1)[kept], weights[kept])
    np.testing.assert_allclose(got[label], expected, rtol=1e-6, atol=1e-3)


def test_only_these_variations_exist(got: dict[str, np.ndarray]) -> None:
    assert set(got) == set(LABELS)


def test_data_has_weight_one_and_the_corrections_for_data(few: Path, events: ak.Array) -> None:
    both = {**PLUS, "applies_to": "both"}
    for_mc = {**LEPTON, "applies_to": "mc"}
    got = small.outcome(few, small.config(corrections=[both, for_mc]), is_data=True)
    met = events.PuppiMET.pt
    expected = small.filled(met, 1 + 0.1 * np.asarray(met))
    assert set(got) == {"nominal"}
    np.testing.assert_allclose(got["nominal"], expected, rtol=1e-6)


def test_the_sum_of_weights_is_taken_before_any_cut(few: Path, events: ak.Array) -> None:
    sums: dict[str, Any] = small.run(
        few,
        small.config(
            corrections=[PLUS],
            baseline_selection=function(lambda met: met > 1e6, ("PuppiMET", "pt")),
        ),
    )
    assert sums["sumw"].value == np.sum(np.asarray(events.genWeight, dtype=np.float64))
    assert (sums["n_events"], sums["n_kept"]) == (300, 0)
