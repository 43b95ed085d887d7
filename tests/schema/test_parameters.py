"""Keyword-only arguments of functions are settings: they have names, defaults and kinds."""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.schema import Config, load_config
from intccms.schema.base import parameters_of

KEY = "channels.all.selection"


def selection(
    met: Any, *, met_min: float = 50.0, n_jets: int = 2, mode: str = "tight", cut: Any = print
) -> Any:
    return (met > met_min, n_jets, mode, cut)


def open_ended(met: Any, **settings: Any) -> Any:
    return met > settings["anything"]


def loaded(overrides: Any = (), function: Any = selection, **static: Any) -> Config:
    use = {"function": function, "use": [("MET", "pt")], "static_kwargs": static}
    channel = {"name": "all", "observables": [], "selection": use}
    dataset = {"name": "mc", "directories": "mc/", "cross_sections": 1.0}
    table = {
        "general": {"lumi": 1.0, "weight_branch": "genWeight"},
        "datasets": {"datasets": [dataset]},
        "channels": [channel],
    }
    return load_config(table, overrides)


def given(config: Config) -> dict[str, Any]:
    chosen = config.channels[0].selection
    assert chosen is not None
    return chosen.static_kwargs


DEFAULTS = {"met_min": 50.0, "n_jets": 2, "mode": "tight"}


def test_defaults_stand_in_the_configuration() -> None:
    assert parameters_of(selection) == DEFAULTS
    assert given(loaded()) == DEFAULTS
    dumped = loaded().dump()["channels"][0]["selection"]["static_kwargs"]
    assert dumped == DEFAULTS


def test_what_is_given_wins_over_defaults_and_overrides_over_both() -> None:
    assert given(loaded(met_min=60.0)) == DEFAULTS | {"met_min": 60.0}
    for key in (f"{KEY}.met_min", f"{KEY}.static_kwargs.met_min"):
        found = given(loaded([f"{key}=70"], met_min=60.0))
        assert found == DEFAULTS | {"met_min": 70.0}
        assert type(found["met_min"]) is float  # 70 and 70.0 are one result


def test_of_a_partial_and_a_callable_object_too() -> None:
    class Cut:
        def __call__(self, met: Any, *, met_min: float = 1.0) -> Any:
            return met > met_min

    assert given(loaded(function=partial(selection, n_jets=4)))["n_jets"] == 4
    assert given(loaded([f"{KEY}.met_min=2"], function=Cut())) == {"met_min": 2.0}


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("met_mn=60", "unknown key 'met_mn'; did you mean 'met_min'"),
        ("static_kwargs.met_mn=60", "has no argument 'met_mn'; did you mean 'met_min'"),
        ("met_min=sixty", "met_min: should be a number, as its default is, not 'sixty'"),
        ("met_min=True", "should be a number"),
        ("n_jets=2.5", "should be a whole number"),
        ("mode=3", "should be text"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(override: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        loaded([f"{KEY}.{override}"])


def test_a_function_that_takes_anything_is_given_it() -> None:
    assert given(loaded(function=open_ended, anything=3)) == {"anything": 3}
    assert given(loaded([f"{KEY}.static_kwargs.other=1"], function=open_ended)) == {"other": 1}


def test_functions_of_numpy_and_awkward_have_no_settings() -> None:
    assert given(loaded(function=np.sqrt)) == {}
    assert given(loaded(function=partial(ak.num, axis=1))) == {}
    assert given(loaded(function=ak.num, axis=1)) == {"axis": 1}


def test_a_decorator_may_take_more_than_what_it_wraps() -> None:
    @wraps(selection)
    def scaled(*arrays: Any, scale: float = 1.0, **settings: Any) -> Any:
        return selection(*(scale * one for one in arrays), **settings)

    assert given(loaded(function=scaled, scale=2.0)) == DEFAULTS | {"scale": 2.0}
    assert given(loaded([f"{KEY}.met_min=60"], function=scaled))["met_min"] == 60.0


def test_both_examples_name_their_cuts() -> None:
    opendata = load_config(
        "example_opendata.configs.configuration:config",
        ["channels.CMS_WORKSHOP.selection.met_min=60", "preprocess.skimming.met_min=55"],
    )
    assert given(opendata) == {"met_min": 60.0, "lepton_ht_min": 150.0}
    skim = opendata.preprocess.skimming.selection
    assert skim is not None
    assert skim.static_kwargs == {"met_min": 55.0}
    cms = load_config("example_cms.configs.configuration:config")
    for channel in cms.channels:
        assert channel.selection is not None
        assert channel.selection.static_kwargs["met_min"] == 50.0
