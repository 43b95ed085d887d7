"""Shares of jets that are carried into the MET, and columns made for masks: against plain loops."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.errors import ConfigError, MissingColumnError
from intccms.schema import load_config
from tests.engine import small
from tests.engine.conftest import make_events, write_file
from tests.engine.small import channel, function, observable

FINE = [-1e30, *np.linspace(0, 300, 61), 1e30]
COLLECTIONS = {"Jet": "pt", "CorrT1METJet": "rawPt"}  # which coffea calls pt
LABELS = ("nominal", "jes_up", "jes_down")


def share(pt: Any, muons: Any) -> Any:
    return (1.0 - muons) * (1.05 * pt * (1.0 - muons) > 30)


def scale(eta: Any) -> Any:
    return 1.05 + 0.02 * eta


def corrections(name: str) -> list[dict[str, Any]]:
    """What is carried is a share that the first correction finds, of the second's change."""
    common = {"type": "object", "use_correctionlib": False}
    muons, eta = (name, "muonSubtrFactor"), (name, "eta")
    counted = {
        **common,
        "name": f"{name}_share",
        "target": (name, "type1"),
        "args": [(name, "pt"), muons],
        "nominal_function": share,
    }
    scaled = {
        **common,
        "name": f"{name}_scale",
        "target": (name, "pt"),
        "args": [eta],
        "nominal_function": scale,
        "propagate_to": "PuppiMET",
        "propagate_share": (name, "type1"),
        "uncertainty_sources": [
            {
                "name": "jes",
                "up_function": lambda eta: 1.0 + 0.1 * abs(eta),
                "down_function": lambda eta: 1.0 - 0.1 * abs(eta),
                "is_delta": True,
            }
        ],
    }
    return [counted, scaled]


CONFIG = small.config(
    corrections=[one for name in COLLECTIONS for one in corrections(name)],
    channels=[
        channel(
            "all",
            [
                observable("met", lambda pt: pt, ("PuppiMET", "pt"), edges=FINE),
                observable("phi", lambda phi: 100 * phi, ("PuppiMET", "phi"), edges=FINE),
            ],
        )
    ],
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A file with jets of both collections, and its events."""
    events, rng = make_events(300, seed=8), np.random.default_rng(5)

    def with_muons(jets: ak.Array) -> ak.Array:
        values = rng.choice([0.0, 0.0, 0.3], len(ak.flatten(jets.eta))).astype("f4")
        return ak.with_field(jets, ak.unflatten(values, ak.num(jets.eta)), "muonSubtrFactor")

    events["Jet"] = with_muons(events["Jet"])
    low = events["Jet"][:, ::-1]
    columns = {"rawPt": low.pt - 15, "eta": low.eta, "phi": -low.phi}
    events["CorrT1METJet"] = with_muons(ak.zip(columns))
    names = [*COLLECTIONS, "PuppiMET_pt", "PuppiMET_phi", "genWeight"]
    content = ak.to_list(ak.zip({name: events[name] for name in names}, depth_limit=1))
    return write_file(tmp_path_factory.mktemp("type1") / "type1.root", events), content


def looped(events: list[dict[str, Any]], label: str) -> tuple[list[float], list[float]]:
    """One event, one collection and one jet after the other, stored in 32 bits."""
    sign = {"nominal": 0.0, "jes_up": 1.0, "jes_down": -1.0}[label]
    sizes, angles = [], []
    for event in events:
        met, phi = event["PuppiMET_pt"], event["PuppiMET_phi"]
        for name, column in COLLECTIONS.items():
            moves = [lambda eta: 1.05 + 0.02 * eta, lambda eta: 1.0 + sign * 0.1 * abs(eta)]
            jets = [{**jet, "now": jet[column]} for jet in event[name]]
            for move in moves if sign else moves[:1]:
                px, py, moved = met * math.cos(phi), met * math.sin(phi), False
                for jet in jets:
                    left = 1 - jet["muonSubtrFactor"]
                    counts = left if 1.05 * jet[column] * left > 30 else 0.0
                    new = float(np.float32(jet["now"] * move(jet["eta"])))
                    px -= counts * (new - jet["now"]) * math.cos(jet["phi"])
                    py -= counts * (new - jet["now"]) * math.sin(jet["phi"])
                    moved, jet["now"] = moved or counts > 0, new
                if moved:
                    met, phi = (float(np.float32(x)) for x in (math.hypot(px, py),
                                                               math.atan2(py, px)))  # fmt: skip
        sizes.append(met)
        angles.append(100 * phi)
    return sizes, angles


@pytest.mark.parametrize("label", LABELS)
def test_a_share_of_each_change_is_carried_as_in_a_plain_loop(
    made: tuple[Path, list[dict[str, Any]]], label: str
) -> None:
    sums, events = small.run(made[0], CONFIG), made[1]
    weights = [event["genWeight"] for event in events]
    for name, values in zip(("met", "phi"), looped(events, label), strict=True):
        got = small.templates(sums, "all", name)
        small.same(got[label], small.filled(values, weights, FINE))
        assert label == "nominal" or not np.array_equal(got[label], got["nominal"])


def test_chunks_give_the_same_bits(made: tuple[Path, list[dict[str, Any]]]) -> None:
    path, processor = made[0], small.processor(CONFIG)
    whole = processor.process(small.chunk(path))["histograms"]["all", "met"].rounded()
    parts = [processor.process(small.chunk(path, a, a + 75)) for a in range(0, 300, 75)]
    added = parts[0]["histograms"]["all", "met"]
    for part in parts[1:]:
        added = added + part["histograms"]["all", "met"]
    for label, (sumw, sumw2) in added.rounded().items():
        assert np.array_equal(sumw, whole[label][0])
        assert np.array_equal(sumw2, whole[label][1])


def test_masks_and_selections_read_columns_that_corrections_make(few: Path) -> None:
    common = {"type": "object", "use_correctionlib": False}
    made = [
        {
            **common,
            "name": "central",
            "target": ("Jet", "central"),
            "args": [("Jet", "eta")],
            "nominal_function": lambda eta: abs(eta) < 1,
        },
        {
            **common,
            "name": "quiet",
            "target": ("PuppiMET", "quiet"),
            "args": [("Jet", "pt"), ("PuppiMET", "pt")],
            "nominal_function": lambda pt, met: ak.all(pt < 100, axis=1),
        },
    ]
    mask = {"object": "Jet", **function(lambda flag: flag > 0, ("Jet", "central"))}
    number = observable("n", lambda pt: ak.num(pt, axis=1), ("Jet", "pt"), edges=[0, 1, 2, 3, 9])
    chosen = function(lambda flag: flag > 0, ("PuppiMET", "quiet"))
    parts = {"corrections": made, "good_object_masks": {"analysis": [mask]}}
    got = small.outcome(few, small.config(**parts, channels=[channel("all", [number], chosen)]))
    events = small.load([few])
    counts, weights = [], []
    for jets, weight in zip(ak.to_list(events.Jet), events.genWeight, strict=True):
        if all(jet["pt"] < 100 for jet in jets):
            counts.append(sum(abs(jet["eta"]) < 1 for jet in jets))
            weights.append(weight)
    small.same(got["nominal"], small.filled(counts, weights, [0, 1, 2, 3, 9]))


def test_a_column_that_nothing_reads_is_not_made(few: Path) -> None:
    wrong = {
        **{"name": "wrong", "type": "object", "use_correctionlib": False},
        "target": ("Jet", "ptt"),
        "args": [("Jet", "pt")],
        "nominal_function": lambda pt: 2 * pt,
    }
    with pytest.raises(MissingColumnError, match="ptt"):
        small.run(few, small.config(corrections=[wrong]))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"propagate_to": None}, "propagate_share: of what"),
        ({"propagate_share": ("Muon", "type1")}, "a column of the collection"),
        ({"propagate_share": ("Jet", None)}, "a column of the collection"),
    ],
)
def test_a_share_is_a_column_of_what_is_changed(change: dict[str, Any], text: str) -> None:
    scaled = corrections("Jet")[-1] | change
    with pytest.raises(ConfigError, match=text):
        load_config(small.config(corrections=[scaled]))
