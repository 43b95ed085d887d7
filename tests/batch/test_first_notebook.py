"""Our own notebook as a job: killed and begun again, in a real Slurm, and as a page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from intccms.cli import main
from intccms.histograms import storage
from intccms.schema import load_config
from nanosample import write_sample
from tests.facility.conftest import same
from tests.pipeline.runs import NOMINAL_ONLY

pytestmark = pytest.mark.slow

PROCESSES = "[signal,ttbar_semilep,data]"


def command(notebook: Path, out: Path, nominal: list[str]) -> list[str]:
    return ["batch", str(notebook), "--out", str(out), *nominal]


def summary(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "run_summary.json").read_text())
    return found


@pytest.fixture(scope="module")
def done(
    first_notebook: Path, nominal: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Directory of a job that nobody disturbed."""
    out = tmp_path_factory.mktemp("undisturbed") / "job"
    assert main([*command(first_notebook, out, nominal), "-p", "processes", PROCESSES]) == 0
    return out


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started, none of which can do anything about it."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in family:
        one.send_signal(signal.SIGKILL)
    process.wait(30)
    psutil.wait_procs(family[:-1], timeout=30)


def test_a_job_that_was_killed_goes_on_from_its_partials_with_the_same_bits(
    done: Path, first_notebook: Path, nominal: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "job"
    arguments = [*command(first_notebook, out, nominal), "-p", "processes", PROCESSES]
    first = subprocess.Popen(
        [sys.executable, "-m", "intccms", *arguments], stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 200
    while len(list(out.glob("partials/*/*.partial"))) < 5 and time.monotonic() < until:
        assert first.poll() is None
        time.sleep(0.02)
    kill(first)
    assert not (out / "job.json").exists()
    assert not (out / "run_summary.json").exists()
    assert main(arguments) == 0
    found = summary(out)
    assert found["status"] == "complete"
    chunks = [book["resumed"]["chunks"] for book in found["datasets"].values()]
    planned = [book["planned"]["chunks"] for book in found["datasets"].values()]
    assert 5 <= sum(chunks) < sum(planned)
    one, other = (storage.load(folder / "histograms") for folder in (out, done))
    assert same(one, other)
    assert found["yields"] == summary(done)["yields"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_workers", "many", "parameter n_workers of full_processing.ipynb is a int"),
        ("processes", "signal", "parameter processes of full_processing.ipynb is a list"),
        ("overides", "[]", "did you mean 'overrides'"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(
    first_notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str,
    value: str, message: str,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    assert main([*command(first_notebook, out, []), "-p", name, value]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_the_other_example_is_run_by_its_parameters(first_notebook: Path, tmp_path: Path) -> None:
    name, processes = "example_cms.configs.configuration:config", ["ttbar_semilep", "data"]
    asked = [f"general.processes={json.dumps(processes)}"]
    sample, out = tmp_path / "sample", tmp_path / "out"
    sizes: dict[str, Any] = {"files_per_process": 1, "events_per_file": 300, "is_lean": True}
    write_sample(sample, load_config(name, asked), **sizes)
    settings = ", ".join(["general.executor=iterative", *NOMINAL_ONLY])
    arguments = ["batch", str(first_notebook), "--out", str(out), "-p", "config", name]
    given = {"base_dir": sample, "processes": json.dumps(processes), "overrides": f"[{settings}]"}
    arguments += [str(part) for pair in given.items() for part in ("-p", *pair)]
    assert main(arguments) == 0
    found = summary(out)
    assert found["status"] == "complete"
    assert set(found["yields"]) == {"one_b_tag", "no_b_tag"}
    assert all(set(yields) == set(processes) for yields in found["yields"].values())


@pytest.mark.facility
def test_the_submit_file_runs_the_grid_in_slurm_and_the_results_are_collected(
    slurm_conf: Path,
    first_notebook: Path,
    nominal: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    out = tmp_path / "jobs"
    grid = ["--grid", f"processes={PROCESSES},[signal,wjets,data]"]
    arguments = [*command(first_notebook, out, nominal), *grid]
    assert main([*arguments, "--submit", "slurm", "--cores", "1"]) == 0
    assert "sbatch" in capsys.readouterr().out
    wait = ["sbatch", "--wait", str(out / "submit.sbatch")]
    ended = subprocess.run(wait, capture_output=True, text=True, check=False, timeout=280)
    logs = "\n".join(path.read_text()[-2000:] for path in out.glob("slurm-*.log"))
    assert ended.returncode == 0, ended.stderr + logs
    assert len(list(out.glob("slurm-*.log"))) == 2
    assert main(arguments) == 0  # finds both done, and prints the table
    table = capsys.readouterr().out
    assert table.count("done before") == 2
    for background in ("ttbar_semilep", "wjets"):
        job = out / f"processes-signal+{background}+data"
        found = summary(job)
        assert found["status"] == "complete"
        assert set(found["yields"]["CMS_WORKSHOP"]) == {"signal", background, "data"}
        assert (job / "full_processing.ipynb").exists()


class References(HTMLParser):
    """What a page runs, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts = 0
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        names = ("src", "srcset", "data", "poster") + (("href",) if tag == "link" else ())
        given = [value or "" for name, value in attrs if name in names]
        self.fetched += [value[:80] for value in given if not value.startswith("data:")]


def test_the_page_of_an_executed_notebook_shows_all_and_fetches_nothing(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook, page = done / "full_processing.ipynb", tmp_path / "page.html"
    assert main(["html", str(notebook), "--out", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text()
    seen = References(text)
    assert (seen.scripts, seen.fetched) == (0, [])
    assert "@import" not in text
    assert text.count("url(") == text.count("url(data:") + text.count("url('data:")
    cells = {cell.source: cell for cell in nbformat.read(notebook, as_version=4).cells}
    (frozen,) = (
        output.data["image/png"]
        for output in cells["session.watch.show()"].outputs
        if "image/png" in output.get("data", {})
    )
    assert frozen.strip() in text  # the last state of the panel
    assert "Yields ± statistical error" in text
    assert page.stat().st_size < 20e6


@pytest.mark.parametrize("what", ["absent.ipynb", "no_notebook.ipynb"])
def test_a_page_of_no_notebook_is_wrong_input(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no_notebook.ipynb").write_text("# words\n")
    assert main(["html", str(tmp_path / what)]) == 2
    assert what in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))
