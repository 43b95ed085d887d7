from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import PLAN, main
from benchmarks.data import SETS, ensure, files_of
from benchmarks.dataframe import is_installed
from benchmarks.measuring import Measured, compare, measure
from benchmarks.report import MARKS, write_readme
from benchmarks.rows import ROWS
from benchmarks.targets import TARGETS, Ratio, Target, judged


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    ensure(folder, SETS["tiny"])
    return folder


def _measured(row: str, data_set: str, *cpu_s: float) -> Measured:
    repeats = [
        {"cpu_s": s, "startup_cpu_s": 1.0, "wall_s": s, "n_events": 10.0, "peak_rss_bytes": 1e8}
        for s in cpu_s
    ]
    return Measured(row, data_set, repeats)


def test_every_row_and_set_of_the_plan_and_of_the_targets_exists() -> None:
    for name, (_, rows) in PLAN.items():
        assert name in SETS
        assert set(rows) <= set(ROWS)
    for target in TARGETS:
        assert {target.above, target.below} <= set(PLAN[target.data_set][1]), target.title
        if target.less:
            assert {target.above, target.below} <= set(PLAN[target.less][1])


def test_ratios_are_taken_run_by_run() -> None:
    found = {
        "1m": {"kit": _measured("kit", "1m", 1, 4, 3), "hand": _measured("hand", "1m", 2, 2, 2)}
    }
    ratio = Target("", "1m", "kit", "hand").ratio(found)
    assert ratio == Ratio(0.5, 1.5, 2.0)
    assert Target("", "1m", "kit", "floor").ratio(found) is None
    whole = Target("", "1m", "kit", "hand", quantity="whole_cpu_s").ratio(found)
    assert whole == Ratio(2 / 3, 4 / 3, 5 / 3)


def test_what_further_events_cost_is_a_difference_of_two_sets() -> None:
    found = {
        "1m": {"kit": _measured("kit", "1m", 2), "hand": _measured("hand", "1m", 5)},
        "4m": {"kit": _measured("kit", "4m", 5), "hand": _measured("hand", "4m", 7)},
    }
    assert Target("", "4m", "kit", "hand", less="1m").ratio(found) == Ratio(1.5, 1.5, 1.5)


def test_a_target_is_met_or_missed_by_the_median() -> None:
    found = {"1m": {"kit": _measured("kit", "1m", 2, 3), "hand": _measured("hand", "1m", 2, 2)}}
    [verdict] = [one for one in judged(found) if one.limit == 0.75]
    assert verdict.verdict == "MISSED"
    assert verdict.ratio.middle == 1.25


def test_rows_that_disagree_have_no_time() -> None:
    reference: dict[str, np.ndarray] = {}
    values = np.array([[1.0, 2.0], [1.0, 4.0]])
    compare("hand", {"ttbar\nnominal": values}, reference)
    compare("kit", {"ttbar\nnominal": values * (1 + 1e-12)}, reference)
    with pytest.raises(RuntimeError, match="row kit: ttbar nominal is"):
        compare("kit", {"ttbar\nnominal": values * (1 + 1e-8)}, reference)


def test_files_that_are_there_are_used_again(data: Path) -> None:
    begin = time.time_ns()
    assert ensure(data, SETS["tiny"]) > 0
    files = [Path(one) for several in files_of(data, SETS["tiny"]).values() for one in several]
    assert len(files) == 5
    assert all(one.stat().st_mtime_ns < begin for one in files)


@pytest.mark.slow
def test_all_rows_give_the_same_histograms_and_the_table_is_written(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["hand+54+weights", "kit+54+weights", "kit-bare", "kit+54-closures"]
    arguments = ["--data", str(data), "--out", str(tmp_path), "--sets", "tiny", "--repeats", "1"]
    assert main([*arguments, "--rows", ",".join(["floor", *rows])]) == 0
    [report] = tmp_path.glob("*.json")
    content = json.loads(report.read_text())
    assert set(content["rows"]["tiny"]) == {"floor", *rows}
    for row in content["rows"]["tiny"].values():
        assert row["repeats"][0]["cpu_s"] > 0
        assert row["repeats"][0]["n_events"] == SETS["tiny"].n_events
    assert report.with_suffix(".png").exists()
    assert "hand-written" in capsys.readouterr().out  # a narrow terminal wraps what follows


@pytest.mark.slow
def test_rdataframe_gives_the_same_histograms(
    data: Path, require: Callable[[object, str], None]
) -> None:
    require(is_installed(), "no ROOT; make servers")
    measure(data, "tiny", ["hand+54", "rdf+54"], 1)


def test_the_readme_has_room_for_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text((Path(__file__).parents[2] / "benchmarks" / "README.md").read_text())
    found = {"1m": {"kit": _measured("kit", "1m", 2), "hand": _measured("hand", "1m", 4)}}
    for _ in range(2):
        write_readme(page, found, judged(found))
    text = page.read_text()
    assert text.count(MARKS[0]) == text.count(MARKS[1]) == 1
    assert text.count("| nominal / hand-written | 0.5 (0.5 - 0.5) | 0.75 | met |") == 1
