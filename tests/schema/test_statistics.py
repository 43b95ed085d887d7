from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intccms.schema import MvaClass, Statistics, load_config

Table = dict[str, Any]


@pytest.fixture
def mva(table: Table) -> Table:
    """A classifier in the configuration, to be changed in place."""
    classifier: Table = {
        "name": "nn",
        "features": [{"name": "st", "function": len, "use": [("mva", "st")], "binning": "0,1,5"}],
        "classes": ["ttbar", {"new": ("signal",)}],
        "estimator": dict,
    }
    table["mva"] = [classifier]
    return classifier


def test_signals_are_found_by_their_names(table: Table) -> None:
    assert load_config(table).signals == ("signal",)


def test_what_is_a_signal_may_be_said_of_the_process(table: Table) -> None:
    entries = {entry["name"]: entry for entry in table["datasets"]["datasets"]}
    entries["signal"] |= {"is_signal": False, "cross_sections": 1.0}
    entries["ttbar"]["is_signal"] = True
    table["statistics"] = {}
    config = load_config(table)
    assert config.signals == ("ttbar",)
    assert config.other_signals == ()
    assert not config.is_signal("signal")


def test_signals_may_be_named(table: Table) -> None:
    table["statistics"]["signals"] = ["ttbar"]
    assert load_config(table).signals == ("ttbar",)


def test_signals_are_restricted_to_the_processes_of_the_run(table: Table) -> None:
    table["general"]["processes"] = ["ttbar", "data"]
    assert load_config(table).signals == ()


@pytest.mark.parametrize("blind", ["SR", ["SR"], ("SR",), {"SR": None}])
def test_channels_may_be_blinded_whole(blind: object) -> None:
    assert Statistics.model_validate({"blind": blind}).blind == {"SR": None}


def test_a_range_may_be_blinded() -> None:
    blind = Statistics.model_validate({"blind": {"SR": [1000, 3000]}}).blind
    assert blind == {"SR": (1000.0, 3000.0)}


def test_nothing_is_blinded_by_default() -> None:
    assert Statistics.model_validate({"blind": None}).blind == {}


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("signals", ["sgnal"], "statistics.signals: no process 'sgnal'; did you mean 'signal'?"),
        ("masses_gev", {"zp": 1.0}, "statistics.masses_gev: no process 'zp'"),
        ("masses_gev", {"signal": "2 TeV"}, "masses_gev.signal: should be a number"),
        ("blind", ["CR"], "statistics.blind: no channel 'CR'"),
        ("blind", {"SR": [3, 1]}, "statistics.blind.SR: the range's end 1 is not above"),
        ("cabinetry_config", 3, "statistics.cabinetry_config: should be text, not 3"),
        ("cabinetry", "x", "unknown key 'cabinetry'; did you mean 'cabinetry_config'?"),
    ],
)
def test_wrong_statistics_are_told_in_one_line(
    table: Table, refused: Callable[..., str], key: str, value: object, wanted: str
) -> None:
    table["statistics"][key] = value
    assert wanted in refused(table)


def test_plotting_may_name_what_is_no_process(table: Table) -> None:
    table["plotting"]["process_labels"] = {"all_top": "tops"}
    assert load_config(table).plotting.process_labels == {"all_top": "tops"}


def test_a_color_is_text(table: Table, refused: Callable[..., str]) -> None:
    table["plotting"]["process_colors"]["ttbar"] = 7
    assert refused(table) == "plotting.process_colors.ttbar: should be text, not 7"


def test_classes_may_merge_processes(table: Table, mva: Table) -> None:
    (classifier,) = load_config(table).mva
    assert classifier.classes == (
        MvaClass(name="ttbar", processes=("ttbar",)),
        MvaClass(name="new", processes=("signal",)),
    )


def test_a_feature_is_labelled_by_its_name(table: Table, mva: Table) -> None:
    (feature,) = load_config(table).mva[0].features
    assert (feature.label, feature.binning) == ("st", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))


@pytest.mark.parametrize("key", ["framework", "layers", "loss"])
def test_a_network_is_answered_with_how_to_write_an_estimator(
    table: Table, mva: Table, refused: Callable[..., str], key: str
) -> None:
    mva[key] = "jax"
    message = refused(table)
    assert message.startswith(f"mva.nn.{key}: ")
    assert "'estimator'" in message
    assert "MLPClassifier" in message


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("estimator", "MLP", "mva.nn.estimator: should be callable, not 'MLP'"),
        ("classes", ["ttbar", "wjets"], "class 'wjets' has no process 'wjets'"),
        ("classes", ["ttbar", "ttbar"], "mva.nn.classes: two of them are called 'ttbar'"),
        ("classes", ["ttbar"], "wrong number of entries"),
        ("plot_classes", ["nw"], "plot_classes: no class 'nw'; did you mean 'new'?"),
        ("features", [], "wrong number of entries"),
        ("validation_split", 1.0, "should be less than 1, not 1.0"),
        ("balance_strategy", "over", "should be 'none', 'undersample' or 'class_weight'"),
        ("epochs", 0, "should be greater than 0"),
        ("learning_rate", -0.1, "should be greater than 0"),
        ("random_state", "x", "should be a whole number"),
    ],
)
def test_a_wrong_classifier_is_told_in_one_line(
    table: Table, mva: Table, refused: Callable[..., str], key: str, value: object, wanted: str
) -> None:
    mva[key] = value
    message = refused(table)
    assert message.startswith("mva.nn")
    assert wanted in message


def test_an_estimator_is_required(table: Table, mva: Table, refused: Callable[..., str]) -> None:
    del mva["estimator"]
    assert refused(table).startswith("mva.nn.estimator: this key is required")


def test_features_have_different_names(
    table: Table, mva: Table, refused: Callable[..., str]
) -> None:
    mva["features"] *= 2
    assert refused(table) == "mva.nn.features: two of them are called 'st'"


def test_classifiers_have_different_names(
    table: Table, mva: Table, refused: Callable[..., str]
) -> None:
    table["mva"] *= 2
    assert refused(table) == "mva: two entries are called 'nn'"
