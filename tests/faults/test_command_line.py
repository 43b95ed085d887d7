"""What a user sees at the end of a run that went wrong: on the command line, in real processes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uproot

from intccms.analysis.runner import AnalysisResult
from intccms.cli import main
from tests.faults.analysis import N_EVENTS
from tests.faults.conftest import N_FILES
from tests.faults.inputs import broken, events_of, list_files, write_events
from tests.faults.runs import ROOT

CONFIG = "tests.faults.analysis:config"
FAULTY = """
import numpy as np
from tests.faults.analysis import leave_mark, make_config

def table(bins):
    return np.ones(3)[bins]  # out of range

def faulty(pt):
    if len(pt):
        leave_mark("faulty")
        return pt * table(10)
    return pt

config = make_config()
config["channels"][0]["observables"][0]["function"] = faulty
"""


def intccms(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join((str(ROOT / "src"), str(ROOT), str(cwd)))
    return subprocess.run(
        [sys.executable, "-m", "intccms", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, **env},
        timeout=200,
    )


@pytest.fixture
def own(exported: Path, tmp_path: Path) -> Path:
    """Folder of a listing of files that a test may break."""
    files = Path(shutil.copytree(exported / "store", tmp_path / "files"))
    return list_files(tmp_path / "base", sorted(files.glob("*.root")))


def summary_of(out: Path) -> dict[str, object]:
    summary: dict[str, object] = json.loads((out / "run_summary.json").read_text())
    return summary


def test_the_command_that_is_printed_goes_on_with_what_was_lost(
    own: Path, exported: Path, tmp_path: Path, expected: AnalysisResult
) -> None:
    out, file = tmp_path / "out put", tmp_path / "files" / "3.root"
    broken(file, "truncated")
    settings = [
        f"general.base_dir={own}",
        f"general.output_dir={out}",
        "general.run_systematics=False",  # fewer figures
    ]
    lossy = intccms("run", "--config", CONFIG, *settings)
    assert lossy.returncode == 3, lossy.stderr
    assert "3.root" in lossy.stdout + lossy.stderr
    assert "Traceback" not in lossy.stderr
    command = lossy.stderr.partition("what is missing: ")[2].splitlines()[0]
    name, *arguments = shlex.split(command)
    assert name == "intccms"
    shutil.copy(exported / "store" / "3.root", file)
    complete = intccms(*arguments)
    assert complete.returncode == 0, complete.stderr
    ledger = json.dumps(summary_of(out))
    assert f'"events": {N_FILES * N_EVENTS}' in ledger
    saved = len(list(out.glob("partials/*/*.partial")))
    assert saved == len(expected.reports)
    histogram = expected.histograms.histograms["all", "met"][:, "ttbar", "nominal"]
    with uproot.open(out / "histograms" / "histograms.root") as histograms:
        values = histograms["all/met/ttbar/nominal"].values()
    # the ROOT file holds what lies outside of a fitted observable in its first and last bin
    raw = histogram.values(flow=True)
    folded = [raw[0] + raw[1], *raw[2:-2], raw[-2] + raw[-1]]
    assert values.tolist() == folded


@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_a_fault_of_the_user_is_shown_once_at_his_line_and_stops_the_run(
    own: Path, tmp_path: Path, executor: str
) -> None:
    (tmp_path / "faulty_analysis.py").write_text(FAULTY)
    line = 1 + FAULTY.splitlines().index("    return np.ones(3)[bins]  # out of range")
    marks = tmp_path / "marks"
    settings = [
        f"general.base_dir={own}",
        f"general.output_dir={tmp_path / 'out'}",
        f"general.executor={executor}",
        "general.n_workers=2",
    ]
    arguments = ("run", "--config", "faulty_analysis:config", *settings)
    done = intccms(*arguments, cwd=tmp_path, MARKS=str(marks))
    assert done.returncode == 1, done.stderr
    said = done.stdout + done.stderr
    assert said.count("Traceback (most recent call last)") == 1
    assert said.count("return np.ones(3)[bins]  # out of range") == 1
    assert f'faulty_analysis.py", line {line}, in table' in said
    assert said.rstrip().endswith("IndexError: index 10 is out of bounds for axis 0 with size 3")
    assert "channels.all.met" in done.stderr
    n_chunks = N_FILES * 5
    assert 1 <= marks.read_text().count("faulty") < n_chunks / 2


def test_inspect_counts_events_that_are_there_more_than_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{number}.root" for number in range(3)]
    for path, number in zip(paths, (0, 1, 0), strict=True):  # written twice: another file
        write_events(path, events_of(number))
    base = list_files(tmp_path / "base", paths)
    found = tmp_path / "found.json"
    settings = [f"general.base_dir={base}", f"general.output_dir={tmp_path / 'out'}"]
    options = ["--config", CONFIG, "--duplicates", "--json", str(found)]
    assert main(["inspect", *options, *settings]) == 0
    [counted] = json.loads(found.read_text())["duplicates"]
    assert (counted["n_events"], counted["n_repeated"]) == (3 * N_EVENTS, N_EVENTS)
    assert f"{N_EVENTS}" in capsys.readouterr().out
