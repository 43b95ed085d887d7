"""What a function is given all functions see: it cannot be written to, wherever it is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numba
import numpy as np
import pytest

from intccms.errors import FunctionError
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from tests.engine import small
from tests.engine.small import channel, function, observable

MET, JET_PT, JETS = ("PuppiMET", "pt"), ("Jet", "pt"), ("Jet", None)
Write = Callable[[Any], Any]


def clipped(array: Any) -> Any:
    values = ak.to_numpy(ak.flatten(array, axis=None))
    values[values > 50] = 50
    return array


def out_of_ufunc(array: Any) -> Any:
    values = np.asarray(ak.flatten(array, axis=None))
    np.minimum(values, 50, out=values)
    return array


def in_place(array: Any) -> Any:
    values = ak.to_numpy(ak.flatten(array, axis=None))
    values *= 2
    return array


def in_layout(array: Any) -> Any:
    layout = array.layout
    while not layout.is_numpy:
        layout = layout.content
    np.asarray(layout.data)[:] = 0
    return array


def sorted_in_place(array: Any) -> Any:
    ak.to_numpy(ak.flatten(array, axis=None)).sort()
    return array


@numba.njit(cache=False)
def zeroed(values):  # noqa: ANN001, ANN201 - as users write them
    for i in range(len(values)):
        values[i] = 0


def by_numba(array: Any) -> Any:
    zeroed(ak.to_numpy(ak.flatten(array, axis=None)))
    return array


WAYS: dict[str, Write] = {
    one.__name__: one
    for one in (clipped, out_of_ufunc, in_place, in_layout, sorted_in_place, by_numba)
}


def yes(values: Any) -> Any:
    return values == values


def correction(**functions: Any) -> dict[str, Any]:
    return {
        "corrections": [
            {
                "name": "sf",
                "type": "event",
                "use": [MET],
                "op": "mult",
                "nominal_function": lambda pt: 1.0 + 0 * pt,
                **functions,
            }
        ]
    }


def places(write: Write) -> dict[str, tuple[str, dict[str, Any]]]:
    """Everywhere that a function can stand, with what its error must name."""

    def keep(values: Any) -> Any:
        return yes(write(values))

    met = observable("met", lambda pt: pt, MET)
    source = {"name": "unc", "up_function": write}
    ghost = {"names": "new", "collections": "PuppiMET", **function(write, MET)}
    masks = {"analysis": [{"object": "Jet", **function(keep, JET_PT)}]}
    skim = {"chunk_size": 1000, **function(keep, MET)}
    return {
        "skim": ("preprocess.skimming", {"preprocess": {"skimming": skim}}),
        "mask": ("good_object_masks", {"good_object_masks": masks}),
        "baseline": ("baseline_selection", {"baseline_selection": function(keep, MET)}),
        "ghost": ("ghost_observables", {"ghost_observables": [ghost]}),
        "channel": ("channels.all", {"channels": [channel("all", [met], function(keep, MET))]}),
        "observable": (
            "channels.all.met",
            {"channels": [channel("all", [observable("met", write, MET)])]},
        ),
        "transform_in": ("correction 'sf'", correction(transform_in=write)),
        "nominal_function": ("correction 'sf'", correction(nominal_function=write)),
        "up_function": ("correction 'sf'", correction(uncertainty_sources=[source])),
    }


@pytest.mark.parametrize("place", places(clipped))
@pytest.mark.parametrize("way", WAYS)
def test_a_write_is_refused_where_it_happens(few: Path, place: str, way: str) -> None:
    key, parts = places(WAYS[way])[place]
    with pytest.raises(
        FunctionError, match=r"other functions see the same array.*np\.array\(x\)"
    ) as e:
        small.run(few, small.config(**parts))
    assert key in str(e.value)


def test_the_lumi_mask_cannot_write_either(few: Path) -> None:
    mask = function(lambda run: yes(clipped(run)), ("event", "run"))
    with pytest.raises(FunctionError, match="lumi_mask.*read-only"):
        small.run(few, small.config(), is_data=True, weight_branch=None, lumi_mask=mask)


def writes_copies(pt: Any) -> Any:
    values = np.array(pt)
    values[values > 50] = 50
    return values


def writes_what_it_made(pt: Any) -> Any:
    values = ak.to_numpy(pt * 1)
    values[values > 50] = 50
    return values


def writes_what_it_masked(pt: Any) -> Any:
    values = ak.to_numpy(pt[pt > -1])
    values[values > 50] = 50
    return values


@numba.njit("float64[:](float32[:])", cache=False)
def declared(values):  # noqa: ANN001, ANN201
    return np.minimum(values.astype(np.float64), 50)


def by_declared_types(pt: Any) -> Any:
    return declared(np.asarray(pt))


@pytest.mark.parametrize(
    "call", [writes_copies, writes_what_it_made, writes_what_it_masked, by_declared_types]
)
def test_what_is_its_own_a_function_may_write_to(few: Path, call: Write) -> None:
    quantities = [observable("one", call, MET), observable("two", lambda pt: pt, MET)]
    sums = small.run(few, small.config(channels=[channel("all", quantities)]))
    events = small.load([few])
    pt, weight = events.PuppiMET.pt, events.genWeight
    for name, values in (("one", np.minimum(pt, 50)), ("two", pt)):
        small.same(small.templates(sums, "all", name)["nominal"], small.filled(values, weight))


def sets_a_field(jets: Any, weights: Any = 1.0) -> Any:
    jets["pt"] = jets.pt * 0
    return ak.sum(jets.pt, axis=1)


def test_a_field_that_a_function_sets_is_seen_by_itself_alone(few: Path) -> None:
    scale = {
        "name": "scale",
        "type": "event",
        "use": [JETS],
        "op": "mult",
        "nominal_function": lambda jets: 1.0 + sets_a_field(jets),
    }
    quantity = observable("ht", lambda jets: ak.sum(jets.pt, axis=1), JETS)
    first = observable("none", sets_a_field, JETS)
    sums = small.run(
        few, small.config(corrections=[scale], channels=[channel("all", [first, quantity])])
    )
    events = small.load([few])
    got = small.templates(sums, "all", "ht")["nominal"]
    small.same(got, small.filled(ak.sum(events.Jet.pt, axis=1), events.genWeight))


def writes_counts(jets: Any) -> Any:
    n = ak.to_numpy(ak.num(jets))
    n[:] = 0
    return n


def writes_strings_beside(values: Any) -> Any:
    layout = values.layout
    np.asarray(layout.content.data)[:] = 0
    return np.zeros(len(values))


@pytest.mark.parametrize("tag", ["records", "numbers of objects", "strings"])
def test_other_arrays_are_shared_too(few: Path, tag: str) -> None:
    words = {
        "names": "word",
        "collections": "tags",
        **function(lambda pt: ak.Array(["a"] * len(pt)), MET),
    }
    call, use = {
        "records": (lambda jets: clipped(jets.eta), JETS),
        "numbers of objects": (writes_counts, JETS),
        "strings": (writes_strings_beside, ("tags", "word")),
    }[tag]
    quantity = observable("met", call, use)
    with pytest.raises(FunctionError, match="other functions see the same array"):
        small.run(
            few, small.config(channels=[channel("all", [quantity])], ghost_observables=[words])
        )


def test_no_column_of_a_file_can_be_written_to(few: Path) -> None:
    source = open_source(str(few), "Events")
    events = source.events(0, 100, ReadMeter(), {"dataset": "mc"})
    jets = events["Jet"]
    for array in (jets.pt, events["genWeight"], jets.pt[3:50], events["Muon"].tightId):
        values = ak.to_numpy(ak.flatten(array, axis=None))
        with pytest.raises(ValueError, match="read-only"):
            values[:] = 0
