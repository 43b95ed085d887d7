"""The names that are promised to users, and the front door of every package."""

from __future__ import annotations

import importlib
import types
from pathlib import Path

import pytest

PROMISED = {
    "intccms": ("set_logging",),
    "intccms.analysis": (),
    "intccms.analysis.runner": ("AnalysisResult", "run"),
    "intccms.datasets": ("DatasetManager",),
    "intccms.metrics.inspector": (
        "aggregate_statistics",
        "inspect_files",
        "plot_file_size_distribution",
    ),
    "intccms.metrics.inspector.rucio": ("fetch_file_sizes",),
    "intccms.schema": ("Config", "WorkerEval", "load_config"),
    "intccms.schema.base": ("ObjVar", "Sys"),
    "intccms.utils.output": (),
    "example_opendata.configs.configuration": ("config",),
}
PROMISED_PATHS = (
    "README.md",
    "analysis.py",
    "example_opendata/__init__.py",
    "notebooks/full_processing.ipynb",
    "notebooks/input_inspector.ipynb",
    "pixi.lock",
    "pixi.toml",
    "pixi_activate.sh",
    "src/intccms",
    "tests",
)


SOURCE = Path(__file__).resolve().parents[1] / "src"


def all_modules() -> list[str]:
    paths = sorted((SOURCE / "intccms").rglob("*.py"))
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PROMISED.items() for name in names]
)
def test_a_promised_name_can_be_imported(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", [module for module, names in PROMISED.items() if not names])
def test_a_promised_module_can_be_imported(module: str) -> None:
    assert isinstance(importlib.import_module(module), types.ModuleType)


def test_the_redirector_of_a_process_can_be_asked() -> None:
    from intccms.datasets import DatasetManager

    assert callable(DatasetManager.get_redirector)


@pytest.mark.parametrize("path", PROMISED_PATHS)
def test_a_promised_path_is_there(root: Path, path: str) -> None:
    assert (root / path).exists()


def test_utils_holds_the_output_manager_and_nothing_else(root: Path) -> None:
    modules = {path.name for path in (root / "src/intccms/utils").glob("*.py")}
    assert modules == {"__init__.py", "output.py"}


@pytest.mark.parametrize("name", all_modules())
def test_exported_names_exist(name: str) -> None:
    module = importlib.import_module(name)
    exported = list(getattr(module, "__all__", []))
    assert len(exported) == len(set(exported))
    assert [one for one in exported if not hasattr(module, one)] == []
