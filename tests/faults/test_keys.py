"""What was stored is taken again when, and only when, it is what would be computed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.engine import keys
from tests.faults.inputs import events_of, write_corrections, write_events
from tests.faults.package import (
    CONFIGURATION,
    DIGESTS,
    HELPERS,
    Edit,
    digests_of,
    loaded,
    written,
)
from tests.faults.runs import bits, statuses

# What these give is in the keys as a value, or decides only whether there are sums at all.
WITHOUT_SUMS = {
    "datasets",
    "errors",
    "fingerprint",
    "interrupts",
    "redaction",
    "schema",
    "usercode",
    "storage",
}
N_CHUNKS = 3 * 3  # two files of simulation and one of data

OTHER_RESULT: dict[str, Edit] = {
    "a cut": (CONFIGURATION, "jets.pt > 30", "jets.pt > 35"),
    "a helper function": (HELPERS, "ak.sum(jets.pt, axis=1)", "ak.sum(jets.pt, axis=1) / 2"),
    "a constant of a helper module": (HELPERS, "MIN_HT = 60.0", "MIN_HT = 70.0"),
    "a set of a helper module": (HELPERS, '"Muon", "Electron"', '"Muon"'),
    "a constant that a lambda captured": (CONFIGURATION, "shifted(10.0)", "shifted(11.0)"),
    "a number given to the lumi mask": (CONFIGURATION, '"last": 1000', '"last": 0'),
    "bins": (CONFIGURATION, '"0,300,10"', '"0,301,10"'),
}
SAME_SUMS: dict[str, Edit] = {
    "a comment": (HELPERS, "MIN_HT = 60.0", "# why\n\nMIN_HT = 60.0  # GeV"),
    "a docstring": (CONFIGURATION, "Events with jets.", "Events with some jets."),
    "an unused constant": (HELPERS, "MIN_HT = 60.0", "MIN_HT = 60.0\nOTHER = 1"),
    "a colour": (CONFIGURATION, "#907AD6", "#000000"),
    "a label": (CONFIGURATION, "MET [GeV]", "missing momentum [GeV]"),
    "the luminosity": (CONFIGURATION, '"lumi": 1000.0', '"lumi": 2000.0'),
    "a cross section": (CONFIGURATION, '"cross_sections": 5.0', '"cross_sections": 6.0'),
    "a redirector": (CONFIGURATION, '"redirector": ""', '"redirector": "root://127.0.0.1:1/"'),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    for number, name in enumerate(("ttbar/0.root", "ttbar/1.root", "data/0.root")):
        (folder / name).parent.mkdir(exist_ok=True)
        columns = events_of(number)
        if name.startswith("data"):
            del columns["genWeight"], columns["Pileup_nTrueInt"]
        write_events(folder / name, columns)
    write_corrections(folder / "corrections.json")
    (folder / "golden.json").write_text('{"1": [[1, 5]]}')
    return folder


def result_of(package: Path, base: Path, out: Path) -> AnalysisResult:
    overrides = {"general.base_dir": str(base), "general.output_dir": str(out)}
    return runner.run(loaded(package, overrides))


@pytest.fixture(scope="module")
def first(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Output folder of a first run, and the bits that it gave."""
    package = written(tmp_path_factory.mktemp("package"))
    out = tmp_path_factory.mktemp("out")
    result = result_of(package, base, out)
    assert statuses(result) == {"done": N_CHUNKS}
    assert (result.histograms.histograms["all", "met"][:, "data", "nominal"].values() > 0).any()
    return out, bits(result)


@pytest.fixture
def out(first: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the first run's results."""
    return Path(shutil.copytree(first[0], tmp_path / "out"))


@pytest.mark.parametrize("edit", OTHER_RESULT.values(), ids=OTHER_RESULT)
def test_another_function_gives_another_result(
    base: Path, first: tuple[Path, str], out: Path, tmp_path: Path, edit: Edit
) -> None:
    package = written(tmp_path / "package", edit)
    again = result_of(package, base, out)
    fresh = result_of(package, base, tmp_path / "fresh")
    assert bits(again) == bits(fresh) != first[1]
    assert again.ledger.is_complete


@pytest.mark.parametrize("edit", SAME_SUMS.values(), ids=SAME_SUMS)
def test_what_does_not_change_the_sums_takes_them_as_they_are(
    base: Path, out: Path, tmp_path: Path, edit: Edit
) -> None:
    package = written(tmp_path / "package", edit)
    again = result_of(package, base, out)
    fresh = result_of(package, base, tmp_path / "fresh")
    assert statuses(again) == {"resumed": N_CHUNKS}
    assert bits(again) == bits(fresh)


def other_correction(base: Path) -> None:
    write_corrections(base / "corrections.json", nominal=1.5)


def other_golden_json(base: Path) -> None:
    (base / "golden.json").write_text('{"1": [[1, 2]]}')


@pytest.mark.parametrize(
    ("change", "n_same"),
    [(other_correction, 3), (other_golden_json, 6)],
    ids=["a correction", "a golden JSON"],
)
def test_another_content_of_a_file_gives_another_result(
    base: Path,
    first: tuple[Path, str],
    out: Path,
    tmp_path: Path,
    change: Callable[[Path], None],
    n_same: int,
) -> None:
    elsewhere = Path(shutil.copytree(base, tmp_path / "base"))
    change(elsewhere)
    package = written(tmp_path / "package")
    again = result_of(package, elsewhere, out)
    fresh = result_of(package, elsewhere, tmp_path / "fresh")
    assert bits(again) == bits(fresh) != first[1]
    assert statuses(again) == {"cached": N_CHUNKS - n_same, "resumed": n_same}


def test_processes_agree_on_the_keys_whatever_their_hash_seed_place_or_comments(
    base: Path, tmp_path: Path
) -> None:
    package = written(tmp_path / "one")
    clone = written(tmp_path / "a/clone elsewhere", SAME_SUMS["a comment"])
    known = digests_of(package, base, PYTHONHASHSEED="1")
    assert None not in json.loads(known).values()
    assert digests_of(package, base, PYTHONHASHSEED="2") == known
    assert digests_of(clone, base, PYTHONHASHSEED="3") == known


def test_a_constant_of_a_helper_module_changes_the_keys_of_all_datasets(
    base: Path, tmp_path: Path
) -> None:
    known = json.loads(digests_of(written(tmp_path / "one"), base))
    edit = OTHER_RESULT["a constant of a helper module"]
    other = json.loads(digests_of(written(tmp_path / "two", edit), base))
    assert known.keys() == other.keys()
    assert not set(known.values()) & set(other.values())


def test_all_our_code_that_makes_sums_counts_in_the_keys() -> None:
    code = (
        "import sys, intccms.engine.processor, intccms.execution.chunk\n"
        "print(*(name for name in sys.modules if name.startswith('intccms.')))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    packages = {name.split(".")[1] for name in done.stdout.split()}
    counted = {pattern.partition("/")[0].removesuffix(".py") for pattern in keys.CODE}
    assert packages - counted <= WITHOUT_SUMS


def notebook_says(package: Path, base: Path) -> Any:
    """Run a notebook in a kernel of its own: one function stands in a cell."""
    cells = [
        f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}",
        "def harder(jets):\n    return jets.pt > LIMIT\n\nLIMIT = 33.0",
        DIGESTS.replace("digests =", "# the cut of the cell above\nold =") % str(base),
        "from ana.configuration import config as table\n"
        "table['good_object_masks']['analysis'][0]['function'] = harder\n"
        f"config = load_config(table, {{'general.base_dir': {str(base)!r}}})\n"
        "digests = dataset_digests(make_processor(config, DatasetManager(config).fileset()))\n"
        "print(json.dumps([old, digests]))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": package}}
    ).execute()
    return json.loads(notebook.cells[-1].outputs[0]["text"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_agrees_with_itself_after_a_restart_of_its_kernel(
    base: Path, tmp_path: Path
) -> None:
    package = written(tmp_path / "package")
    from_module, from_cell = notebook_says(package, base)
    assert notebook_says(package, base) == [from_module, from_cell]
    assert from_module == json.loads(digests_of(package, base))
    assert None not in from_cell.values()
    assert not set(from_module.values()) & set(from_cell.values())
