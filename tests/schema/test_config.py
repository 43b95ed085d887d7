from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import cloudpickle
import pytest

from intccms.schema import Config, Model, load_config

Table = dict[str, Any]


def models(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for part in get_args(annotation):
        yield from models(part)


def settings(model: type[Model], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield f"{place}{name}", field
        for inner in models(field.annotation):
            yield from settings(inner, f"{place}{name}.")


ALL_SETTINGS = dict(settings(Config))


def test_all_parts_of_the_configuration_are_reached() -> None:
    assert {
        "general.metrics.enable",
        "corrections.uncertainty_sources.is_delta",
        "datasets.datasets.lumi_mask.function",
        "mva.features.scale",
    } <= ALL_SETTINGS.keys()


@pytest.mark.parametrize("place", ALL_SETTINGS)
def test_every_setting_is_described_in_a_sentence(place: str) -> None:
    description = ALL_SETTINGS[place].description
    assert description
    assert description[0] in '"*' or description.endswith(".")
    assert "\n" not in description


@pytest.mark.parametrize(
    ("place", "unit"),
    [
        ("general.lumi", "1/pb"),
        ("general.batch_memory_mb", "MB"),
        ("general.metrics.worker_tracking_interval", "in s"),
        ("general.metrics.target_throughput_gbps", "Gbit/s"),
        ("datasets.datasets.cross_sections", "pb"),
        ("statistics.masses_gev", "GeV"),
        ("preprocess.skimming.chunk_size", "Events"),
    ],
)
def test_numbers_with_a_unit_say_it(place: str, unit: str) -> None:
    assert unit in ALL_SETTINGS[place].description


def test_only_general_and_datasets_are_required() -> None:
    config = Config.model_validate(
        {
            "general": {"lumi": 1, "weight_branch": "genWeight"},
            "datasets": {"datasets": [{"name": "signal", "directories": "x"}]},
        }
    )
    assert config.channels == config.mva == config.ghost_observables == ()
    assert config.baseline_selection is None
    assert config.statistics is None
    assert config.corrections_for("2017") == ()


@pytest.mark.parametrize(
    "key",
    ["preprocess", "good_object_masks", "baseline_selection", "statistics", "plotting", "mva"],
)
def test_a_part_may_be_none(table: Table, key: str) -> None:
    table[key] = None
    assert load_config(table)


def test_corrections_may_hold_for_all_years(table: Table) -> None:
    table["corrections"] = table["corrections"]["2017"]
    config = load_config(table)
    names = [entry.name for entry in config.corrections_for("2018")]
    assert names == ["jec", "btag"]
    assert config.corrections_for(None) == config.corrections_for("2017")


def test_the_year_picks_the_corrections(table: Table) -> None:
    config = load_config(table)
    files = [config.corrections_for(year)[1].file for year in ("2017", "2018")]
    assert files == ["corrections/2017/btag.json.gz", "corrections/2018/btag.json.gz"]


def test_years_of_corrections_may_be_numbers(table: Table) -> None:
    table["corrections"] = {int(year): entry for year, entry in table["corrections"].items()}
    assert load_config(table).corrections_for("2017")


def test_corrections_are_one_list_or_one_per_year(
    table: Table, refused: Callable[..., str]
) -> None:
    table["corrections"][None] = []
    assert "either one list or one per year" in refused(table)


def test_processes_and_channels_of_the_run_follow_the_restriction(table: Table) -> None:
    config = load_config(table)
    assert config.processes == ("signal", "ttbar", "data")
    assert [channel.name for channel in config.active_channels] == ["SR"]
    few = load_config(table, ["general.processes=[data, signal]"])
    assert few.processes == ("signal", "data")


@pytest.mark.parametrize(
    ("where", "key", "value", "wanted"),
    [
        ("general", "processes", ["signl"], "general.processes: no process 'signl'; did you mean"),
        ("general", "channels", ["CR"], "general.channels: no channel 'CR'; known: ['SR']"),
        ("general", "lumi", {"2017": 1.0}, "general.lumi: no year '2018', which process 'signal'"),
        ("corrections", "2018", None, "corrections.2018: should be a list, not None"),
    ],
)
def test_names_must_be_known(
    table: Table, refused: Callable[..., str], where: str, key: str, value: object, wanted: str
) -> None:
    table[where][key] = value
    assert refused(table).startswith(wanted)


@pytest.mark.parametrize("part", ["corrections", "systematics"])
def test_a_year_without_its_list_is_an_error(
    table: Table, refused: Callable[..., str], part: str
) -> None:
    table[part] = {"2017": []}
    assert refused(table) == (
        f"{part}: no year '2018', which process 'signal' has; did you mean '2017'?"
    )


def test_simulation_without_a_year_cannot_be_corrected_by_year(
    table: Table, refused: Callable[..., str]
) -> None:
    table["datasets"]["datasets"][1] |= {"years": None, "directories": "tt", "cross_sections": 1.0}
    assert "corrections is given per year, but process 'ttbar' has no 'years'" in refused(table)


def test_data_may_have_no_year_when_nothing_applies_to_it(table: Table) -> None:
    table["datasets"]["datasets"][2] |= {"years": None, "directories": "data"}
    config = load_config(table)
    assert config.corrections_for(None) == ()


def test_data_need_a_year_when_something_applies_to_them(
    table: Table, refused: Callable[..., str]
) -> None:
    table["datasets"]["datasets"][2] |= {"years": None, "directories": "data"}
    table["corrections"]["2017"][0]["applies_to"] = "both"
    assert "'jec' applies to data, but process 'data' has no 'years'" in refused(table)


def test_a_source_is_named_once_within_a_year(table: Table, refused: Callable[..., str]) -> None:
    table["corrections"]["2017"][1]["uncertainty_sources"][0]["name"] = "jesScale"
    assert refused(table) == (
        "corrections.2017.btag.uncertainty_sources.jesScale: this source was named before, in "
        "corrections.2017.jec.uncertainty_sources.jesScale; give each its own name"
    )


def test_a_systematic_may_not_repeat_a_source(table: Table, refused: Callable[..., str]) -> None:
    table["systematics"] = [{"name": "btag_hf", "type": "event", "up_function": max}]
    message = refused(table)
    assert message.startswith("systematics.btag_hf.uncertainty_sources.btag_hf: this source was")
    assert "in corrections.2017.btag.uncertainty_sources.btag_hf;" in message


def test_varies_with_names_an_object_source_of_the_same_year(
    table: Table, refused: Callable[..., str]
) -> None:
    table["corrections"]["2018"][1]["uncertainty_sources"][1]["varies_with"] = ["jesStat_2017"]
    message = refused(table)
    place = "corrections.2018.btag.uncertainty_sources.btag_jesScale.varies_with"
    assert message.startswith(f"{place}: no object source 'jesStat_2017'")
    assert "did you mean 'jesStat_2018'?" in message


def test_varies_with_does_not_name_a_weight(table: Table, refused: Callable[..., str]) -> None:
    table["corrections"]["2018"][1]["uncertainty_sources"][1]["varies_with"] = ["btag_hf"]
    assert "no object source 'btag_hf'" in refused(table)


def test_a_source_concerns_known_processes(table: Table, refused: Callable[..., str]) -> None:
    table["corrections"]["2017"][1]["uncertainty_sources"][0]["processes"] = ["tt"]
    assert "uncertainty_sources.btag_hf.processes: no process 'tt'" in refused(table)


def test_a_configuration_survives_pickling(table: Table) -> None:
    config = load_config(table)
    again = cloudpickle.loads(cloudpickle.dumps(config))
    assert again.sha256 == config.sha256
    assert again.corrections_for("2017") == config.corrections_for("2017")
