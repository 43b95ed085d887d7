"""Masks, ghosts and levels: who sees which objects, nominally and in shifts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.errors import FunctionError
from tests.engine import small
from tests.engine.small import channel, function, observable

JETS, MET, CENTRAL = ("Jet", None), ("PuppiMET", "pt"), ("Central", None)
SCALE = {
    "name": "scale",
    "type": "object",
    "target": ("Jet", "pt"),
    "use": [("Jet", "pt")],
    "op": "mult",
    "up_function": lambda pt: ak.ones_like(pt) * 1.2,
    "down_function": lambda pt: ak.ones_like(pt) * 0.8,
}
LABELS = {"nominal": 1.0, "scale_up": 1.2, "scale_down": 0.8}


@pytest.fixture(scope="module")
def events(few: Path) -> ak.Array:
    return small.load([few])


def scaled(events: ak.Array, label: str) -> ak.Array:
    return ak.values_astype(events.Jet.pt * LABELS[label], np.float32)


def good(threshold: float) -> dict[str, Any]:
    return {"object": "Jet", **function(lambda jets: jets.pt > threshold, JETS)}


def outcome(few: Path, quantity: dict[str, Any], **parts: Any) -> dict[str, np.ndarray]:
    selection = parts.pop("selection", None)
    channels = [channel("all", [quantity], selection)]
    return small.outcome(few, small.config(systematics=[SCALE], channels=channels, **parts))


def ghost(names: Any, collections: Any, call: Any, *use: Any) -> dict[str, Any]:
    return {"names": names, "collections": collections, **function(call, *use)}


def test_masks_apply_one_after_the_other(few: Path, events: ak.Array) -> None:
    def leading(jets: ak.Array) -> ak.Array:
        return jets.pt == ak.max(jets.pt, axis=1)

    first_eta = {"object": "Jet", **function(lambda jets: jets.eta > 0, JETS)}
    hardest = {"object": "Jet", **function(leading, JETS)}
    total = observable("total", lambda pt: ak.sum(pt, axis=1), ("Jet", "pt"))
    got = outcome(few, total, good_object_masks={"analysis": [first_eta, hardest]})
    for label in LABELS:
        pt = scaled(events, label)[events.Jet.eta > 0]
        hardest_pt = ak.max(pt, axis=1, mask_identity=False, initial=0)
        small.same(got[label], small.filled(hardest_pt, events.genWeight))


def test_a_ghost_of_a_new_collection_follows_the_shift(few: Path, events: ak.Array) -> None:
    ghosts = [ghost("ht", "sums", lambda jets: ak.sum(jets.pt, axis=1), JETS)]
    got = outcome(
        few, observable("ht", lambda sums: sums.ht, ("sums", None)), ghost_observables=ghosts
    )
    for label in LABELS:
        expected = small.filled(ak.sum(scaled(events, label), axis=1), events.genWeight)
        small.same(got[label], expected)


def test_lists_in_a_new_collection_stay_with_their_events(few: Path, events: ak.Array) -> None:
    def central(jets: ak.Array) -> tuple[ak.Array, ak.Array]:
        return jets.pt[abs(jets.eta) < 1], jets.eta[abs(jets.eta) < 1]

    ghosts = [
        ghost(("pt", "eta"), ("Central", "Central"), central, JETS),
        ghost(
            "first", "Central", lambda one: ak.fill_none(ak.firsts(one.eta), 9), ("Central", None)
        ),
    ]
    quantity = observable(
        "sum",
        lambda one, pt: ak.sum(one.pt[one.eta > 0], axis=1) + one.first + ak.sum(pt, axis=1),
        ("Central", None),
        ("Central", "pt"),
    )
    chosen = function(lambda pt, met: (ak.num(pt) > 0) & (met > 40), ("Central", "pt"), MET)
    baseline = function(lambda met: met > 20, MET)
    got = outcome(
        few, quantity, ghost_observables=ghosts, selection=chosen, baseline_selection=baseline
    )
    for label in LABELS:
        pt, near = scaled(events, label), abs(events.Jet.eta) < 1
        eta = events.Jet.eta[near]
        values = ak.sum(pt[near][eta > 0], axis=1) + ak.fill_none(ak.firsts(eta), 9)
        values = values + ak.sum(pt[near], axis=1)
        keep = ak.any(near, axis=1) & (events.PuppiMET.pt > 40)
        small.same(got[label], small.filled(values[keep], events.genWeight[keep]))


def test_a_ghost_can_be_a_column_of_an_existing_collection(few: Path, events: ak.Array) -> None:
    ghosts = [ghost("twice", "Jet", lambda pt: 2 * pt, ("Jet", "pt"))]
    got = outcome(
        few,
        observable("sum", lambda jets: ak.sum(jets.twice, axis=1), JETS),
        ghost_observables=ghosts,
        good_object_masks={"analysis": [good(40)]},
    )
    for label in LABELS:
        pt = scaled(events, label)
        small.same(got[label], small.filled(ak.sum(2 * pt[pt > 40], axis=1), events.genWeight))


def test_a_selection_that_reads_a_ghost_follows_the_shift(few: Path, events: ak.Array) -> None:
    ghosts = [
        ghost("ht", "sums", lambda jets: ak.sum(jets.pt, axis=1), JETS),
        ghost("double", "more", lambda ht: 2 * ht, ("sums", "ht")),
    ]
    got = outcome(
        few,
        observable("met", lambda met: met, ("PuppiMET", "pt")),
        ghost_observables=ghosts,
        selection=function(lambda double: double > 300, ("more", "double")),
    )
    for label in LABELS:
        kept = 2 * ak.sum(scaled(events, label), axis=1) > 300
        expected = small.filled(events.PuppiMET.pt[kept], events.genWeight[kept])
        small.same(got[label], expected)


def test_several_ghosts_of_one_function(few: Path, events: ak.Array) -> None:
    ghosts = [
        ghost(
            ("number", "ht"),
            ("sums", "totals"),
            lambda jets: (ak.num(jets), ak.sum(jets.pt, axis=1)),
            JETS,
        )
    ]
    use = (("sums", "number"), ("totals", "ht"))
    mean = observable("mean", lambda n, ht: ht / np.maximum(n, 1), *use)
    got = outcome(few, mean, ghost_observables=ghosts)
    values = ak.sum(events.Jet.pt, axis=1) / np.maximum(ak.num(events.Jet), 1)
    small.same(got["nominal"], small.filled(values, events.genWeight))


@pytest.mark.parametrize("answer", [lambda jets: (1, 2), lambda jets: ak.num(jets)[:5]])
def test_a_ghost_that_does_not_fit_names_its_key(few: Path, answer: Any) -> None:
    ghosts = [ghost("one", "sums", answer, JETS)]
    with pytest.raises(FunctionError, match=r"ghost_observables\[0\]"):
        outcome(few, observable("x", lambda s: s.one, ("sums", None)), ghost_observables=ghosts)


def test_ghosts_of_mva_see_the_objects_of_the_mva_masks(few: Path, events: ak.Array) -> None:
    masks = {"analysis": [good(80)], "mva": [good(30)]}
    ghosts = [
        ghost("n", "mva", lambda jets: ak.num(jets), JETS),
        ghost("n", "tight", lambda jets: ak.num(jets), JETS),
    ]
    edges = [-0.5, 1.5, 2.5, 3.5, 4.5, 99.0]
    for collection, threshold in (("mva", 30), ("tight", 80)):
        number = observable("n", lambda n: n, (collection, "n"), edges=edges)
        got = outcome(few, number, ghost_observables=ghosts, good_object_masks=masks)
        for label in LABELS:
            number_of = ak.sum(scaled(events, label) > threshold, axis=1)
            small.same(got[label], small.filled(number_of, events.genWeight, edges))


def test_a_ghost_on_jets_leaves_the_jets_of_the_mva_alone(few: Path, events: ak.Array) -> None:
    masks = {"analysis": [good(80)], "mva": [good(30)]}
    ghosts = [
        ghost("twice", "Jet", lambda pt: 2 * pt, ("Jet", "pt")),
        ghost("n", "mva", lambda jets: ak.num(jets), JETS),
    ]
    edges = [-0.5, 1.5, 2.5, 3.5, 4.5, 99.0]
    number = observable("n", lambda n: n, ("mva", "n"), edges=edges)
    got = outcome(few, number, ghost_observables=ghosts, good_object_masks=masks)
    for label in LABELS:
        number_of = ak.sum(scaled(events, label) > 30, axis=1)
        small.same(got[label], small.filled(number_of, events.genWeight, edges))


def test_a_weight_may_read_a_ghost_that_no_shift_moves(few: Path, events: ak.Array) -> None:
    ghosts = [ghost("part", "truth", lambda met: met / 100, ("PuppiMET", "pt"))]
    weight = {
        "name": "reweighting",
        "type": "event",
        "use_correctionlib": False,
        "nominal_function": lambda part: 1 + part,
        "args": [("truth", "part")],
    }
    got = outcome(
        few,
        observable("ht", lambda jets: ak.sum(jets.pt, axis=1), JETS),
        ghost_observables=ghosts,
        corrections=[weight],
    )
    for label in LABELS:
        weights = events.genWeight * (1 + events.PuppiMET.pt / 100)
        expected = small.filled(ak.sum(scaled(events, label), axis=1), weights)
        np.testing.assert_allclose(got[label], expected, rtol=1e-6)


def test_a_configuration_without_channels_fills_nothing(few: Path) -> None:
    sums = small.run(few, small.config(systematics=[SCALE], channels=[]))
    assert (sums["n_events"], sums["n_kept"], sums["histograms"]) == (300, 0, {})


def test_a_baseline_guards_the_functions_behind_it(few: Path, events: ak.Array) -> None:
    quantity = observable("lead", lambda jets: jets.pt[:, 0], JETS)
    got = outcome(
        few,
        quantity,
        good_object_masks={"analysis": [good(60)]},
        baseline_selection=function(lambda jets: ak.num(jets) >= 1, JETS),
        selection=function(lambda jets: jets.pt[:, 0] > 90, JETS),
    )
    for label in LABELS:
        pt = scaled(events, label)
        pt = pt[pt > 60]
        lead = ak.fill_none(ak.firsts(pt), 0)
        kept = lead > 90
        small.same(got[label], small.filled(lead[kept], events.genWeight[kept]))
