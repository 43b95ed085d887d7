from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

# An analysis of several modules, of which `select` is the function that the configuration names.
BASE = {
    "analysis.py": '''
"""An analysis."""
import functools
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple
import numpy as np
from numba import njit
from pydantic import BaseModel, Field
import helpers
import tools.limits as limits
from helpers import scale

THRESHOLD = 30.0
CUTS = {"pt": 20, "eta": 2.4}
NAMES = {"alpha", "beta", "gamma"}
TABLE = np.array([1.0, 2.0])
UNUSED = 1

def widened(width, offset=0):
    return lambda x: x * width + offset

widen = widened(2)
half = functools.partial(scale, factor=0.5)

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

class Side(Enum):
    LEFT = 1
    RIGHT = 2

class Point(NamedTuple):
    x: float
    y: float = 7.0

class Settings(BaseModel):
    mass: float = Field(80.4, gt=0)

@dataclass
class Window:
    low: float = 1.0
    steps: list = field(default_factory=lambda: [1, 2])

    def inside(self, x):
        """Whether x is inside."""
        return self.low < x < self.width()

    def width(self):
        return 100

class Wide(Window):
    def width(self):
        return super().width() + 1000

WINDOW = Wide(2.0)

@functools.lru_cache
def table(n):
    return helpers.entries(n)

@njit(fastmath=True)
def kernel(x):
    return x * 3 + helpers.FACTOR

def select(pt, *, cut=10):
    """Events that pass."""
    try:
        passed = [p for p in pt if p > THRESHOLD and p in {1, "two", None}]
    except (ValueError, KeyError):
        raise
    inner = lambda q: (lambda r: r + helpers.CUT)(q)
    from late import LATE
    import tools.numbers as numbers
    values = {k: v for k, v in CUTS.items()}, sorted(NAMES), TABLE, half, widen
    if even(len(passed)) and WINDOW.inside(cut) and limits.HIGH:
        return inner(LATE), numbers.PI, values, table(3), kernel(2.0)
    return Side.LEFT, Point(1.0), Settings()
''',
    "helpers.py": """
import fractions
from tools import deep

__author__ = "nobody"
__cuts__ = (1, 2)
fractions.STEP = 7
CUT = 3
UNUSED = 4
FACTOR = 1.5

def scale(x, factor=1.0):
    return x * factor * deep.POWER * __cuts__[1]

def entries(n):
    return [n] * OTHER

OTHER = 2
""",
    "tools/__init__.py": "",
    "tools/limits.py": "HIGH = True\nLOW = False\n",
    "tools/deep.py": "POWER = 2.5\n",
    "tools/numbers.py": "PI = 3.14\n",
    "late.py": "LATE = 1\nLATER = 2\n",
}
SAME = {
    "a comment": ("analysis.py", "THRESHOLD = 30.0", "# why\nTHRESHOLD = 30.0  # GeV"),
    "a comment in the function": ("analysis.py", "    try:\n", "    # here\n\n    try:\n"),
    "another docstring": ("analysis.py", "Events that pass.", "Events that do not."),
    "no docstring": ("analysis.py", '    """Events that pass."""\n', ""),
    "another docstring of a method": ("analysis.py", "Whether x is inside.", "No?"),
    "an unused global": ("analysis.py", "UNUSED = 1", "UNUSED = 2"),
    "an unused name of a helper": ("helpers.py", "UNUSED = 4", "UNUSED = 5"),
    "an unused name of an imported module": ("late.py", "LATER = 2", "LATER = 3"),
    "an unused name with underscores": ("helpers.py", '"nobody"', '"somebody"'),
    "an unused name of a package": ("tools/limits.py", "LOW = False", "LOW = True"),
    "annotations": (
        "analysis.py",
        "def select(pt, *, cut=10)",
        "def select(pt: int, *, cut: int=10)",
    ),
    "a docstring of a helper": (
        "helpers.py",
        "def entries(n):",
        'def entries(n):\n    """Some."""',
    ),
    "the order of a set": (
        "analysis.py",
        '{"alpha", "beta", "gamma"}',
        '{"gamma", "beta", "alpha"}',
    ),
    "lines": ("analysis.py", "def even(n):\n    return", "def even(n):\n    pass\n    return"),
}
OTHER = {
    "a constant of a helper, in a nested lambda": ("helpers.py", "CUT = 3", "CUT = 3.0"),
    "a constant of a helper's helper": ("tools/deep.py", "POWER = 2.5", "POWER = 2"),
    "a constant of a helper's function": ("helpers.py", "OTHER = 2", "OTHER = 3"),
    "a name in a comprehension": ("analysis.py", "THRESHOLD = 30.0", "THRESHOLD = 31.0"),
    "a constant in the code": ("analysis.py", '"two", None', '"three", None'),
    "a name imported in the function": ("late.py", "LATE = 1", "LATE = 2"),
    "a module imported in the function": ("tools/numbers.py", "PI = 3.14", "PI = 3.1416"),
    "an attribute of a package's module": ("tools/limits.py", "HIGH = True", "HIGH = 1"),
    "a default": ("analysis.py", "cut=10", "cut=11"),
    "a name with underscores": ("helpers.py", "(1, 2)", "(1, 3)"),
    "what is set in a package": ("helpers.py", "fractions.STEP = 7", "fractions.STEP = 8"),
    "a default of a helper": ("helpers.py", "factor=1.0", "factor=1.1"),
    "a default of a closure": ("analysis.py", "offset=0", "offset=1"),
    "a captured value": ("analysis.py", "widened(2)", "widened(3)"),
    "an argument of partial": ("analysis.py", "factor=0.5", "factor=0.25"),
    "an array": ("analysis.py", "[1.0, 2.0]", "[1.0, -2.0]"),
    "a sign of zero": ("analysis.py", "offset=0", "offset=-0.0"),
    "an element of a set": ("analysis.py", '"gamma"}', '"delta"}'),
    "a value of a dict": ("analysis.py", '"eta": 2.4', '"eta": 2.5'),
    "the order of a dict": ("analysis.py", '"pt": 20, "eta": 2.4', '"eta": 2.4, "pt": 20'),
    "one of two that call each other": ("analysis.py", "n != 0 and", "n != 1 and"),
    "a method": ("analysis.py", "self.low < x", "self.low <= x"),
    "a method of the base class": ("analysis.py", "return 100\n", "return 101\n"),
    "the base class": ("analysis.py", "class Wide(Window)", "class Wide(Window, dict)"),
    "a field of an instance": ("analysis.py", "Wide(2.0)", "Wide(3.0)"),
    "a default of a dataclass": ("analysis.py", "low: float = 1.0", "low: float = 1.5"),
    "a factory of a dataclass": ("analysis.py", "[1, 2]", "[1, 3]"),
    "a member of an enum": ("analysis.py", "LEFT = 1", "LEFT = 3"),
    "a default of a tuple": ("analysis.py", "y: float = 7.0", "y: float = 8.0"),
    "a default of a model": ("analysis.py", "Field(80.4", "Field(80.5"),
    "a constraint of a model": ("analysis.py", "gt=0", "ge=0"),
    "a cached function": ("analysis.py", "helpers.entries(n)", "helpers.entries(n + 1)"),
    "a compiled function": ("analysis.py", "x * 3", "x * 4"),
    "a name in a compiled function": ("helpers.py", "FACTOR = 1.5", "FACTOR = 1.6"),
    "an option of the compiler": ("analysis.py", "fastmath=True", "fastmath=False"),
    "what an exception does": ("analysis.py", "(ValueError, KeyError)", "(ValueError, OSError)"),
    "where an exception is caught": (
        "analysis.py",
        '    try:\n        passed = [p for p in pt if p > THRESHOLD and p in {1, "two", None}]\n',
        '    passed = [p for p in pt if p > THRESHOLD and p in {1, "two", None}]\n'
        "    try:\n        pass\n",
    ),
}
CHILD = """
import json
import sys
from importlib import import_module
from intccms.fingerprint.digest import fingerprint

found = {}
installed = set(sys.modules)
for name, folder in json.load(sys.stdin).items():
    sys.path.insert(0, folder)
    answer = fingerprint(import_module("analysis").select)
    assert not answer.unstable, answer.unstable
    found[name] = answer.digest
    sys.path.remove(folder)
    for module in ("analysis", "helpers", "late", "tools", "tools.limits", "tools.deep",
                   "tools.numbers"):
        sys.modules.pop(module, None)
print(json.dumps(found))
"""


def run(code: str, *, text: str = "", seed: int = 0, path: Path | None = None) -> str:
    """What a fresh process prints."""
    places = [*([str(path)] if path else []), *(str(Path(one).resolve()) for one in sys.path)]
    env = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(
        command, cwd=path, input=text, capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write(folder: Path, change: tuple[str, str, str] | None = None) -> str:
    for name, source in BASE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if change and change[0] == name:
            assert change[1] in source
            source = source.replace(change[1], change[2])
        path.write_text(source)
    return str(folder)


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digest of `select` by change, each in a folder of its own."""
    root = tmp_path_factory.mktemp("clones")
    changes = {"base": None, "another clone": None, **SAME, **OTHER}
    folders = {
        name: write(root / f"clone{number}", change)
        for number, (name, change) in enumerate(changes.items())
    }
    return json.loads(run(CHILD, text=json.dumps(folders)))


@pytest.mark.parametrize("change", ["another clone", *SAME])
def test_what_computes_nothing_does_not_count(digests: dict[str, str], change: str) -> None:
    assert digests[change] == digests["base"]


@pytest.mark.parametrize("change", OTHER)
def test_what_may_change_a_result_counts(digests: dict[str, str], change: str) -> None:
    assert digests[change] != digests["base"]


def test_all_changes_differ_from_each_other(digests: dict[str, str]) -> None:
    assert len({digests[name] for name in OTHER}) == len(OTHER)


@pytest.mark.parametrize("seed", [1, 42])
def test_the_hash_seed_does_not_count(digests: dict[str, str], tmp_path: Path, seed: int) -> None:
    folders = {"base": write(tmp_path)}
    assert json.loads(run(CHILD, text=json.dumps(folders), seed=seed)) == {"base": digests["base"]}


def test_a_call_does_not_change_a_function(tmp_path: Path) -> None:
    write(tmp_path)
    code = """
from intccms.fingerprint.digest import fingerprint
import analysis
before = fingerprint(analysis.select).digest
for _ in range(200):  # so that the interpreter specialises the code
    analysis.select([1], cut=30)
    analysis.select([1, 50, "two"][:1], cut=1)
    analysis.table(3)
    analysis.kernel(2.0)
assert fingerprint(analysis.select).digest == before
"""
    run(code, path=tmp_path)


NOTEBOOK = [
    "import helpers\nfrom late import LATE\nCUT = 5",
    "class Selection:\n    low = CUT\n    def __call__(self, pt):\n        return pt > self.low",
    "mine = Selection()\ndef select(pt):\n    return mine(pt) & helpers.CUT & LATE",
    "from pathlib import Path\nimport cloudpickle\n"
    "from intccms.fingerprint.digest import fingerprint\n"
    "Path('digest').write_text(fingerprint(select).digest)\n"
    "Path('pickle').write_bytes(cloudpickle.dumps(select))",
]


def run_notebook(folder: Path, cells: list[str]) -> str:
    """Digest of `select` in a kernel of its own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, folder / "book.ipynb")
    code = "import papermill; papermill.execute_notebook('book.ipynb', None, progress_bar=False)"
    run(code, path=folder)
    return (folder / "digest").read_text()


def test_a_notebooks_functions_survive_the_restart_of_the_kernel(tmp_path: Path) -> None:
    write(tmp_path)
    first = run_notebook(tmp_path, NOTEBOOK)
    later = [f"# a comment\n\n{cell}" for cell in ["1 + 1", *NOTEBOOK]]
    assert run_notebook(tmp_path, later) == first
    on_a_worker = """
from pathlib import Path
import cloudpickle
from intccms.fingerprint.digest import fingerprint
print(fingerprint(cloudpickle.loads(Path("pickle").read_bytes())).digest)
"""
    assert run(on_a_worker, path=tmp_path) == first
    changed = [NOTEBOOK[0].replace("5", "6"), *NOTEBOOK[1:]]
    assert run_notebook(tmp_path, changed) != first
