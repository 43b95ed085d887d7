"""What a sample of several years has beside that of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import correctionlib
import pytest
import uproot

from example_cms.configs.configuration import config as source
from intccms.cli import main
from intccms.schema import load_config
from nanosample import SampleSummary, write_sample
from nanosample.calibration import correction_set

PROCESSES = ["ttbar_semilep", "diboson"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleSummary]:
    out = tmp_path_factory.mktemp("run2")
    config = load_config(source, {"general.processes": PROCESSES})
    return out, write_sample(out, config, files_per_process=1, events_per_file=50, is_lean=True)


def branches(out: Path, place: str) -> set[str]:
    (path,) = (out / "example_cms" / "datasets" / place).glob("*.root")
    with uproot.open(path) as file:
        return set(file["Events"].keys())


def test_only_the_processes_that_are_asked_for_are_written(
    written: tuple[Path, SampleSummary],
) -> None:
    out, summary = written
    assert summary.files == 3 + 9
    listings = {path.parent.name for path in out.rglob("0.txt")}
    assert listings == {"TTToSemiLeptonic", "WW", "WZ", "ZZ"}


def test_corrections_of_all_years_are_written(written: tuple[Path, SampleSummary]) -> None:
    folder = written[0] / "example_cms" / "corrections"
    names = {"puWeights.json.gz", "muon_Z.json.gz", "jet_jerc.json.gz", "btagging.json.gz"}
    names |= {"jetvetomaps.json.gz", "jmar.json.gz", "fatJet_jerc.json.gz"}
    for year in ("2016", "2017", "2018"):
        assert {path.name for path in (folder / year).iterdir()} == names | {"btag_yields.json"}
    assert (folder / "jer_smear.json.gz").is_file()


def test_triggers_are_those_of_the_year(written: tuple[Path, SampleSummary]) -> None:
    of_2016, of_2018 = (branches(written[0], f"{y}/TTToSemiLeptonic") for y in ("2016", "2018"))
    assert of_2016 - of_2018 == {"HLT_TkMu50"}
    assert of_2018 - of_2016 == {"HLT_OldMu100", "HLT_TkMu100"}


def test_boson_pairs_have_no_weights_of_a_matrix_element(
    written: tuple[Path, SampleSummary],
) -> None:
    pairs, tops = (branches(written[0], f"2017/{name}") for name in ("ZZ", "TTToSemiLeptonic"))
    missing = {"LHEScaleWeight", "LHEPdfWeight", "nLHEScaleWeight", "nLHEPdfWeight"}
    assert tops - pairs == missing


def test_a_lean_sample_has_the_branches_of_a_skim(written: tuple[Path, SampleSummary]) -> None:
    kept: dict[str, Any] = source["preprocess"]["branches"]
    names = {f"{name}_{field}" for name, fields in kept.items() for field in fields}
    names |= set(kept["event"]) | {f"n{name}" for name in kept}
    names |= {f"n{name}" for name in kept["event"]}
    found = branches(written[0], "2018/TTToSemiLeptonic")
    assert found <= names
    assert {"Jet_rawFactor", "PSWeight", "nGenPart", "Flag_goodVertices", "genWeight"} <= found


def test_smearing_is_that_of_the_real_file(shared_data: Path) -> None:
    made = correction_set("jer_smear.json.gz", ["JERSmear"]).model_dump_json(exclude_unset=True)
    ours = correctionlib.CorrectionSet.from_string(made)["JERSmear"]
    path = shared_data / "corrections" / "JME_jer_smear.json.gz"
    real = correctionlib.CorrectionSet.from_file(str(path))["JERSmear"]
    for gen_pt in (-1.0, 55.0):
        for event in (1, 2**62 + 3):
            inputs = (60.0, 1.1, gen_pt, 20.0, event, 0.12, 1.15)
            assert ours.evaluate(*inputs) == real.evaluate(*inputs)


def test_veto_maps_are_asked_as_the_real_ones(shared_data: Path) -> None:
    key = "Summer19UL18_V1"
    made = correction_set("jetvetomaps.json.gz", [key]).model_dump_json(exclude_unset=True)
    ours = correctionlib.CorrectionSet.from_string(made)[key]
    path = shared_data / "corrections" / "JME_2018_UL_jetvetomaps.json.gz"
    real = correctionlib.CorrectionSet.from_file(str(path))[key]
    assert [(one.name, one.type) for one in ours.inputs] == [
        (one.name, one.type) for one in real.inputs
    ]
    for eta, phi in ((-5.19, -3.14159), (5.19, 3.14159), (-2.0, -1.2)):
        values = [one.evaluate("jetvetomap", eta, phi) for one in (ours, real)]
        assert all(value in (0.0, 10.0) for value in values)
    assert ours.evaluate("jetvetomap", -2.0, -1.2) == real.evaluate("jetvetomap", -2.0, -1.2) != 0


def test_the_command_takes_settings(tmp_path: Path) -> None:
    name = "example_cms.configs.configuration:config"
    sizes = ["--files-per-process", "1", "--events-per-file", "20", "--lean"]
    arguments = ["sample", "--config", name, "--out", str(tmp_path), *sizes]
    assert main([*arguments, "general.processes=[zprime_m2000_w200]"]) == 0
    assert len(list(tmp_path.rglob("*.root"))) == 3
