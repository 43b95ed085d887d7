"""Jobs are executed by papermill, some at a time; what is done is not repeated."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest

from intccms.batch import write_submit_file
from intccms.batch.running import Outcome, results_table
from intccms.cli import main


def run(notebook: Path, out: Path, *more: str) -> int:
    return main(["batch", str(notebook), "--out", str(out), *more])


def test_a_grid_is_executed_and_collected(
    notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(notebook, out, "-p", "scale", "2.5", "--grid", "label=a,b", "--jobs", "2") == 0
    for label in "ab":
        seen = json.loads((out / f"label-{label}" / "seen.json").read_text())
        assert seen == [label, 0, 2.5, [], []]
        assert nbformat.read(out / f"label-{label}" / "small.ipynb", as_version=4).cells
    assert "label-b    done" in capsys.readouterr().out


def test_what_is_done_is_not_repeated_and_what_failed_is(
    notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(notebook, out, "--grid", "label=good,bad") == 1
    printed = capsys.readouterr()
    assert "label-bad: failed" in printed.out
    assert "AssertionError: a bad label" in printed.out
    assert "1 of 2 jobs did not end well: label-bad" in printed.err
    (out / "label-good" / "seen.json").unlink()
    assert run(notebook, out, "--grid", "label=good,bad") == 1
    assert "label-good: done before" in capsys.readouterr().out
    assert not (out / "label-good" / "seen.json").exists()


def test_a_changed_notebook_is_executed_again(notebook: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(notebook, out) == 0
    (out / "seen.json").unlink()
    changed = nbformat.read(notebook, as_version=4)
    changed.cells[1].source += "\n# changed"
    nbformat.write(changed, notebook)
    assert run(notebook, out) == 0
    assert (out / "seen.json").exists()


def test_an_unknown_parameter_is_wrong_input_and_nothing_runs(
    notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(notebook, tmp_path / "out", "-p", "lable", "x") == 2
    assert "no parameter 'lable'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_one_job_of_the_grid_can_be_asked_for(notebook: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(notebook, out, "--grid", "label=a,b", "--only", "1") == 0
    assert not (out / "label-a").exists()
    assert (out / "label-b" / "seen.json").exists()
    assert run(notebook, out, "--grid", "label=a,b", "--only", "2") == 2


def test_a_submit_file_for_htcondor_queues_every_job(notebook: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(notebook, out, "--grid", "label=a,b,c", "--submit", "htcondor") == 0
    text = (out / "submit.sub").read_text()
    assert "queue 3" in text
    assert "arguments = $(Process)" in text
    script = out / "job.sh"
    done = subprocess.run([script, "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((out / "label-c" / "seen.json").read_text())[0] == "c"


def test_a_submit_file_for_slurm_is_a_script_that_bash_understands(tmp_path: Path) -> None:
    path = write_submit_file("slurm", ["n b.ipynb", "-p", "x", "a b"], tmp_path, n_jobs=4)
    assert "--array=0-3" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)


def test_the_table_lists_the_fit_of_every_signal() -> None:
    fit = {"signal_strength": 0.5, "signal_strength_error": 0.1}
    summary: dict[str, Any] = {
        "datasets": {"a": {"processed": {"events": 1500}, "lost": {"events": None}}},
        "fit": {"z1": fit, "z2": fit},
        "limits": {"z1": {"expected": 0.25}},
    }
    table = results_table([Outcome("one", "done", 1.0, summary=summary)])
    assert table.rows[1] == ["one", "done", "1,500", "0", "z1", "0.50 ± 0.10", "0.25"]
    assert table.rows[2] == ["", "", "", "", "z2", "0.50 ± 0.10", "-"]
