from __future__ import annotations

import copy

import numpy as np
import pytest

from intccms.errors import FitError, InputError
from intccms.histograms import Book
from intccms.schema import Config
from intccms.statistics import build_config
from intccms.statistics.repairs import repair
from intccms.statistics.templates import TemplateSet, collect_templates
from tests.statistics.conftest import CONTROL_REGION, SIGNAL_REGION, MakeBook, MakeConfig


def collected(config: Config, book: Book) -> TemplateSet:
    templates = collect_templates(build_config(config, book, "signal"), book, config)
    repair(templates)
    return templates


def texts(templates: TemplateSet) -> list[str]:
    return [str(one) for one in templates.changes if one.is_repair]


def data(templates: TemplateSet, region: str = "sr") -> list[float]:
    return list(templates.nominal(region, "data").values)


def test_templates_are_those_of_the_book(config: Config, book: Book) -> None:
    templates = collected(config, book)
    nominal = templates.nominal("sr", "ttbar")
    assert list(nominal.values) == [80.0, 40.0, 10.0]
    assert nominal.variances == pytest.approx([8.0, 4.0, 1.0])
    assert list(templates.templates["sr", "ttbar", "pileup", "Down"].values) == [76.0, 42.0, 10.0]
    assert ("sr", "wjets", "pileup", "Up") not in templates.templates
    assert data(templates) == [103.0, 50.0, 17.0]
    assert list(templates.background("sr")) == [100.0, 48.0, 15.0]
    assert texts(templates) == []


def test_a_process_without_one_direction_gives_its_nominal(
    config: Config, make_book: MakeBook
) -> None:
    wjets = {"nominal": [20.0, 8.0, 5.0], "jes_up": [23.0, 9.0, 5.0]}
    templates = collected(config, make_book({**SIGNAL_REGION, "wjets": wjets}))
    assert list(templates.templates["sr", "wjets", "jes", "Down"].values) == [20.0, 8.0, 5.0]


def test_an_unknown_variation_names_the_nearest(config: Config, book: Book) -> None:
    edited = copy.deepcopy(build_config(config, book, "signal"))
    edited["Systematics"][1]["Up"]["VariationPath"] = "pilup_up"
    with pytest.raises(InputError, match="no variation 'pilup_up'; did you mean 'pileup_up'"):
        collect_templates(edited, book, config)


def test_an_unknown_observable_names_the_nearest(config: Config, book: Book) -> None:
    edited = copy.deepcopy(build_config(config, book, "signal"))
    edited["Regions"][0]["RegionPath"] = "sr/mas"
    with pytest.raises(InputError, match="'mas' in channel 'sr'; did you mean 'mass'"):
        collect_templates(edited, book, config)


def test_a_template_may_come_from_another_process(config: Config, book: Book) -> None:
    edited = copy.deepcopy(build_config(config, book, "signal"))
    edited["Systematics"][1]["Up"] = {"SamplePath": "wjets", "VariationPath": "nominal"}
    templates = collect_templates(edited, book, config)
    assert list(templates.templates["sr", "ttbar", "pileup", "Up"].values) == [20.0, 8.0, 5.0]


def test_negative_bins_become_0_and_are_noted(config: Config, make_book: MakeBook) -> None:
    wjets = {"nominal": [20.0, -0.5, 5.0], "jes_up": [23.0, 1.0, -2.0]}
    templates = collected(config, make_book({**SIGNAL_REGION, "wjets": wjets}))
    assert list(templates.nominal("sr", "wjets").values) == [20.0, 0.0, 5.0]
    assert list(templates.templates["sr", "wjets", "jes", "Up"].values) == [23.0, 1.0, 0.0]
    assert texts(templates) == ["sr, wjets: 1 negative bins set to 0"]
    clipped = {one.systematic: one for one in templates.changes if one.direction != "Down"}
    assert (clipped[""].action, clipped[""].amount, clipped[""].unit) == ("clipped", 0.5, "events")
    assert (clipped["jes"].action, clipped["jes"].amount) == ("clipped", 2.0)


def test_a_region_without_background_cannot_be_fitted(config: Config, make_book: MakeBook) -> None:
    nothing = {"nominal": [0.0, 0.0, 0.0]}
    with pytest.raises(FitError, match="sr: no background in any bin"):
        collected(config, make_book({**SIGNAL_REGION, "ttbar": nothing, "wjets": nothing}))


def test_a_blinded_channel_shows_the_expected_background(
    make_config: MakeConfig, book: Book
) -> None:
    templates = collected(make_config(blind=["sr"]), book)
    assert data(templates, "sr") == [100.0, 48.0, 15.0]
    assert data(templates, "cr") == [355.0, 238.0, 112.0]
    assert templates.regions["sr"].blinded.all()
    assert not templates.regions["cr"].blinded.any()


def test_a_blinded_range_hides_all_bins_that_it_touches(
    make_config: MakeConfig, book: Book
) -> None:
    templates = collected(make_config(blind={"sr": (1.5, 2.0)}), book)
    assert data(templates) == [103.0, 48.0, 17.0]
    assert list(templates.regions["sr"].blinded) == [False, True, False]


def test_without_data_the_expected_background_stands_in(
    config: Config, make_book: MakeBook
) -> None:
    mc = {name: SIGNAL_REGION[name] for name in ("signal", "ttbar", "wjets")}
    templates = collected(config, make_book(mc, data=()))
    assert data(templates) == [100.0, 48.0, 15.0]
    assert np.all(templates.regions["sr"].blinded)


def test_several_data_processes_are_added(make_config: MakeConfig, make_book: MakeBook) -> None:
    contents = {**SIGNAL_REGION, "data_b": {"nominal": [7.0, 2.0, 1.0]}}
    book = make_book(contents, data=("data", "data_b"))
    assert data(collected(make_config(tuple(contents)), book)) == [110.0, 52.0, 18.0]


def test_a_sample_is_left_out_of_a_region_without_its_events(config: Config, book: Book) -> None:
    assert CONTROL_REGION["signal"]["nominal"] == [0.0, 0.0, 0.0]
    assert collected(config, book).samples("cr") == ["ttbar", "wjets"]
