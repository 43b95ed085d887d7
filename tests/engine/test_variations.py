from __future__ import annotations

from typing import Any

import pytest

from intccms.engine.objects import overlaps
from intccms.engine.variations import VariationPlan, plan_variations
from intccms.schema import ObjVar, load_config
from tests.engine import small


def planned(*corrections: dict[str, Any], process: str = "mc", **about: Any) -> VariationPlan:
    general = about.pop("general", {})
    config = load_config(small.config(corrections=list(corrections), general=general))
    return plan_variations(config, process, **{"year": None, "is_data": False, **about})


def weight(name: str = "w", **fields: Any) -> dict[str, Any]:
    source = {"name": name, "up_function": lambda: 1.1, "down_function": lambda: 0.9}
    return {
        "name": f"{name}_correction",
        "type": "event",
        "use_correctionlib": False,
        "uncertainty_sources": [{**source, **fields.pop("source", {})}],
        **fields,
    }


def shift(name: str, target: Any, use: Any, **fields: Any) -> dict[str, Any]:
    return {**weight(name, **fields), "type": "object", "target": target, "args": use}


JET_PT, MET_PT = ObjVar("Jet", "pt"), ObjVar("PuppiMET", "pt")


def test_the_nominal_comes_first_and_shifts_last() -> None:
    plan = planned(shift("jes", JET_PT, [JET_PT]), weight("pu"))
    assert plan.labels == ("nominal", "pu_up", "pu_down", "jes_up", "jes_down")


def test_data_has_no_variation() -> None:
    assert planned(weight(applies_to="both"), is_data=True).labels == ("nominal",)


@pytest.mark.parametrize(
    ("applies_to", "is_data", "applies"),
    [
        ("mc", False, True),
        ("mc", True, False),
        ("data", False, False),
        ("data", True, True),
        ("both", False, True),
        ("both", True, True),
    ],
)
def test_corrections_apply_to_simulation_or_data(
    applies_to: str, is_data: bool, applies: bool
) -> None:
    plan = planned(weight(applies_to=applies_to), is_data=is_data)
    assert len(plan.corrections) == int(applies)


def test_systematics_can_be_switched_off() -> None:
    plan = planned(weight(), general={"run_systematics": False})
    assert plan.labels == ("nominal",)
    assert len(plan.corrections) == 1


def test_a_source_may_concern_some_processes_only() -> None:
    only = weight(source={"processes": ["mc"]})
    assert planned(only).labels == ("nominal", "w_up", "w_down")
    assert planned(only, process="other").labels == ("nominal",)


def test_a_side_without_function_does_not_exist() -> None:
    assert planned(weight(source={"down_function": None})).labels == ("nominal", "w_up")
    assert planned(weight(source={"up_function": None})).labels == ("nominal", "w_down")


def test_a_symmetrised_side_exists() -> None:
    one = weight(source={"down_function": None, "symmetrise": True})
    assert planned(one).labels == ("nominal", "w_up", "w_down")


def linked(**source: Any) -> VariationPlan:
    jes = shift("jes", JET_PT, [JET_PT])
    return planned(jes, weight("btag", source={"varies_with": ["jes"], **source}))


def sides(plan: VariationPlan) -> list[Any]:
    source = plan.corrections[1].uncertainty_sources[0]
    return [plan.companion(source, one) for one in plan.object_systematics]


def test_a_linked_weight_moves_with_its_shift_and_not_alone() -> None:
    assert linked().labels == ("nominal", "jes_up", "jes_down")
    assert sides(linked()) == ["up", "down"]


def test_a_linked_weight_stays_where_its_process_is_not_concerned() -> None:
    plan = linked(processes=["mc"])
    other = VariationPlan("other", plan.corrections, plan.object_systematics, plan.weights)
    assert sides(other) == [None, None]


def test_a_linked_weight_has_no_side_that_it_was_not_given() -> None:
    assert sides(linked(down_function=None)) == ["up", None]


def test_a_shift_touches_what_later_corrections_make_of_it() -> None:
    met = {
        **weight("met", nominal_function=lambda met, jets: met),
        "type": "object",
        "target": MET_PT,
        "args": [MET_PT, ("Jet", None)],
    }
    plan = planned(shift("jes", JET_PT, [JET_PT]), met)
    assert plan.touched[plan.object_systematics[0].label] == {JET_PT, MET_PT}
    assert plan.touched[plan.object_systematics[2].label] == {MET_PT}
    assert plan.touched_by_any() == {JET_PT, MET_PT}


def test_a_shift_does_not_touch_what_is_only_varied_later() -> None:
    plan = planned(shift("jes", JET_PT, [JET_PT]), shift("met", MET_PT, [MET_PT, JET_PT]))
    assert plan.touched[plan.object_systematics[0].label] == {JET_PT}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("Jet", "pt"), ("Jet", "pt"), True),
        (("Jet", "pt"), ("Jet", "eta"), False),
        (("Jet", None), ("Jet", "eta"), True),
        (("Jet", "pt"), ("Muon", "pt"), False),
        (("event", "rho"), ("rho", None), True),
        (("event", "rho"), ("event", "run"), False),
        (("event", "Jet"), ("Jet", "pt"), True),
    ],
)
def test_references_share_a_column(one: Any, other: Any, expected: bool) -> None:
    assert overlaps(ObjVar(*one), ObjVar(*other)) is expected
    assert overlaps(ObjVar(*other), ObjVar(*one)) is expected


def test_each_year_has_its_own_list() -> None:
    config = small.config(corrections={"2016": [weight("a")], "2017": [weight("b")]})
    config["datasets"]["datasets"][0] |= {"years": ("2016", "2017"), "directories": ("x/", "y/")}
    loaded = load_config(config)
    for year, name in (("2016", "a"), ("2017", "b")):
        plan = plan_variations(loaded, "mc", year=year, is_data=False)
        assert plan.labels == ("nominal", f"{name}_up", f"{name}_down")


def test_a_correction_is_for_the_events_that_it_names() -> None:
    config = small.config(
        corrections=[
            weight("p", processes=["mc"]),
            weight("q", processes=["other"]),
            weight("d", datasets=["mc_2017"]),
            weight("y", years=[2016]),
            weight("s", source={"years": "2017", "datasets": ["mc_2017", "mc_2016"]}),
        ]
    )
    first = config["datasets"]["datasets"][0]
    first |= {"years": ("2016", "2017"), "directories": ("x/", "y/")}
    config["datasets"]["datasets"].append({**first, "name": "other"})
    loaded = load_config(config)
    found = {}
    for process, year in (("mc", "2016"), ("mc", "2017"), ("other", "2017")):
        key = f"{process}_{year}"
        plan = plan_variations(loaded, process, year=year, is_data=False, dataset=key)
        found[key] = {label.removesuffix("_up") for label in plan.labels if label.endswith("_up")}
        names = {one.name.removesuffix("_correction") for one in plan.corrections}
        assert found[key] == names - ({"s"} if key != "mc_2017" else set())
    assert found == {"mc_2016": {"p", "y"}, "mc_2017": {"p", "d", "s"}, "other_2017": {"q"}}


def test_a_source_of_several_object_corrections_is_one_shift() -> None:
    plan = planned(
        shift("jes", JET_PT, [JET_PT]),
        shift("jes", MET_PT, [MET_PT]),
        weight("w", source={"varies_with": ["jes"]}),
    )
    assert plan.labels == ("nominal", "jes_up", "jes_down")
    up, down = plan.object_systematics
    assert up.parts == down.parts == {0: 0, 1: 0}
    assert plan.touched[up.label] == {JET_PT, MET_PT}
    assert plan.companion(plan.corrections[2].uncertainty_sources[0], down) == "down"
