from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from intccms.schema import Channel, DerivedColumn, ObjectMasks, Observable, load_config

Table = dict[str, Any]


def ghost(**settings: Any) -> DerivedColumn:
    return DerivedColumn.model_validate({"function": len, "use": [("Jet", None)], **settings})


def test_the_collections_of_masks_are_optional() -> None:
    assert ObjectMasks.model_validate({"mva": None}) == ObjectMasks()


def test_a_mask_knows_its_collection(table: Table) -> None:
    assert load_config(table).good_object_masks.analysis[0].object == "Muon"


def test_one_collection_holds_for_all_names() -> None:
    assert ghost(names=("a", "b"), collections="mva").collections == ("mva", "mva")


def test_one_ghost_may_be_named_by_a_string() -> None:
    one = ghost(names="a", collections="mva")
    assert (one.names, one.collections) == (("a",), ("mva",))


def test_each_ghost_may_have_its_collection() -> None:
    assert ghost(names=["a", "b"], collections=["x", "y"]).collections == ("x", "y")


@pytest.mark.parametrize(("names", "collections"), [(("a", "b"), ("x",)), ("a", ("x", "y"))])
def test_names_and_collections_of_ghosts_have_one_length(
    table: Table, refused: Callable[..., str], names: object, collections: object
) -> None:
    table["ghost_observables"][0] |= {"names": names, "collections": collections}
    message = refused(table)
    assert message.startswith("ghost_observables.0: ")
    assert "names but" in message


def test_a_ghost_column_is_made_once(table: Table, refused: Callable[..., str]) -> None:
    table["ghost_observables"] *= 2
    assert "'top.mass' is made twice" in refused(table)


def test_an_observable_is_labelled_by_its_name() -> None:
    observable = {"name": "mtt", "binning": "0,1,2", "function": len}
    assert Observable.model_validate(observable).label == "mtt"
    assert Observable.model_validate({**observable, "label": None}).label == "mtt"
    assert Observable.model_validate({**observable, "label": "$m$"}).label == "$m$"


def test_a_numpy_array_of_edges_is_read() -> None:
    edges = np.linspace(0, 1, 3)
    observable = Observable.model_validate({"name": "x", "binning": edges, "function": len})
    assert observable.binning == (0.0, 0.5, 1.0)


def test_edges_of_a_list_are_kept(table: Table) -> None:
    assert load_config(table).channels[0].observables[1].binning == (0.0, 10.0, 100.0)


def test_a_channel_may_select_everything_and_fit_nothing() -> None:
    channel = Channel.model_validate({"name": "all", "observables": [], "selection": None})
    assert channel.selection is None
    assert channel.fit_observable is None


def test_use_in_diff_of_a_channel_is_noted_and_ignored(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    table["channels"][0]["use_in_diff"] = True
    load_config(table)
    assert caplog.messages == ["'use_in_diff' is read and ignored (first in channels.SR, 1 in all)"]


def test_the_fit_observable_is_one_of_the_channel(
    table: Table, refused: Callable[..., str]
) -> None:
    table["channels"][0]["fit_observable"] = "mt"
    assert refused(table) == (
        "channels.SR.fit_observable: 'mt' is not an observable of channel 'SR'; did you mean 'mtt'?"
    )


def test_observables_of_a_channel_have_different_names(
    table: Table, refused: Callable[..., str]
) -> None:
    table["channels"][0]["observables"] *= 2
    assert "two observables of channel 'SR' are called 'mtt'" in refused(table)


def test_channels_have_different_names(table: Table, refused: Callable[..., str]) -> None:
    table["channels"] *= 2
    assert refused(table) == "channels: two entries are called 'SR'"


@pytest.mark.parametrize("binning", ["200,3000", [3, 2, 1], "3000,200,20", 7])
def test_a_wrong_binning_is_told_with_its_place(
    table: Table, refused: Callable[..., str], binning: object
) -> None:
    table["channels"][0]["observables"][0]["binning"] = binning
    assert refused(table).startswith("channels.SR.observables.mtt.binning: ")


@pytest.mark.parametrize("name", ["a/b", "", " "])
def test_a_name_can_stand_in_a_path(table: Table, refused: Callable[..., str], name: str) -> None:
    table["channels"][0]["name"] = name
    assert "holds no '/'" in refused(table)
