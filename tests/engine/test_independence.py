"""`general.check_functors` finds functions that mix events, and names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.analysis_tools import PackedSelection

from intccms.errors import FunctionError
from tests.engine.small import channel, config, function, observable, outcome, same

MET = ("PuppiMET", "pt")
JET = ("Jet", "pt")
CHECKED = {"general": {"check_functors": True}}


def above_mean(pt: ak.Array) -> ak.Array:
    return pt > ak.mean(pt)


def packed(pt: ak.Array) -> PackedSelection:
    selection = PackedSelection()
    selection.add("hard", pt > 1)
    selection.add("harder_than_most", above_mean(pt))
    return selection


def over_largest(pt: ak.Array) -> ak.Array:
    return pt / ak.max(pt)


def correction(kind: str, **more: Any) -> dict[str, Any]:
    return {"name": "mixed", "type": kind, "use_correctionlib": False, "args": [MET], **more}


MIXING: dict[str, tuple[str, dict[str, Any]]] = {
    "skim": (
        "preprocess.skimming",
        {"preprocess": {"skimming": {**function(above_mean, MET), "chunk_size": 1000}}},
    ),
    "mask": (
        r"good_object_masks\.analysis\[0\] \(Jet\)",
        {"good_object_masks": {"analysis": [{"object": "Jet", **function(above_mean, JET)}]}},
    ),
    "baseline": (
        r"baseline_selection \(harder_than_most\)",
        {"baseline_selection": function(packed, MET)},
    ),
    "ghost": (
        r"ghost_observables\[0\]",
        {"ghost_observables": [{"names": "a", "collections": "b", **function(over_largest, MET)}]},
    ),
    "channel": (
        r"channels\.all",
        {
            "channels": [
                channel("all", [observable("met", lambda pt: pt, MET)], function(packed, MET))
            ]
        },
    ),
    "observable": (
        r"channels\.all\.x",
        {"channels": [channel("all", [observable("x", over_largest, MET)])]},
    ),
    "weight": (
        "correction 'mixed'",
        {"corrections": [correction("event", nominal_function=over_largest)]},
    ),
    "object correction": (
        "correction 'mixed'",
        {"corrections": [correction("object", target=MET, nominal_function=over_largest)]},
    ),
    "source": (
        "correction 'mixed', source 'wrong'",
        {
            "corrections": [
                correction(
                    "object",
                    target=MET,
                    uncertainty_sources=[{"name": "wrong", "up_function": over_largest}],
                )
            ]
        },
    ),
}


@pytest.mark.parametrize("where", MIXING)
def test_a_function_that_mixes_events_is_named_with_its_key(few: Path, where: str) -> None:
    key, parts = MIXING[where]
    with pytest.raises(FunctionError, match=f"{key}.*other events are in the array"):
        outcome(few, config(**parts, **CHECKED))


def test_without_the_check_it_runs(few: Path) -> None:
    outcome(few, config(**MIXING["observable"][1]))


def test_functions_that_treat_events_alone_give_what_they_give_unchecked(few: Path) -> None:
    parts = {
        "baseline_selection": function(lambda pt: ak.num(pt) > 0, JET),
        "ghost_observables": [
            {"names": ("a", "b"), "collections": "c", **function(lambda pt: (pt, 2 * pt), MET)}
        ],
        "channels": [channel("all", [observable("x", lambda pt: pt[:, 0], JET)])],
        "corrections": [correction("event", nominal_function=lambda pt: 1 + pt / 1000)],
        "systematics": [
            {
                "name": "constant",
                "type": "event",
                "op": "mult",
                "up_function": lambda: 1.1,
                "down_function": lambda: 0.9,
            }
        ],
    }
    plain, checked = outcome(few, config(**parts)), outcome(few, config(**parts, **CHECKED))
    assert plain.keys() == checked.keys()
    for label, template in plain.items():
        same(checked[label], template)


def test_a_factor_of_another_length_names_the_correction_and_both_types(few: Path) -> None:
    wrong = correction("object", target=MET, nominal_function=lambda pt: pt[:-1])
    with pytest.raises(FunctionError, match=r"'mixed' changes PuppiMET.pt.*300 \* .*299 \*"):
        outcome(few, config(corrections=[wrong]))


def test_a_weight_that_is_not_a_number_names_correction_and_source(few: Path) -> None:
    def bad(pt: ak.Array) -> ak.Array:
        return pt * np.nan

    wrong = correction("event", uncertainty_sources=[{"name": "up", "up_function": bad}])
    with pytest.raises(FunctionError, match="'mixed', source 'up': 300 of 300 .*not finite"):
        outcome(few, config(corrections=[wrong]))


def test_a_function_that_draws_random_numbers_is_left_out(few: Path) -> None:
    def smeared(pt: ak.Array) -> ak.Array:
        return pt * np.random.normal(1, 0.1, len(pt))  # noqa: NPY002

    parts = {"channels": [channel("all", [observable("x", smeared, MET)])]}
    outcome(few, config(**parts, **CHECKED))
