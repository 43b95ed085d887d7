"""Which file a configuration is: what stands in the working directory wins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from intccms.errors import ConfigError
from intccms.schema import load_config

MINE = """
config = {
    "general": {"lumi": 1.0, "weight_branch": "MINE"},
    "datasets": {
        "datasets": [{"name": "mc", "directories": "mc/", "cross_sections": 1.0}],
    },
}
"""
EXAMPLE = "example_opendata.configs.configuration"
ASK = f"""
import sys
from intccms.schema import load_config
sys.path.append({str(Path(__file__).resolve().parents[3])!r})
config = load_config("{EXAMPLE}:config", ["general.base_dir=."])
print(config.general.weight_branch, config.file)
"""


def write_example(folder: Path, text: str = MINE) -> Path:
    """A configuration that has the name of the example, in a folder without ``__init__.py``."""
    file = folder.joinpath(*EXAMPLE.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def answer(cwd: Path, code: str = ASK) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True
    )
    return done.stdout.strip(), done.stderr


def test_a_folder_of_the_working_directory_wins_over_the_example(tmp_path: Path) -> None:
    file = write_example(tmp_path)
    said, logged = answer(tmp_path)
    assert said == f"MINE {file}"
    assert f"is that in {tmp_path}" in logged


def test_a_folder_above_the_working_directory_is_found(tmp_path: Path) -> None:
    file = tmp_path / "lonely_analysis.py"
    file.write_text(MINE)
    (tmp_path / "notebooks").mkdir()
    code = ASK.replace(f"{EXAMPLE}:config", "lonely_analysis")
    assert answer(tmp_path / "notebooks", code)[0] == f"MINE {file}"


def test_where_there_is_none_the_example_is_the_one_that_comes_with_the_package(
    tmp_path: Path,
) -> None:
    said, _ = answer(tmp_path)
    assert said.startswith("genWeight ")
    assert said.endswith("configuration.py")


def test_what_was_imported_from_elsewhere_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, weight in (("one", "FIRST"), ("two", "SECOND")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "same_name.py").write_text(MINE.replace("MINE", weight))
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", list(sys.path))
        assert load_config("same_name").general.weight_branch == weight
    sys.modules.pop("same_name")


def test_the_name_of_an_installed_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy/mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="name of a module of Python or of an installed package"):
        load_config("numpy.mine")


def test_a_dict_has_no_file_and_overrides_keep_the_file(tmp_path: Path) -> None:
    table = {
        "general": {"lumi": 1.0, "weight_branch": "w"},
        "datasets": {"datasets": [{"name": "mc", "directories": "mc/", "cross_sections": 1.0}]},
    }
    assert load_config(table).file is None
    first = load_config(f"{EXAMPLE}:config")
    assert first.file is not None
    assert load_config(first, {"general.base_dir": str(tmp_path)}).file == first.file
