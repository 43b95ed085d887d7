"""The command line: exit status, one clear line for bad input, and nothing written then."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

import intccms
from intccms.cli import main
from intccms.pipeline import read_summary

FEW = ("general.processes=[signal,ttbar_semilep,data]",)
QUICK = ("general.executor=iterative", "general.run_systematics=False")
DATASETS = "example_opendata/datasets"
CORRECTIONS = "example_opendata/corrections"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """`main` sets up logging, as a command may."""
    logger = logging.getLogger("intccms")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate = before[1]
    logger.handlers[:] = before[2]


def run(sample: Path, out: Path, *overrides: str, config: str | None = None) -> int:
    places = {"general.base_dir": sample, "general.output_dir": out}
    given = [f"{key}={json.dumps(str(value))}" for key, value in places.items()]
    chosen = [] if config is None else ["--config", config]
    return main(["run", *chosen, *given, *QUICK, *overrides])


def replace_text(path: Path, text: str) -> None:
    """Write anew what may be a link to the common sample."""
    path.unlink()
    path.write_text(text)


@pytest.fixture
def sample(tiny_sample: Path, tmp_path: Path) -> Path:
    """Copy the sample: links that may be replaced, never written to."""
    folder = tmp_path / "sample"
    shutil.copytree(tiny_sample, folder, copy_function=os.link)
    return folder


def no_listing(sample: Path) -> None:
    (sample / DATASETS / "ttbar_semilep" / "0.txt").unlink()


def empty_listing(sample: Path) -> None:
    replace_text(sample / DATASETS / "ttbar_semilep" / "0.txt", "# nothing\n\n")


def no_directory(sample: Path) -> None:
    shutil.rmtree(sample / DATASETS / "ttbar_semilep")


def no_readable_file(sample: Path) -> None:
    for path in (sample / DATASETS / "ttbar_semilep").glob("*.root"):
        replace_text(path, "not a ROOT file " * 100)


def no_correction_file(sample: Path) -> None:
    (sample / CORRECTIONS / "puWeights.json.gz").unlink()


def malformed_correction_file(sample: Path) -> None:
    path = sample / CORRECTIONS / "puWeights.json.gz"
    path.unlink()
    path.write_bytes(gzip.compress(b'{"schema_version": 2}'))


def malformed_golden_json(sample: Path) -> None:
    (path,) = (sample / CORRECTIONS).glob("Cert_*")
    replace_text(path, '{"273158": [[1, ')


def golden_json_of_another_kind(sample: Path) -> None:
    (path,) = (sample / CORRECTIONS).glob("Cert_*")
    replace_text(path, '{"273158": "all"}')


def unchanged(sample: Path) -> None:
    """Leave everything as it is."""


BAD_INPUT: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "unknown key": (unchanged, "general.run_statistic=False", "run_statistics"),
    "wrong type": (unchanged, "general.n_workers=many", "general.n_workers"),
    "not key=value": (unchanged, "general.n_workers", "key=value"),
    "unknown process": (unchanged, "general.processes=[ttbar_semilepp]", "ttbar_semilep"),
    "unknown channel": (unchanged, "general.channels=[CMS_WORKSHOPP]", "CMS_WORKSHOP"),
    "cross sections": (
        unchanged,
        "datasets.datasets.signal.cross_sections=[1.0,2.0]",
        "signal",
    ),
    "no listing": (no_listing, "", "ttbar_semilep"),
    "empty listing": (empty_listing, "", "ttbar_semilep"),
    "no directory": (no_directory, "", "does not exist"),
    "no readable file": (no_readable_file, "", "ttbar_semilep"),
    "no such tree": (unchanged, "datasets.datasets.signal.tree_name=Evnts", "Evnts"),
    "no such branch": (unchanged, "general.weight_branch=genWeigth", "genWeigth"),
    "no correction file": (no_correction_file, "", "puWeights"),
    "malformed correction": (malformed_correction_file, "", "puWeights"),
    "no such key": (unchanged, "corrections.pileup.key=nope", "nope"),
    "malformed golden JSON": (malformed_golden_json, "", "Cert_271036"),
    "no golden JSON": (golden_json_of_another_kind, "", "Cert_271036"),
    "no skim": (unchanged, "general.use_skimmed_input=True", "no skim of dataset"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_nothing_is_written(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    spoil, override, says = BAD_INPUT[case]
    spoil(sample)
    before = sorted(tmp_path.rglob("*"))
    status = run(sample, tmp_path / "out", *FEW, *([override] if override else []))
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("intccms: error: ")]
    assert status == 2
    assert len(errors) == 1
    assert captured.err.endswith(f"{errors[0]}\n")
    assert "Traceback" not in captured.err
    assert says in errors[0]
    assert captured.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_directory_that_cannot_be_made_is_refused(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    before = sorted(tmp_path.rglob("*"))
    assert run(sample, tmp_path / "file" / "out", *FEW) == 2
    assert "cannot write to" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory of a user, with modules of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_a_configuration_module_that_raises_is_named(
    here: Path, tiny_sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "broken_configuration.py").write_text("lumi = 1\nconfig = 1 / 0\n")
    assert run(tiny_sample, here / "out", config="broken_configuration:config") == 2
    line = capsys.readouterr().err
    assert "ZeroDivisionError" in line
    assert "line 2" in line
    assert not (here / "out").exists()


FAILING = """
from example_opendata.configs.configuration import config as example


def selection(muons):
    raise RuntimeError("my own mistake")


config = example | {"baseline_selection": {"function": selection, "use": [("Muon", None)]}}
"""


def test_a_failing_function_is_shown_at_its_line_once(
    here: Path, tiny_sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "failing_configuration.py").write_text(FAILING)
    assert run(tiny_sample, here / "out", *FEW, config="failing_configuration:config") == 1
    error = capsys.readouterr().err
    assert error.count("Traceback") == 1
    assert error.count("intccms: error: ") == 1
    assert 'failing_configuration.py", line 6, in selection' in error
    assert read_summary(here / "out")["status"] == "failed"


def test_a_bad_event_file_is_a_loss_with_the_command_to_go_on(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = sample / DATASETS / "ttbar_semilep" / "0.txt"
    listing.with_name("bad.root").write_bytes(b"not a ROOT file " * 100)
    replace_text(listing, f"{listing.read_text()}\nbad.root\n")
    status = run(sample, tmp_path / "out", *FEW, "general.run_statistics=False")
    captured = capsys.readouterr()
    assert status == 3
    last = captured.err.splitlines()[-1]
    assert last.startswith("intccms: error: lost 1 file that could not be opened")
    assert "intccms run " in last
    assert "Status: incomplete" in captured.out
    assert read_summary(tmp_path / "out")["status"] == "incomplete"


def test_no_command_is_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == intccms.__version__


def test_a_directory_without_summary_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", str(tmp_path)]) == 2
    assert "run_summary.json" in capsys.readouterr().err


def test_a_sample_is_written_for_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path / "S"), "--files-per-process", "1"]
    assert main(["sample", *arguments, "--events-per-file", "50"]) == 0
    assert (tmp_path / "S" / DATASETS / "ttbar_semilep" / "0.txt").is_file()
    assert "6/6 files" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_chain_in_two_commands(tiny_sample: Path, root: Path, tmp_path: Path) -> None:
    """As a user runs it: other processes, another working directory, futures."""
    paths = os.pathsep.join([str(root / "src"), str(root)])
    environment = {**os.environ, "PYTHONPATH": paths}
    overrides = [
        f"general.base_dir={tiny_sample}",
        "general.output_dir=out",
        "general.executor=futures",
        "general.n_workers=2",
    ]

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    done = python(str(root / "analysis.py"), *overrides)
    assert done.returncode == 0, done.stderr
    schema = json.loads((root / "src/intccms/run_summary.schema.json").read_text())
    summary = read_summary(tmp_path / "out")
    jsonschema.validate(summary, schema)
    assert summary["status"] == "complete"
    assert "processing  12,000/12,000 events  100 %" in done.stderr
    shown = python("-m", "intccms", "summary", "out")
    assert shown.returncode == 0
    for words in (
        "CMS_WORKSHOP",
        "ttbar_semilep",
        "signal: signal strength ",
        "95% CL upper limit",
        "events planned / processed / lost: 12,000 / 12,000 / 0",
        "kHz",
        "out/plots/CMS_WORKSHOP/workshop_mtt.png",
    ):
        assert words in shown.stdout
