"""A grid of parameters becomes jobs, each with a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from intccms.batch import plan
from intccms.errors import InputError


def test_without_a_grid_there_is_one_job_in_the_directory_itself(
    notebook: Path, tmp_path: Path
) -> None:
    (job,) = plan(notebook, tmp_path / "out", given=[("n_workers", "2")])
    assert job.directory == tmp_path / "out"
    assert job.parameters == {"n_workers": 2, "output_dir": str(tmp_path / "out")}


def test_two_axes_span_a_grid(notebook: Path, tmp_path: Path) -> None:
    jobs = plan(notebook, tmp_path, grid=["processes=signal,[wjets,data]", "n_workers=1,2"])
    assert [job.name for job in jobs] == [
        "processes-signal_n_workers-1",
        "processes-signal_n_workers-2",
        "processes-wjets+data_n_workers-1",
        "processes-wjets+data_n_workers-2",
    ]
    assert jobs[2].parameters["processes"] == ["wjets", "data"]
    assert len({job.directory for job in jobs}) == 4


def test_a_key_with_dots_is_a_setting_that_joins_the_overrides(
    notebook: Path, tmp_path: Path
) -> None:
    jobs = plan(
        notebook,
        tmp_path,
        given=[("overrides", "[general.run_statistics=False]")],
        grid=["datasets.max_files=1,2"],
    )
    assert [job.parameters["overrides"][-1] for job in jobs] == [
        "datasets.max_files=1",
        "datasets.max_files=2",
    ]
    assert jobs[0].parameters["overrides"][0] == "general.run_statistics=False"
    assert jobs[0].name == "max_files-1"


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (["processes"], "--grid takes NAME=VALUE"),
        (["proceses=signal"], "no parameter 'proceses'"),
        (["n_workers=one"], "n_workers of small.ipynb is a int"),
        (["n_workers=1,1"], "two points of the grid are the same"),
    ],
)
def test_a_wrong_grid_is_an_error_before_anything_runs(
    notebook: Path, tmp_path: Path, grid: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        plan(notebook, tmp_path / "out", grid=grid)
    assert not (tmp_path / "out").exists()
