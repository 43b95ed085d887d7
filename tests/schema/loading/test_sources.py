from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from intccms.schema import Config, load_config

Table = dict[str, Any]

MINIMAL = """
config = {
    "general": {"lumi": 1, "weight_branch": "genWeight"},
    "datasets": {"datasets": [{"name": "signal", "directories": "d"}]},
}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write a module into the working directory and return its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"settings_{tmp_path.name}"
    importlib.invalidate_caches()

    def write(text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    sys.modules.pop(name, None)


def test_a_dict_is_read_and_left_as_it_is(table: Table) -> None:
    before = copy.deepcopy({key: table[key] for key in ("general", "statistics", "plotting")})
    load_config(table, ["general.run_statistics=False", "statistics.signals=[signal]"])
    assert {key: table[key] for key in before} == before


def test_a_configuration_is_returned_as_it_is(table: Table) -> None:
    config = load_config(table)
    assert load_config(config) is config


def test_a_configuration_takes_overrides(table: Table) -> None:
    config = load_config(table)
    changed = load_config(config, ["corrections.2017.btag.op=add", "general.run_statistics=False"])
    assert changed.corrections_for("2017")[1].op == "add"
    assert not changed.general.run_statistics
    assert config.general.run_statistics


def test_a_configuration_that_is_read_again_is_the_same(table: Table) -> None:
    table["systematics"] = [{"name": "x", "type": "event", "up_function": max}]
    table["mva"] = [
        {
            "name": "nn",
            "features": [{"name": "st", "function": len}],
            "classes": ["ttbar", {"new": ("signal",)}],
            "estimator": dict,
        }
    ]
    table["statistics"]["blind"] = ["SR"]
    config = load_config(table)
    again = load_config(config, {"general.run_statistics": True})
    assert again is not config
    assert again == config


def test_a_module_is_read(module: Callable[[str], str]) -> None:
    name = module(MINIMAL)
    from_name = load_config(f"{name}:config")
    assert isinstance(from_name, Config)
    assert load_config(sys.modules[name]) == from_name


def test_the_configuration_of_a_module_is_called_config(module: Callable[[str], str]) -> None:
    assert load_config(module(MINIMAL)).datasets.processes == ("signal",)


def test_an_unknown_name_in_a_module_is_told(
    module: Callable[[str], str], refused: Callable[..., str]
) -> None:
    name = module(MINIMAL)
    assert refused(f"{name}:confg") == f"module '{name}' has no 'confg'; did you mean 'config'?"


def test_something_else_in_a_module_is_told(
    module: Callable[[str], str], refused: Callable[..., str]
) -> None:
    name = module("config = 3\n")
    assert refused(f"{name}:config") == f"{name}:config is a int, not a configuration dict"


@pytest.mark.parametrize("source", ["no_such_module:config", "no_such_package.inside:config"])
def test_a_module_that_is_not_there_is_told(refused: Callable[..., str], source: str) -> None:
    assert refused(source).startswith(f"no module {source.split(':')[0]!r}")


@pytest.mark.parametrize("source", [":config", ".relative:config", ""])
def test_a_source_names_a_module(refused: Callable[..., str], source: str) -> None:
    assert "is named 'module:name'" in refused(source)


def test_a_module_that_raises_is_told_with_file_and_line(
    module: Callable[[str], str], refused: Callable[..., str]
) -> None:
    name = module("x = 1\n\ndef fails():\n    return x / 0\n\nconfig = fails()\n")
    message = refused(f"{name}:config")
    assert f"configuration module '{name}' raised ZeroDivisionError: " in message
    assert message.endswith(f"{name}.py, line 4)")


def test_a_module_that_does_not_parse_is_told_with_file_and_line(
    module: Callable[[str], str], refused: Callable[..., str]
) -> None:
    name = module("x = 1\nconfig = {\n")
    message = refused(name)
    assert "raised SyntaxError: " in message
    assert message.endswith(f"{name}.py, line 2)")


def test_a_module_that_imports_what_is_not_there_is_told_with_the_line(
    module: Callable[[str], str], refused: Callable[..., str]
) -> None:
    name = module("import no_such_thing\n")
    message = refused(name)
    assert "raised ModuleNotFoundError: No module named 'no_such_thing'" in message
    assert message.endswith(f"{name}.py, line 1)")


def test_a_message_of_several_lines_becomes_one(
    module: Callable[[str], str], refused: Callable[..., str]
) -> None:
    assert "RuntimeError: one two" in refused(module("raise RuntimeError('one\\n  two')\n"))


def test_a_module_that_leaves_python_is_told(
    module: Callable[[str], str], refused: Callable[..., str]
) -> None:
    assert "raised SystemExit: 3" in refused(module("raise SystemExit(3)\n"))


@pytest.mark.parametrize("source", [3, None, ["general"]])
def test_another_source_is_refused(refused: Callable[..., str], source: object) -> None:
    assert "a configuration is a dict, a module or 'module:name'" in refused(source)


def test_use_in_diff_is_noted_once_for_all(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    table["channels"][0]["use_in_diff"] = True
    table["corrections"]["2017"][0]["use_in_diff"] = False
    load_config(table)
    assert caplog.messages == ["'use_in_diff' is read and ignored (first in channels.SR, 2 in all)"]
