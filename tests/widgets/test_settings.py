"""A form knows every setting that is no function, with what may be given."""

from __future__ import annotations

import pytest

from intccms.schema import Config, load_config
from intccms.widgets.draft import Setting, settings_of, yaml_text


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("example_opendata.configs.configuration:config")


@pytest.fixture(scope="module")
def table(config: Config) -> dict[str, Setting]:
    return {one.key: one for one in settings_of(config)}


@pytest.mark.parametrize(
    ("key", "kind", "wanted"),
    [
        ("general.run_statistics", "switch", "yes or no"),
        ("general.executor", "choice", "dask or futures or iterative"),
        ("general.n_workers", "yaml", "whole number or None, > 0"),
        ("general.max_lost_fraction", "yaml", "number, ≥ 0, ≤ 1"),
        ("datasets.datasets.signal.redirector", "yaml", "list"),
        ("general.facility", "words", "text or None"),
        ("corrections.jes.reduce", "choice", "prod or sum or None"),
        ("channels.CMS_WORKSHOP.observables.workshop_mtt.binning", "yaml", "list"),
        ("corrections.jes.uncertainty_sources.jesFlavorQCD.is_delta", "switch", "yes or no"),
    ],
)
def test_type_and_bounds_come_from_the_model(
    table: dict[str, Setting], key: str, kind: str, wanted: str
) -> None:
    assert (table[key].kind, table[key].wanted) == (kind, wanted)
    assert table[key].description


def test_no_function_is_offered(table: dict[str, Setting]) -> None:
    assert not [key for key in table if key.endswith((".function", "_function", "lumi_mask"))]


def test_every_setting_of_the_general_part_is_offered(
    config: Config, table: dict[str, Setting]
) -> None:
    fields = set(type(config.general).model_fields) - {"metrics"}
    assert fields <= {key.split(".")[1] for key in table if key.startswith("general.")}


def test_every_value_can_be_given_back_as_it_is_shown(
    config: Config, table: dict[str, Setting]
) -> None:
    for key in ("general.lumi", "preprocess.branches", "statistics.masses_gev", "general.channels"):
        same = load_config(config, [f"{key}={yaml_text(table[key].value)}"])
        assert same.sha256 == config.sha256
