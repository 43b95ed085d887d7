"""Jet corrections that are carried into the MET, and jets sorted again: against a Python loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from tests.engine import small
from tests.engine.small import channel, function, observable

JET_PT, JET_ETA, MET_PT = ("Jet", "pt"), ("Jet", "eta"), ("PuppiMET", "pt")
FINE = [-1e30, *np.linspace(0, 300, 61), 1e30]
CARRIED = {"propagate_to": "PuppiMET", "resort": True}


def rescale(pt: Any, eta: Any) -> Any:
    return 1.0 + 0.1 * eta


def delta(sign: float) -> Callable[..., Any]:
    return lambda eta, pt: 1.0 + sign * 0.2 * abs(eta) / (1 + 0.01 * pt)


def smear(size: float) -> Callable[..., Any]:
    return lambda phi: 1.0 + size * phi


CORRECTIONS: list[dict[str, Any]] = [
    {
        "name": "jec",
        "type": "object",
        "use_correctionlib": False,
        "target": [JET_PT, ("Jet", "mass")],
        "args": [JET_PT, JET_ETA],
        "nominal_function": rescale,
        **CARRIED,
        "uncertainty_sources": [
            {
                "name": "jes",
                "args": [JET_ETA, JET_PT],
                "up_function": delta(1.0),
                "down_function": delta(-1.0),
                "is_delta": True,
            },
            {
                "name": "closure",
                "up_function": lambda pt, eta: 1.0 + 0.12 * eta,
                "down_function": lambda pt, eta: 1.0 + 0.08 * eta,
            },
        ],
    },
    {
        "name": "muon_scale",
        "type": "object",
        "use_correctionlib": False,
        "target": ("Muon", "pt"),
        "args": [("Muon", "eta")],
        "nominal_function": lambda eta: 1.0 + 0.01 * abs(eta),
        "propagate_to": MET_PT,
    },
    {
        "name": "jer",
        "type": "object",
        "use_correctionlib": False,
        "target": JET_PT,
        "args": [("Jet", "phi")],
        "nominal_function": smear(0.05),
        **CARRIED,
        "uncertainty_sources": [
            {"name": "jer", "up_function": smear(0.1), "down_function": smear(0.0)}
        ],
    },
]
UNCLUSTERED = {
    "name": "unclustered",
    "type": "object",
    "target": MET_PT,
    "use": [MET_PT],
    "op": "mult",
    "up_function": lambda met: 1.1,
    "symmetrise": True,
}
SOURCES = ("jes", "closure", "jer", "unclustered")
LABELS = ["nominal", *(f"{name}_{side}" for name in SOURCES for side in ("up", "down"))]
Row = dict[str, float]


def moved(jets: list[Row], met: Row, factors: list[float]) -> None:
    """Scale the momenta of `jets` and take the change from the MET."""
    px, py = met["pt"] * math.cos(met["phi"]), met["pt"] * math.sin(met["phi"])
    changed = False
    for jet, factor in zip(jets, factors, strict=True):
        new = float(np.float32(jet["pt"] * factor))
        px -= (new - jet["pt"]) * math.cos(jet["phi"])
        py -= (new - jet["pt"]) * math.sin(jet["phi"])
        changed = changed or new != jet["pt"]
        jet["pt"] = new
    if changed:
        met["pt"] = float(np.float32(math.hypot(px, py)))
        met["phi"] = float(np.float32(math.atan2(py, px)))


def corrected(event: dict[str, Any], label: str) -> tuple[list[Row], Row]:
    """Do for one event and one variation what `CORRECTIONS` says."""
    source, _, side = label.rpartition("_")
    sign = 1.0 if side == "up" else -1.0
    jets, muons, met = event["Jet"], event["Muon"], event["PuppiMET"]

    def scale(factors: list[float]) -> None:
        moved(jets, met, factors)
        jets.sort(key=lambda jet: -jet["pt"])

    slope = 0.1 + (0.02 * sign if source == "closure" else 0.0)
    factors = [1.0 + slope * jet["eta"] for jet in jets]
    for jet, factor in zip(jets, factors, strict=True):
        jet["mass"] = float(np.float32(jet["mass"] * factor))
    scale(factors)
    if source == "jes":
        factors = [delta(sign)(jet["eta"], jet["pt"]) for jet in jets]
        for jet, factor in zip(jets, factors, strict=True):
            jet["mass"] = float(np.float32(jet["mass"] * factor))
        scale(factors)
    moved(muons, met, [1.0 + 0.01 * abs(muon["eta"]) for muon in muons])
    size = {"jer_up": 0.1, "jer_down": 0.0}.get(label, 0.05)
    scale([1.0 + size * jet["phi"] for jet in jets])
    if source == "unclustered":
        met["pt"] = float(np.float32(met["pt"] * (1.0 + 0.1 * sign)))
    return jets, met


def third(values: Any) -> Any:
    return ak.fill_none(ak.pad_none(values, 3)[:, 2], -1.0)


QUANTITIES: dict[str, tuple[list[Any], Callable[..., Any], Callable[..., float]]] = {
    "met": ([MET_PT], lambda pt: pt, lambda jets, met: met["pt"]),
    "phi": ([("PuppiMET", "phi")], lambda phi: 100 * phi, lambda jets, met: 100 * met["phi"]),
    "lead": (
        [JET_PT],
        lambda pt: ak.fill_none(ak.firsts(pt), -1.0),
        lambda jets, met: jets[0]["pt"] if jets else -1.0,
    ),
    "mass": (
        [("Jet", None)],
        lambda jets: 10 * third(jets.mass),
        lambda jets, met: 10 * jets[2]["mass"] if len(jets) > 2 else -10.0,
    ),
    "btag": (
        [("Jet", "btagDeepB")],
        lambda tag: 300 * third(tag),
        lambda jets, met: 300 * jets[2]["btagDeepB"] if len(jets) > 2 else -300.0,
    ),
    "vector": (
        [("Jet", None), ("PuppiMET", None)],
        lambda jets, met: np.hypot(
            ak.sum(jets[:, :2].px, axis=1) + met.px, ak.sum(jets[:, :2].py, axis=1) + met.py
        ),
        lambda jets, met: math.hypot(
            *(
                sum(one["pt"] * turn(one["phi"]) for one in (*jets[:2], met))
                for turn in (math.cos, math.sin)
            )
        ),
    ),
}
GOOD_JETS = {
    "object": "Jet",
    **function(lambda tag, pt: (tag > 0.2) & (pt > 30), ("Jet", "btagDeepB"), JET_PT),
}

FIRST_JETS = {
    "object": "Jet",
    **function(lambda tag: ak.local_index(tag) < 3, ("Jet", "btagDeepB")),
}
MASKS: dict[str, list[dict[str, Any]]] = {"all": [], "good": [GOOD_JETS], "first": [FIRST_JETS]}


def hard(met: Any, jets: Any) -> Any:
    return (met > 30) & ak.fill_none(ak.firsts(jets.btagDeepB) > 0.5, False)


def configuration(**parts: Any) -> dict[str, Any]:
    quantities = [
        observable(name, call, *use, edges=FINE) for name, (use, call, _) in QUANTITIES.items()
    ]
    selection = function(hard, MET_PT, ("Jet", None))
    return small.config(
        corrections=CORRECTIONS,
        systematics=[UNCLUSTERED],
        channels=[channel("all", quantities), channel("hard", quantities, selection)],
        **parts,
    )


def looped(events: ak.Array, label: str, which: str) -> dict[tuple[str, str], np.ndarray]:
    values: dict[tuple[str, str], list[float]] = {}
    weights: dict[str, list[float]] = {"all": [], "hard": []}
    for event in ak.to_list(events[["Jet", "Muon", "PuppiMET", "genWeight"]]):
        jets, met = corrected(event, label)
        jets = jets[:3] if which == "first" else jets
        if which == "good":
            jets = [jet for jet in jets if jet["btagDeepB"] > 0.2 and jet["pt"] > 30]
        is_hard = met["pt"] > 30 and bool(jets) and jets[0]["btagDeepB"] > 0.5
        for where in ("all", "hard") if is_hard else ("all",):
            weights[where].append(event["genWeight"])
            for name, (_, _, value) in QUANTITIES.items():
                values.setdefault((where, name), []).append(value(jets, met))
    return {key: small.filled(found, weights[key[0]], FINE) for key, found in values.items()}


@pytest.fixture(scope="module")
def events(few: Path) -> ak.Array:
    found = small.load([few])
    assert ak.any(ak.num(found.Jet) == 0)
    return found


@pytest.fixture(scope="module", params=MASKS)
def outcome(few: Path, request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    masks = {"analysis": MASKS[request.param]}
    return request.param, small.run(few, configuration(good_object_masks=masks))


@pytest.mark.parametrize("label", LABELS)
def test_met_and_order_follow_the_jets_as_in_a_plain_loop(
    outcome: tuple[str, dict[str, Any]], events: ak.Array, label: str
) -> None:
    which, sums = outcome
    for key, expected in looped(events, label, which).items():
        small.same(small.templates(sums, *key)[label], expected)


def test_each_shift_moves_the_met_and_the_order(outcome: tuple[str, dict[str, Any]]) -> None:
    _, sums = outcome
    for name in ("met", "phi", "btag"):
        got = small.templates(sums, "all", name)
        for label in LABELS[1:-2]:
            assert not np.array_equal(got[label], got["nominal"]), (name, label)


@pytest.mark.parametrize("batch_memory_mb", [0.05, 0.5])
def test_smaller_slabs_and_chunks_give_the_same_bits(few: Path, batch_memory_mb: float) -> None:
    whole = small.run(few, configuration())["histograms"]
    parts = configuration(general={"batch_memory_mb": batch_memory_mb})
    processor = small.processor(parts)
    pieces = [
        processor.process(small.chunk(few, a, a + 60))["histograms"] for a in range(0, 300, 60)
    ]
    for key, sums in whole.items():
        added = pieces[0][key]
        for piece in pieces[1:]:
            added = added + piece[key]
        again = added.rounded()
        for label, (sumw, sumw2) in sums.rounded().items():
            assert np.array_equal(again[label][0], sumw)
            assert np.array_equal(again[label][1], sumw2)


def test_a_met_of_jets_that_do_not_move_keeps_its_bits(few: Path, events: ak.Array) -> None:
    still = {**CORRECTIONS[0], "nominal_function": lambda pt, eta: 1.0, "uncertainty_sources": []}
    met = observable("met", lambda pt: pt, MET_PT, edges=FINE)
    got = small.outcome(few, small.config(corrections=[still], channels=[channel("all", [met])]))
    small.same(got["nominal"], small.filled(events.PuppiMET.pt, events.genWeight, FINE))
