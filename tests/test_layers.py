"""Imports go down the floors of the house, never up and never sideways."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "intccms"
SAMPLE = PACKAGE.parent / "nanosample"  # a package of its own beside the library

FLOORS = {
    "cli": 11,
    "notebook": 11,
    "batch": 10,
    "first_inputs": 10.5,
    "new_analysis": 10,
    "pipeline": 10,
    "metrics": 9,
    "widgets": 10.5,  # shows what a pipeline has saved
    "preflight": 9,
    "plots": 8,
    "statistics": 7,
    "mva": 7,
    "analysis": 6,
    "engine": 5,
    "execution": 3,
    "skimming": 4,  # planned and written by an executor
    "histograms": 3,
    "datasets": 2,
    "facility": 2.5,  # uses datasets and fingerprint; execution uses it
    "reading": 2.5,  # uses datasets; execution and skimming use it
    "fingerprint": 0.7,  # what it says of values is used from everywhere
    "schema": 1,
    "utils": 1,
    "interrupts": 1,
    "usercode": 0.5,
    "storage": 0.3,  # files are written from everywhere
    "errors": 0,
    "redaction": -1,  # nothing is said without it
}
SAMPLE_MAY_IMPORT = {"errors", "schema"}  # of the library, of which few import the sample
MAKE_SAMPLES = {"cli", "first_inputs"}
ENTRY_POINTS = {"__main__": {"cli"}, "__init__": {"errors", "redaction"}}
# No computing package may need a display, a browser or a notebook.
SHOWS = {"matplotlib", "mplhep", "bokeh", "ipywidgets", "IPython", "jupyter_bokeh"}
MAY_SHOW = {"plots", "widgets", "notebook", "cli", "pipeline"}
DRAWINGS = {  # the files of metrics that draw; workers load the others
    "metrics/inspector/page.py",
    "metrics/inspector/plots.py",
    "metrics/live.py",
    "metrics/panel.py",
    "metrics/progress.py",
    "metrics/report.py",
    "metrics/still.py",
}


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path, package: Path = PACKAGE) -> str:
    """Package or module directly under `intccms` that a file belongs to."""
    first = path.relative_to(package).parts[0]
    return first.removesuffix(".py")


def imported_names(source: str) -> list[tuple[int, str]]:
    """Line and full name of everything imported, wherever in the file; relative ones with dots."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "intccms":  # from intccms import errors
                found += [(node.lineno, f"intccms.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, module))
    return found


def wrong_arrow(importer: str, imported: str) -> str | None:
    """Say why one room must not import another, or None."""
    reason = None
    if importer == imported:
        pass
    elif importer in ENTRY_POINTS:
        if imported not in ENTRY_POINTS[importer]:
            reason = "an entry point stays thin"
    elif imported not in FLOORS:
        reason = f"{imported!r} has no floor"
    elif FLOORS[imported] >= FLOORS[importer]:
        reason = f"floor {FLOORS[importer]} must not import floor {FLOORS[imported]}"
    return reason


def faults_of(path: Path, package: Path = PACKAGE) -> list[str]:
    """Every forbidden import of one file."""
    importer = room_of(path, package)
    where = path.relative_to(package).as_posix()
    faults = []
    for line, name in imported_names(path.read_text()):
        parts = name.split(".")
        reason = None
        if name.startswith("."):
            reason = "imports are written in full"
        elif parts[0] == "intccms" and len(parts) > 1:
            reason = wrong_arrow(importer, parts[1])
        elif parts[0] == "nanosample" and importer not in MAKE_SAMPLES:
            reason = "only cli and first_inputs import nanosample"
        elif parts[0].startswith("example_") or parts[0] == "tests":
            reason = "the library knows no example and no test"
        elif parts[0] in SHOWS and importer not in MAY_SHOW and where not in DRAWINGS:
            reason = "what computes does not draw"
        if reason:
            faults.append(f"{where}:{line} imports {name}: {reason}")
    return faults


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in source_files()}
    assert rooms <= set(FLOORS) | set(ENTRY_POINTS)


def test_imports_only_go_down() -> None:
    faults = [fault for path in source_files() for fault in faults_of(path)]
    assert not faults, "\n".join(faults)


def test_the_sample_uses_little_of_the_library() -> None:
    names = {name for path in SAMPLE.rglob("*.py") for _, name in imported_names(path.read_text())}
    rooms = {name.split(".")[1] for name in names if name.startswith("intccms.")}
    assert rooms <= SAMPLE_MAY_IMPORT
    assert not {name.split(".")[0] for name in names} & (SHOWS | {"tests"})


@pytest.mark.parametrize(
    ("where", "source", "reason"),
    [
        ("schema/base.py", "from intccms.analysis import runner", "floor 1"),
        ("histograms/book.py", "def f():\n    import intccms.skimming.columns", "floor 3"),
        ("execution/retry.py", "from intccms import histograms", "floor 3"),
        ("pipeline.py", "from nanosample import write_sample", "only cli"),
        ("datasets/manager.py", "from .fileset import Fileset", "in full"),
        ("errors.py", "from intccms.newroom import x", "no floor"),
        ("analysis/batch.py", "import matplotlib.pyplot as plt", "does not draw"),
        ("analysis/batch.py", "import example_opendata", "no example"),
        ("metrics/recorder.py", "import bokeh.plotting", "does not draw"),
        ("__init__.py", "from intccms.analysis import runner", "entry point"),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path: Path, where: str, source: str, reason: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    faults = faults_of(path, tmp_path)
    assert len(faults) == 1
    assert reason in faults[0]


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("analysis/runner.py", "from intccms.datasets.metadata import collect"),
        ("schema/physics.py", "from intccms.schema.base import Model"),
        ("cli.py", "from nanosample import write_sample"),
        ("metrics/inspector/plots.py", "import matplotlib.pyplot as plt"),
        ("metrics/report.py", "import numpy as np\nfrom intccms.errors import InputError"),
    ],
)
def test_a_right_arrow_passes(tmp_path: Path, where: str, source: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    assert faults_of(path, tmp_path) == []


@pytest.mark.parametrize("module", ["intccms", "intccms.errors", "intccms.schema"])
def test_what_users_import_first_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"coffea", "awkward", "uproot", "numba", "matplotlib", "dask", "cabinetry"}
    assert not heavy & set(done.stdout.split())
