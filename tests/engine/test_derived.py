from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.analysis_tools import PackedSelection

from intccms.engine.derived import against, without
from intccms.fingerprint.digest import fingerprint
from intccms.schema.physics import Channel, Observable

MET = np.array([10.0, 60.0, 90.0, 20.0])
N_JETS = np.array([2, 0, 3, 1])


def selection(met: Any, n_jets: Any, least: float = 50.0) -> PackedSelection:
    packed = PackedSelection()
    packed.add("met", np.asarray(met) > least)
    packed.add("jets", np.asarray(n_jets) > 1)
    packed.add("all", packed.all("met", "jets"))
    return packed


CHANNEL = {
    "name": "sr",
    "observables": [],
    "selection": {
        "function": selection,
        "use": [("MET", "pt"), ("event", "nJet")],
        "static_kwargs": {"least": 15.0},
    },
}


def mask(function: Any, **kwargs: Any) -> list[bool]:
    packed = function(MET, N_JETS, **kwargs)
    return packed.all(packed.names[-1]).tolist()


def test_a_channel_without_a_cut_keeps_what_only_that_cut_removes() -> None:
    found = without(CHANNEL, "met")
    assert mask(selection) == [False, False, True, False]
    assert mask(found["selection"]["function"]) == [True, False, True, False]
    assert found["selection"]["function"](MET, N_JETS).names == ["jets", "without met"]


def test_all_cuts_can_be_left_out() -> None:
    assert mask(without(CHANNEL, "met", "jets")["selection"]["function"]) == [True] * 4


def test_a_channel_without_a_cut_is_a_channel_with_the_same_inputs() -> None:
    channel = Channel.model_validate(without({**CHANNEL, "fit_observable": "m"}, "jets"))
    assert (channel.name, channel.fit_observable) == ("sr_without_jets", None)
    assert channel.selection is not None
    assert channel.selection.static_kwargs == {"least": 15.0}
    assert mask(channel.selection.function, least=15.0) == [False, True, True, True]


def test_an_unknown_cut_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no cut 'mett' to leave out.*'met'"):
        without(CHANNEL, "mett")["selection"]["function"](MET, N_JETS)


def test_a_plain_mask_has_no_cut_to_leave_out() -> None:
    channel = {**CHANNEL, "selection": {"function": lambda met: met > 50, "use": [("MET", "pt")]}}
    with pytest.raises(ValueError, match="PackedSelection"):
        without(channel, "met")["selection"]["function"](MET)


def test_a_condition_without_a_name_is_refused() -> None:
    def hides_one(met: Any) -> PackedSelection:
        packed = PackedSelection()
        packed.add("met", met > 50)
        packed.add("all", met > 70)
        return packed

    channel = {**CHANNEL, "selection": {"function": hides_one, "use": [("MET", "pt")]}}
    with pytest.raises(ValueError, match=r"'all' is not all of \['met'\] together"):
        without(channel, "met")["selection"]["function"](MET)


def test_two_observables_become_bins_of_a_plane_row_by_row() -> None:
    horizontal = {"name": "x", "binning": [0.0, 20.0, 100.0], "function": lambda met: met,
                  "use": [("MET", "pt")]}  # fmt: skip
    vertical = {"name": "y", "label": "$y$", "binning": "0,3,3", "function": lambda a, b: a * b,
                "use": [("event", "nJet"), ("event", "one")], "static_kwargs": {}}  # fmt: skip
    entry = Observable.model_validate(against(vertical, horizontal))
    assert entry.name == "y_against_x"
    assert entry.binning == tuple(range(7))
    assert [ref.obj for ref in entry.use] == ["MET", "event", "event"]
    assert entry.function.labels == ("x", "$y$")
    bins = entry.function(ak.Array(MET), ak.Array(N_JETS), np.ones(4))
    # (10, 2): row 2, column 0; (60, 0): row 0, column 1; (90, 3): above; (20, 1): row 1, column 1
    assert bins.tolist() == [4.0, 1.0, -1.0, 3.0]


def test_a_value_that_is_not_a_number_is_refused_in_a_plane_too() -> None:
    one = {"name": "x", "binning": "0,1,2", "function": lambda met: met, "use": [("MET", "pt")]}
    plane = against({**one, "name": "y"}, one)["function"]
    with pytest.raises(ValueError, match="not a number"):
        plane(np.array([np.nan]), np.array([0.5]))


def test_what_is_derived_has_the_same_fingerprint_in_every_process() -> None:
    one, two = (fingerprint(without(CHANNEL, "met")["selection"]["function"]) for _ in range(2))
    assert one == two
    assert not one.unstable
    assert one != fingerprint(without(CHANNEL, "jets")["selection"]["function"])
