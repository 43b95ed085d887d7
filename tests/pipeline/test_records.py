"""The luminosity that is left, on disk, in the summary and in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import uproot

from intccms import pipeline
from intccms.datasets.sections import LumiSections
from intccms.errors import IncompleteError
from intccms.execution.accounting import certified
from intccms.metrics.tables import describe
from intccms.pipeline import RunResult
from tests.pipeline.runs import NOMINAL_ONLY, configured, copy_of, processed

DATA = ("general.processes=[data]", "general.chunk_size=500", *NOMINAL_ONLY)


def lumifile(sample: Path) -> str:
    (found,) = sample.rglob("Cert_*.txt")
    return str(found)


def data_file(sample: Path) -> Path:
    (found,) = (path for path in sample.rglob("*.root") if "data" in path.parent.name)
    return found


def written(out: Path) -> LumiSections:
    return LumiSections.from_ranges(json.loads((out / "processed_lumis.json").read_text()))


def listed_in(path: Path) -> LumiSections:
    with uproot.open({str(path): "LuminosityBlocks"}) as tree:
        columns = tree.arrays(["run", "luminosityBlock"], library="np")
    return LumiSections.of(columns["run"], columns["luminosityBlock"])


def test_the_certified_sections_of_all_files_are_written(
    done: RunResult, tiny_sample: Path, schema: dict[str, Any]
) -> None:
    listed = listed_in(data_file(tiny_sample))
    expected = certified(listed, [lumifile(tiny_sample)])
    assert 0 < len(expected) < len(listed)
    assert written(done.output.directory) == expected
    jsonschema.validate(json.loads(json.dumps(done.summary)), schema)
    books = done.summary["lumi_sections"]
    assert (books["expected"], books["processed"]) == (len(expected), len(expected))
    assert books["missing_by_run"] == {}
    assert "brilcalc" not in describe(done.summary, done.output.directory)


@pytest.fixture
def with_a_loss(tiny_sample: Path, tmp_path: Path) -> Path:
    """A sample in which one basket of the data cannot be read."""
    sample = copy_of(tiny_sample, tmp_path / "sample")
    path = data_file(sample)
    with uproot.open(path) as file:
        members = file["Events"]["PuppiMET_pt"].all_members
        begin, length = (int(members[name][0]) for name in ("fBasketSeek", "fBasketBytes"))
    content = bytearray(path.read_bytes())
    content[begin : begin + length] = b"\xff" * length
    path.unlink()  # a link to the file of the shared sample
    path.write_bytes(content)
    return sample


def test_a_loss_of_data_is_told_in_luminosity(
    with_a_loss: Path, tmp_path: Path, schema: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(IncompleteError):
        processed(configured(with_a_loss, out, *DATA)).finish()
    summary = pipeline.read_summary(out)
    jsonschema.validate(summary, schema)
    books = summary["lumi_sections"]
    assert books["expected"] > books["processed"] == 0
    assert len(written(out)) == 0
    n_missing = sum(run["missing"] for run in books["missing_by_run"].values())
    assert n_missing == books["expected"]
    text = describe(summary, out)
    assert f"{n_missing:,} of {n_missing:,} are missing" in text
    assert "MC is not rescaled" in text
    assert f"-u /pb -i {out}/processed_lumis.json" in text


def test_a_run_without_data_leaves_no_sections(done: RunResult, tmp_path: Path) -> None:
    out = tmp_path / "out"
    base = Path(done.config.general.base_dir or ".")
    out.mkdir()
    (out / "processed_lumis.json").write_text("{}")
    config = configured(base, out, "general.processes=[ttbar_lep]", *NOMINAL_ONLY)
    assert processed(config).finish().summary["lumi_sections"] is None
    assert not (out / "processed_lumis.json").exists()


def summary_with(done: RunResult, **books: Any) -> dict[str, Any]:
    nothing = {
        "expected": 100,
        "processed": 100,
        "missing_by_run": {},
        "files_without_tree": 0,
        "files_of_unknown_sections": 0,
        "without_golden_json": [],
    }
    return {**done.summary, "lumi_sections": {**nothing, **books}}


def test_the_runs_that_lack_most_are_named(done: RunResult) -> None:
    by_run = {
        str(run): {"expected": 10, "missing": run - 6, "fraction": (run - 6) / 10}
        for run in range(7, 14)
    }
    text = describe(summary_with(done, processed=72, missing_by_run=by_run), Path("my out"))
    assert "28 of 100 are missing, in 7 runs: 13 (70%), 12 (60%)" in text
    assert "9 (30%) and 2 more" in text
    assert "-i 'my out/processed_lumis.json'" in text


def test_what_is_not_known_is_said(done: RunResult) -> None:
    text = describe(summary_with(done, files_of_unknown_sections=3), Path("out"))
    assert "no list of luminosity sections exists: 3" in text
    assert "brilcalc" in text
    text = describe(summary_with(done, files_without_tree=2), Path("out"))
    assert "without a LuminosityBlocks tree: 2" in text
    assert "brilcalc" not in text
    assert "uminosity" not in describe({**done.summary, "lumi_sections": None}, Path("out"))
