from __future__ import annotations

import json
import resource
import stat
from pathlib import Path

import numpy as np
import pytest

from intccms.errors import InputError, OutputError
from intccms.schema import General
from intccms.storage import Output, disk_errors, write_bytes, write_json, write_text


def general(output_dir: Path, **more: str) -> General:
    return General(lumi=1.0, weight_branch="genWeight", output_dir=str(output_dir), **more)


def test_every_path_of_the_design_is_named(tmp_path: Path) -> None:
    output = Output(general(tmp_path))
    expected = {
        "directory": ".",
        "metadata_dir": "metadata",
        "skimmed_dir": "skimmed",
        "partials_dir": "partials",
        "histograms_dir": "histograms",
        "statistics_dir": "statistics",
        "plots_dir": "plots",
        "processed_lumis_json": "processed_lumis.json",
        "config_json": "config.json",
        "run_summary_json": "run_summary.json",
    }
    assert {name: getattr(output, name) for name in expected} == {
        name: tmp_path / path for name, path in expected.items()
    }


def test_every_measurement_has_its_directory(tmp_path: Path) -> None:
    output = Output(general(tmp_path))
    directory = tmp_path / "metrics" / "first"
    assert output.measurement_dir("first") == directory
    assert output.receipts_jsonl("first") == directory / "receipts.jsonl"
    assert output.report_html("first") == directory / "report.html"


def test_naming_paths_writes_nothing(tmp_path: Path) -> None:
    Output(general(tmp_path / "out")).histograms_dir.exists()
    assert list(tmp_path.iterdir()) == []


def test_prepare_makes_the_output_directory_and_leaves_it_empty(tmp_path: Path) -> None:
    Output(general(tmp_path / "a" / "out")).prepare()
    assert list((tmp_path / "a" / "out").iterdir()) == []


def test_prepare_makes_a_metadata_directory_that_is_elsewhere(tmp_path: Path) -> None:
    Output(general(tmp_path / "out", metadata_dir=str(tmp_path / "meta"))).prepare()
    assert (tmp_path / "meta").is_dir()


def test_an_output_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write to .*/out: File exists"):
        Output(general(tmp_path / "out")).prepare()
    assert (tmp_path / "out").read_text() == "mine"


def test_an_output_directory_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*/file/out: Not a directory"):
        Output(general(tmp_path / "file" / "out")).prepare()


def test_a_cache_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*/file/cache"):
        Output(general(tmp_path / "out", cache_dir=str(tmp_path / "file" / "cache"))).prepare()


def test_json_holds_numpy_numbers_and_null_for_nan(tmp_path: Path) -> None:
    content = {
        "float32": np.float32(0.5),
        "int64": np.int64(2**62),
        "bool": np.bool_(True),
        "array": np.array([[1.0, np.nan]]),
        "nan": float("nan"),
        "infinity": -np.inf,
        "path": Path("a/b"),
        "tuple": (1, 2),
        np.int64(3): None,
    }
    write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "float32": 0.5,
        "int64": 2**62,
        "bool": True,
        "array": [[1.0, None]],
        "nan": None,
        "infinity": None,
        "path": "a/b",
        "tuple": [1, 2],
        "3": None,
    }


def test_json_keeps_every_bit_of_a_float(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", [0.1 + 0.2, 1e-308])
    assert json.loads((tmp_path / "x.json").read_text()) == [0.1 + 0.2, 1e-308]


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(TypeError, match="set"):
        write_json(tmp_path / "x.json", {"a": {1, 2}})
    assert (tmp_path / "x.json").read_text() == "1\n"


def test_writing_makes_directories_and_leaves_no_other_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "über")
    write_text(tmp_path / "a" / "b.txt", "again")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "again"


def test_a_failed_write_leaves_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_bytes(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_written_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "")
    (tmp_path / "plain").write_text("")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert len(modes) == 1


def test_a_file_that_cannot_be_written_is_named_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_text(path, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OutputError) as caught:
            write_text(path, "new and too long")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == f"cannot write {path}: File too large"
    assert caught.value.exit_status == 1
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_of_the_system_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / "absent").read_text()
