from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest

from intccms.redaction import is_secret, redacted
from intccms.schema import ObjVar, Sys, WorkerEval, load_config
from intccms.schema.resolved import as_json

Table = dict[str, Any]


def test_a_dump_is_json(table: Table) -> None:
    dump = load_config(table).dump()
    assert json.loads(json.dumps(dump)) == dump


def test_a_dump_names_functions(table: Table) -> None:
    function = load_config(table).dump()["baseline_selection"]["function"]
    assert function.endswith(":select")


def test_what_is_evaluated_on_the_worker_is_a_fixed_text(table: Table) -> None:
    dump = load_config(table).dump()
    options = dump["preprocess"]["skimming"]["output"]["to_kwargs"]["storage_options"]
    assert options == {"secret": "<evaluated on the worker>"}


@pytest.mark.parametrize(
    "key", ["key", "secret", "aws_access_key_id", "TOKEN", "passwd", "password"]
)
def test_secrets_are_hidden(table: Table, key: str) -> None:
    options = {"storage_options": {key: "hunter2", "anon": False}}
    table["preprocess"]["skimming"]["output"]["from_kwargs"] = options
    text = json.dumps(load_config(table).dump())
    assert "hunter2" not in text
    assert '"anon": false' in text


def test_the_password_of_a_url_is_hidden(table: Table) -> None:
    url = "https://me:hunter2@store.org/x"
    table["datasets"]["datasets"][0]["redirector"] = url
    text = json.dumps(load_config(table).dump())
    assert "hunter2" not in text
    assert "store.org" in text


def test_a_url_without_password_stays() -> None:
    assert redacted("root://host:1094//store/a@b") == "root://host:1094//store/a@b"


def test_the_key_of_a_correction_is_no_secret(table: Table) -> None:
    dump = load_config(table).dump()
    assert dump["corrections"]["2017"][1]["key"] == "deepJet_shape"


def test_corrections_for_all_years_are_dumped_as_a_list(table: Table) -> None:
    table["corrections"] = table["corrections"]["2017"]
    dump = load_config(table).dump()
    assert [entry["name"] for entry in dump["corrections"]] == ["jec", "btag"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (ObjVar("Jet", "pt"), ["Jet", "pt"]),
        (Sys(), "Sys()"),
        ({3, 1, 2}, [1, 2, 3]),
        (np.arange(3), [0, 1, 2]),
        (np.float64(0.5), 0.5),
        (len, "builtins:len"),
        (functools.partial(len), "partial(builtins:len)"),
        (object(), "<builtins.object>"),
        (WorkerEval(len), "<evaluated on the worker>"),
        ({"a": {"token": "x"}}, {"a": {"token": "<hidden>"}}),
    ],
)
def test_each_kind_of_value_has_a_form(value: object, shown: object) -> None:
    assert as_json(value) == shown


def test_secret_keys_are_recognised() -> None:
    assert is_secret("client_secret")
    assert not is_secret("compression")


def test_the_digest_follows_the_settings(table: Table) -> None:
    config = load_config(table)
    assert config.sha256 == load_config(table).sha256
    assert len(config.sha256) == 64
    assert config.sha256 != load_config(table, ["general.n_workers=3"]).sha256
