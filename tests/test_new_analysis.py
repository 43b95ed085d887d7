"""`intccms new`: what it makes runs, and is the user's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.cli import main
from intccms.errors import InputError
from intccms.new_analysis import from_example, from_file
from intccms.schema import load_config


def intccms(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "intccms", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_a_copy_of_an_example_reads_and_writes_below_its_own_name(tmp_path: Path) -> None:
    said = intccms("new", "mytop", cwd=tmp_path)
    assert "intccms sample --config mytop.configs.configuration:config --out S" in said
    small = ["--files-per-process", "1", "--events-per-file", "500"]
    config = ["--config", "mytop.configs.configuration:config"]
    only = "general.processes=[signal,data]"
    intccms("sample", *config, "--out", "S", *small, only, cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "S").iterdir() if path.is_dir()) == ["mytop"]
    settings = ["general.base_dir=S", "general.executor=iterative", "general.run_statistics=False"]
    intccms("run", *config, only, *settings, cwd=tmp_path)
    summary = json.loads((tmp_path / "outputs/mytop/run_summary.json").read_text())
    assert summary["config_file"] == str(tmp_path / "mytop/configs/configuration.py")
    assert summary["datasets"]["signal"]["processed"]["events"] == 500
    assert not any("example_opendata" in path.read_text() for path in tmp_path.rglob("mytop/*.py"))


def test_a_copy_of_the_second_example_needs_none_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = from_example("mycms", tmp_path, "example_cms")
    assert not any("example_" in path.read_text() for path in folder.rglob("*.py"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    config = load_config("mycms.configs.configuration")
    assert config.general.output_dir == "outputs/mycms"
    assert all("mycms/" in one for entry in config.datasets.datasets for one in entry.directories)
    places = {sys.modules[name].__file__ for name in sys.modules if name.startswith("mycms.")}
    assert any("mycms/configs/reconstruction.py" in str(place) for place in places)


def write_events(path: Path, **columns: object) -> Path:
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: ak.type(ak.Array(v)).content for name, v in columns.items()})
        file["Events"].extend({name: ak.Array(v) for name, v in columns.items()})
    return path


def test_for_a_file_a_configuration_is_made_that_runs_on_it(tmp_path: Path) -> None:
    pt = ak.Array([[30.0, 10.0], [], [50.0], [15.0]])
    muons = {f"Muon_{name}": pt * 0 for name in ("eta", "phi", "mass", "charge")}
    weights = np.array([1.0, 1.0, 2.0, 1.0], "f4")
    file = write_events(tmp_path / "my-file.root", Muon_pt=pt, **muons, genWeight=weights)
    intccms("new", "own", "--from", str(file), cwd=tmp_path)
    config = "own.configs.configuration:config"
    intccms("run", "--config", config, "general.executor=iterative", cwd=tmp_path)
    summary = json.loads((tmp_path / "outputs/my_file/run_summary.json").read_text())
    # weights 1 and 2 of 5 have a muon above 20 GeV; luminosity × cross section is 1
    assert summary["yields"]["all"]["my_file"]["value"] == pytest.approx(0.6)


def test_a_file_without_a_generator_weight_is_taken_as_collision_data(tmp_path: Path) -> None:
    file = write_events(tmp_path / "flat.root", mass=np.array([1.0, 2.0, 3.0]))
    from_file("flat_one", tmp_path, str(file))
    table = (tmp_path / "flat_one/configs/configuration.py").read_text()
    assert '"is_data": True' in table
    assert '"use": [("event", "mass")]' in table


def test_real_files_of_many_makers_get_a_configuration(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for file in (
        "nano/nano_tt_v12.root",
        "nano/EGamma_F_Skim.root",
        "rntuple/nano_dy_rntuple.root",
    ):
        name = f"of_{Path(file).stem}"
        from_file(name, tmp_path, str(shared_data / file))
        config = load_config(f"{name}.configs.configuration")
        assert config.channels[0].observables


@pytest.mark.parametrize(
    ("name", "words"),
    [("two words", "name of a Python package"), ("numpy", "installed"), ("there", "there already")],
)
def test_a_name_that_cannot_be_used_is_refused_and_nothing_is_made(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match=words):
        from_example(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_what_cannot_be_looked_at_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no.root").write_text("<html>")
    assert main(["new", "mine", "--from", "no.root"]) == 2
    assert main(["new", "mine", "--from", "absent.root"]) == 2
    assert main(["new", "mine", "--from", "example_none"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert not (tmp_path / "mine").exists()
