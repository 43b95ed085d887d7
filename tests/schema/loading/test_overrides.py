from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intccms.errors import ConfigError
from intccms.schema import load_config
from intccms.schema.overrides import parse_override

Table = dict[str, Any]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=False", False),
        ("a.b=2", 2),
        ("a.b=1e5", 1e5),
        ("a.b=-1.5E-3", -1.5e-3),
        ("a.b=null", None),
        ("a.b=", None),
        ("a.b=[signal, data]", ["signal", "data"]),
        ("a.b={2017: 3}", {2017: 3}),
        ("a.b=root://xcache/", "root://xcache/"),
        ("a.b=x=y", "x=y"),
    ],
)
def test_values_are_yaml(text: str, value: object) -> None:
    assert parse_override(text) == ("a.b", value)


@pytest.mark.parametrize("text", ["general.run_statistics", "=3", ""])
def test_an_override_is_key_and_value(text: str) -> None:
    with pytest.raises(ConfigError, match="written key=value"):
        parse_override(text)


def test_a_value_that_is_not_yaml_is_told_without_showing_it() -> None:
    with pytest.raises(ConfigError, match=r"^a\.token: the value is not YAML: ") as caught:
        parse_override("a.token=[hunter2")
    assert "hunter2" not in str(caught.value)


def test_settings_are_replaced(table: Table) -> None:
    config = load_config(
        table,
        [
            "general.run_statistics=False",
            "datasets.max_files=2",
            "preprocess.skimming.output.format=rntuple",
            "general.processes=[signal,data]",
        ],
    )
    assert not config.general.run_statistics
    assert config.datasets.max_files == 2
    assert config.preprocess.skimming.output.format == "rntuple"
    assert config.general.processes == ("signal", "data")


def test_a_setting_that_was_not_given_may_be_set(table: Table) -> None:
    assert load_config(table, ["general.executor=futures"]).general.executor == "futures"


def test_a_part_that_was_not_given_may_be_set(table: Table) -> None:
    table["statistics"] = None
    config = load_config(table, ["general.metrics.enable=False", "statistics.signals=[ttbar]"])
    assert not config.general.metrics.enable
    assert config.signals == ("ttbar",)


def test_entries_of_lists_are_found_by_name(table: Table) -> None:
    config = load_config(
        table,
        [
            "datasets.datasets.signal.redirector=root://xcache/",
            "channels.SR.observables.mtt.binning=0,10,2",
            "good_object_masks.analysis.Muon.object=Electron",
        ],
    )
    assert config.datasets.process("signal").redirector == ("root://xcache/",)
    assert config.channels[0].observables[0].binning == (0.0, 5.0, 10.0)
    assert config.good_object_masks.analysis[0].object == "Electron"


def test_entries_without_a_name_are_found_by_number(table: Table) -> None:
    config = load_config(table, ["ghost_observables.0.collections=w"])
    assert config.ghost_observables[0].collections == ("w", "w")


def test_entries_of_a_year_are_found_by_year_and_name(table: Table) -> None:
    key = "corrections.2018.btag.uncertainty_sources.btag_hf.symmetrise"
    config = load_config(table, [f"{key}=True"])
    assert config.corrections_for("2018")[1].uncertainty_sources[0].symmetrise
    assert not config.corrections_for("2017")[1].uncertainty_sources[0].symmetrise


def test_names_may_hold_dots(table: Table) -> None:
    table["datasets"]["datasets"][1]["name"] = "tt.lep"
    config = load_config(table, ["datasets.datasets.tt.lep.tree_name=T"])
    assert config.datasets.process("tt.lep").tree_name == "T"


def test_tables_take_new_keys(table: Table) -> None:
    config = load_config(
        table,
        [
            "plotting.process_colors.signal=red",
            "preprocess.branches.Jet=[pt]",
            "preprocess.skimming.output.to_kwargs.compression=zstd",
            "preprocess.skimming.output.from_kwargs.storage_options.anon=true",
            "general.lumi.2018=1",
        ],
    )
    assert config.plotting.process_colors == {"ttbar": "#907AD6", "signal": "red"}
    assert config.preprocess.branches["Jet"] == ("pt",)
    output = config.preprocess.skimming.output
    assert output.to_kwargs["compression"] == "zstd"
    assert output.from_kwargs == {"storage_options": {"anon": True}}
    assert config.general.lumi_for("2018") == 1.0


def test_an_override_wins_over_the_other_spelling(table: Table) -> None:
    table["general"]["save_skimmed_output"] = True
    assert not load_config(table, ["general.run_skimming=False"]).general.run_skimming


def test_the_later_override_wins(table: Table) -> None:
    config = load_config(table, ["datasets.max_files=2", "datasets.max_files=3"])
    assert config.datasets.max_files == 3


def test_overrides_may_be_a_table(table: Table) -> None:
    config = load_config(table, {"general.processes": ["data"], "general.n_workers": 3})
    assert config.general.processes == ("data",)
    assert config.general.n_workers == 3


def test_functions_are_shared_and_containers_are_not(table: Table) -> None:
    entry = table["channels"][0]["observables"][0]
    config = load_config(table, ["channels.SR.observables.mtt.label=m"])
    assert config.channels[0].observables[0].function is entry["function"]
    assert "label" not in entry


def test_a_functor_may_be_opened_where_one_stands_for_all(table: Table) -> None:
    config = load_config(table, ["datasets.datasets.data.lumi_mask.static_kwargs.file=g.json"])
    masks = config.datasets.process("data").lumi_mask
    assert [mask.static_kwargs for mask in masks if mask] == [{"file": "g.json"}] * 2


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        (
            "general.run_statistcs=False",
            "general.run_statistcs: unknown key 'run_statistcs'; did you mean 'run_statistics'?",
        ),
        ("genral.lumi=3", "genral.lumi: unknown key 'genral'; did you mean 'general'?"),
        ("max_files=2", "max_files: unknown key 'max_files'; did you mean 'datasets.max_files'?"),
        ("general.max_files=2", "did you mean 'datasets.max_files'?"),
        ("datasets.datasets.sgnal.redirector=x", "unknown key 'sgnal'; did you mean 'signal'?"),
        ("corrections.2016.btag.op=add", "unknown key '2016'; did you mean '2018'?"),
        ("corrections.2017.btg.op=add", "unknown key 'btg'; did you mean 'btag'?"),
        ("channels.SR.observables.mt.label=x", "unknown key 'mt'; did you mean 'mtt'?"),
        ("general.lumi.x.y=3", "'general.lumi.x' has no settings inside; give it as a whole"),
        ("general.executor.x=3", "'general.executor' has no settings inside"),
        ("mva.nn.epochs=3", "unknown key 'nn'"),
        ("general.lumi=many", "general.lumi: should be a number or a table, not 'many'"),
        ("datasets.max_files=two", "datasets.max_files: should be a whole number, not 'two'"),
        ("general.processes=[sgnal]", "general.processes: no process 'sgnal'; did you mean"),
        ("general=3", "general: should be"),
    ],
)
def test_a_wrong_override_is_told_in_one_line(
    table: Table, refused: Callable[..., str], override: str, wanted: str
) -> None:
    assert wanted in refused(table, [override])


def test_overrides_are_not_one_text(table: Table, refused: Callable[..., str]) -> None:
    assert "overrides are a list" in refused(table, "general.lumi=3")


@pytest.mark.parametrize("value", ["&a [*a]", "&a {x: *a}", "&a [1, {b: *a}]"])
def test_an_alias_of_itself_is_no_value(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^a\.b: the value is not YAML: an alias stands in"):
        parse_override(f"a.b={value}")


def test_an_alias_of_another_value_is_one() -> None:
    assert parse_override("a=[&x [1, 2], *x]") == ("a", [[1, 2], [1, 2]])


@pytest.mark.parametrize("value", ["2024-99-99", "[" * 5000])
def test_what_yaml_stumbles_over_is_one_line(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^a: the value is not YAML: "):
        parse_override(f"a={value}")
