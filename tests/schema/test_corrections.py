from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intccms.schema import Correction, ObjVar, Sys, UncertaintySource, load_config

Table = dict[str, Any]

PILEUP = {
    "name": "pileup",
    "type": "event",
    "file": "pu.json.gz",
    "key": "Collisions17",
    "use": [("Pileup", "nTrueInt")],
}
JEC = {
    "name": "jec",
    "type": "object",
    "use_correctionlib": False,
    "nominal_function": max,
    "target": ("Jet", "pt"),
    "args": [("Jet", "pt")],
}


def read(entry: Table, **more: Any) -> Correction:
    return Correction.model_validate({**entry, **more})


@pytest.fixture
def corrections(table: Table) -> list[Table]:
    """The corrections of 2017, to be changed in place."""
    found: list[Table] = table["corrections"]["2017"]
    return found


def test_the_older_spelling_passes_the_systematic_string_last() -> None:
    assert read(PILEUP).args == (ObjVar("Pileup", "nTrueInt"), Sys())


def test_the_older_spelling_has_one_source_of_the_correction_s_name() -> None:
    (source,) = read(PILEUP).uncertainty_sources
    assert (source.name, source.up_and_down_idx) == ("pileup", ("up", "down"))
    assert read(PILEUP).has_nominal


def test_the_older_spelling_names_its_indices_on_the_correction() -> None:
    (source,) = read(PILEUP, up_and_down_idx=["systup", "systdown"]).uncertainty_sources
    assert source.up_and_down_idx == ("systup", "systdown")


def test_the_older_spelling_without_indices_varies_nothing() -> None:
    assert read(PILEUP, up_and_down_idx=None).uncertainty_sources == ()


def test_the_older_spelling_calls_its_transformation_transform() -> None:
    assert read(PILEUP, transform=abs).transform_in is abs


def test_the_newer_spelling_keeps_its_sources() -> None:
    entry = {**PILEUP, "args": [Sys(), ("Pileup", "nTrueInt")]}
    del entry["use"]
    assert read(entry).uncertainty_sources == ()
    assert read(entry).args[0] == Sys()


def test_use_with_a_function_is_called_without_a_systematic_string() -> None:
    correction = read({**JEC, "use": [("Jet", "pt")], "args": None})
    assert correction.args == (ObjVar("Jet", "pt"),)
    assert correction.uncertainty_sources == ()


def test_a_function_with_indices_gets_the_systematic_string_last() -> None:
    correction = read({**JEC, "use": [("Jet", "pt")], "args": None}, up_and_down_idx=["u", "d"])
    assert correction.args == (ObjVar("Jet", "pt"), Sys())
    assert correction.uncertainty_sources[0].up_and_down_idx == ("u", "d")


def test_a_nominal_function_alone_means_no_correctionlib() -> None:
    entry = dict(JEC)
    del entry["use_correctionlib"]
    assert not read(entry).use_correctionlib


def test_the_defaults_are_those_of_the_reference() -> None:
    correction = read({**JEC, "op": None})
    assert (correction.op, correction.applies_to) == ("mult", "mc")
    assert (correction.nominal_idx, correction.reduce) == ("nominal", None)
    assert (correction.propagate_to, correction.resort) == (None, False)


def test_a_target_may_be_one_reference_or_several() -> None:
    assert read(JEC).target == (ObjVar("Jet", "pt"),)
    several = read(JEC, target=[("Jet", "pt"), ("Jet", "mass")])
    assert several.target == (ObjVar("Jet", "pt"), ObjVar("Jet", "mass"))


def test_use_in_diff_of_a_correction_is_ignored() -> None:
    assert read(PILEUP, use_in_diff=True) == read(PILEUP)


def test_a_systematic_is_a_correction_without_a_nominal_one(table: Table) -> None:
    table["systematics"] = [
        {
            "name": "jer",
            "type": "object",
            "target": ("Jet", "pt"),
            "use": [("Jet", "pt")],
            "up_function": max,
            "transform": abs,
            "symmetrise": True,
            "op": "add",
        }
    ]
    jer = load_config(table).corrections_for("2017")[-1]
    assert not jer.has_nominal
    assert (jer.name, jer.op, jer.transform_in) == ("jer", "add", abs)
    assert jer.args == (ObjVar("Jet", "pt"),)
    assert jer.uncertainty_sources == (
        UncertaintySource(name="jer", up_function=max, is_delta=True, symmetrise=True),
    )


def test_a_systematic_may_take_no_argument() -> None:
    jes = Correction.model_validate(
        {"name": "jes", "type": "object", "target": ("Jet", "pt"), "up_function": lambda: 1.03}
    )
    assert jes.args == ()


def test_a_systematic_may_have_a_down_function_only() -> None:
    entry = {"name": "x", "type": "event", "use": [("Jet", "pt")], "down_function": min}
    (source,) = Correction.model_validate(entry).uncertainty_sources
    assert (source.up_function, source.down_function) == (None, min)


def test_a_systematic_without_functions_is_refused(
    table: Table, refused: Callable[..., str]
) -> None:
    table["systematics"] = [{"name": "jer", "type": "object", "target": ("Jet", "pt")}]
    assert "functions for up and down" in refused(table)


def test_systematics_may_be_given_per_year(table: Table) -> None:
    entry = {"name": "x", "type": "event", "up_function": max}
    table["systematics"] = {"2017": [entry], "2018": []}
    config = load_config(table)
    assert [c.name for c in config.corrections_for("2017")] == ["jec", "btag", "x"]
    assert [c.name for c in config.corrections_for("2018")] == ["jec", "btag"]


def test_a_wrong_function_of_a_systematic_is_told_with_its_place(
    table: Table, refused: Callable[..., str]
) -> None:
    entry = {"name": "jer", "type": "object", "target": ("Jet", "pt"), "up_function": "smear"}
    table["systematics"] = [entry]
    assert refused(table) == "systematics.jer.up_function: should be callable, not 'smear'"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"file": None}, "corrections.2017.btag.file: give 'file' and 'key'"),
        ({"key": None}, "corrections.2017.btag.key: which correction of"),
        ({"type": "jet"}, "corrections.2017.btag.type: should be 'event' or 'object', not 'jet'"),
        ({"op": "div"}, "corrections.2017.btag.op: should be 'mult', 'add' or 'subtract'"),
        ({"reduce": "mean"}, "corrections.2017.btag.reduce: should be 'prod' or 'sum'"),
        ({"applies_to": "all"}, "corrections.2017.btag.applies_to: should be"),
        ({"target": ("Jet", "pt")}, "corrections.2017.btag.target: this is for object"),
        ({"propagate_to": "MET"}, "corrections.2017.btag.propagate_to: this is for object"),
        ({"resort": True}, "corrections.2017.btag.resort: this is for object"),
        ({"nominal_function": max, "use_correctionlib": True}, "btag.nominal_function: it is"),
        ({"args": "pt"}, "corrections.2017.btag.args: a list of references"),
        ({"args": [Sys(), Sys()]}, "corrections.2017.btag.args: there is at most one Sys()"),
        ({"use": [("Jet", "pt")]}, "corrections.2017.btag.use: 'args' is another spelling"),
        ({"transform_in": 3}, "corrections.2017.btag.transform_in: should be callable, not 3"),
        ({"up_and_down": []}, "unknown key 'up_and_down'; did you mean 'up_and_down_idx'?"),
    ],
)
def test_a_wrong_correction_is_told_in_one_line(
    table: Table,
    corrections: list[Table],
    refused: Callable[..., str],
    changes: Table,
    wanted: str,
) -> None:
    corrections[1] |= changes
    assert wanted in refused(table)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"target": None}, "corrections.2017.jec.target: an object correction needs one"),
        ({"target": ("Jet", None)}, "corrections.2017.jec.target: 'Jet' without a column"),
        (
            {"nominal_function": None, "uncertainty_sources": []},
            "corrections.2017.jec: neither a nominal correction nor an uncertainty source",
        ),
    ],
)
def test_a_wrong_object_correction_is_told_in_one_line(
    table: Table,
    corrections: list[Table],
    refused: Callable[..., str],
    changes: Table,
    wanted: str,
) -> None:
    corrections[0] |= changes
    assert refused(table).startswith(wanted)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({"key": "JES"}, "uncertainty_sources.s.key: the correction has no 'file'"),
        ({}, "uncertainty_sources.s: nothing varies"),
        ({"args": [("Jet", "pt")]}, "uncertainty_sources.s: nothing varies"),
        ({"up_function": max, "varies_with": ["x"]}, "s.varies_with: only a weight can move"),
        ({"up_and_down_idx": ["up"]}, "s.up_and_down_idx: this list has the wrong number"),
        ({"up_and_down_idx": ["a", "b", "c"]}, "s.up_and_down_idx: this list has the wrong"),
        ({"is_delta": "yes"}, "s.is_delta: should be True or False, not 'yes'"),
        ({"funtion": max}, "unknown key 'funtion'; did you mean"),
        ({"up_function": max, "name": "nominal"}, "no uncertainty source is called 'nominal'"),
    ],
)
def test_a_wrong_source_is_told_in_one_line(
    table: Table,
    corrections: list[Table],
    refused: Callable[..., str],
    source: Table,
    wanted: str,
) -> None:
    corrections[0]["uncertainty_sources"] = [{"name": "s", **source}]
    message = refused(table)
    assert message.startswith("corrections.2017.jec.uncertainty_sources.")
    assert wanted in message


def test_a_key_may_be_left_to_the_sources() -> None:
    correction = Correction.model_validate(
        {
            "name": "jes",
            "type": "object",
            "file": "jec.json",
            "target": ("Jet", "pt"),
            "args": [("Jet", "eta"), ("Jet", "pt")],
            "uncertainty_sources": [{"name": "jesTotal", "key": "Total", "is_delta": True}],
        }
    )
    assert not correction.has_nominal
