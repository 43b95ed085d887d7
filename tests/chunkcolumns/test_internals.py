"""Private names of other libraries are used in one file, and the package stands alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import awkward as ak
from coffea.analysis_tools import PackedSelection

from chunkcolumns.library_internals import LazyArray, selection_hooks

SOURCE = Path(__file__).resolve().parents[2] / "src"
INTERNALS = SOURCE / "chunkcolumns" / "library_internals.py"
FOREIGN = re.compile(r"(awkward|coffea|uproot)\S*\._")
PRIVATE = re.compile(
    r"\b_(layout|behavior|attrs|cpp_type|numbaview|generator|lookup|extract_base_form)\b"
)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_package_imports_nothing_of_the_kit() -> None:
    for path in (SOURCE / "chunkcolumns").glob("*.py"):
        assert not [name for name in imports(path) if name.startswith("intccms")], path.name


def test_private_names_of_awkward_and_coffea_are_in_one_file() -> None:
    faults = []
    for path in SOURCE.rglob("*.py"):
        if path == INTERNALS:
            continue
        private = [one for one in imports(path) if FOREIGN.match(one)]
        attributes = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr)
        }
        faults += [f"{path.relative_to(SOURCE)}: {name}" for name in (*private, *attributes)]
    assert not faults


def test_a_lazy_array_has_all_that_awkward_sets() -> None:
    """Fails when a release of awkward adds an attribute; see `LazyArray`."""
    missing = [name for name in vars(ak.Array([1])) if not hasattr(LazyArray, name)]
    assert missing == []


def test_selections_are_as_before_after_the_block() -> None:
    before = PackedSelection.add, PackedSelection.all
    with selection_hooks(lambda *args: args[2], lambda *args: args[2]):
        selection = PackedSelection()
        selection.add("a", ak.Array([True, False]))
        seen = selection.all("a").tolist()
    assert seen == [True, False]
    assert (PackedSelection.add, PackedSelection.all) == before
