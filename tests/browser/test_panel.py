"""The metrics notebook in a real JupyterLab: the panel moves while the kernel is busy."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from tests.browser.lab import Lab, damage, plots
from tests.pipeline.runs import copy_of

pytestmark = pytest.mark.slow

RUN_S = 280
SCROLL = """() => document.querySelector(".bk-Column, img[src^='data:image/png']")
  ?.scrollIntoView({block: 'start'})"""
OVERRIDES = [
    "general.executor=dask",
    "general.processes=[signal,ttbar_lep,data]",
    "general.chunk_size=125",
    "general.run_statistics=False",
    "general.run_systematics=False",
    "general.max_lost_fraction=1.0",
    "preprocess.skimming.max_retries=0",
]


@pytest.fixture(scope="module")
def prepared(
    lab: Lab, root: Path, tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The metrics notebook up to the metrics, for a sample with a file that is damaged."""
    sample = copy_of(tiny_sample, tmp_path_factory.mktemp("damaged") / "sample")
    (signal,) = sample.rglob("signal_*.root")
    damage(signal, "PuppiMET_pt")
    target = lab.folder / "processing_with_metrics.ipynb"
    papermill.execute_notebook(
        root / "notebooks" / "processing_with_metrics.ipynb",
        target,
        parameters={
            "base_dir": str(sample),
            "output_dir": str(lab.folder / "out"),
            "overrides": OVERRIDES,
            "n_workers": 2,
            "measurement_name": "in_the_browser",
            "target_throughput_gbps": 0.05,
        },
        prepare_only=True,
    )
    notebook = nbformat.read(target, as_version=4)
    last = next(index for index, cell in enumerate(notebook.cells) if "show_report" in cell.source)
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, target)
    return target


def n_points(found: dict[str, Any], name: str, column: str) -> int:
    return len(found.get(name, {}).get(column, []))


def test_the_panel_moves_while_a_run_goes_on_and_shows_what_fails(
    lab: Lab, page: Any, prepared: Path, screenshots: Path | None
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    lab.open(page, prepared)
    lab.run_all(page)
    seen: list[dict[str, Any]] = []
    progress: list[float] = []
    until = time.monotonic() + RUN_S
    while time.monotonic() < until:
        found = plots(page)
        if found.get("chunks", {}).get("n"):
            done, *_, failed = found["chunks"]["n"]
            if not progress or progress[-1] != done + failed:
                progress.append(done + failed)
                seen.append(found)
            if screenshots is not None and len(progress) in (10, 30):
                look(page, screenshots / f"panel_live_{len(progress)}.png")
            if done + failed == sum(found["chunks"]["n"]) > 0:
                break
        time.sleep(0.2)
    if screenshots is not None:
        look(page, screenshots / "panel_with_failures.png")
    assert len(progress) >= 5, progress
    assert progress == sorted(progress)
    assert n_points(seen[-1], "event-rate", "t") > n_points(seen[0], "event-rate", "t")
    assert len(seen[-1]["memory"]["x"]) == 2
    assert max(seen[-1]["memory"]["memory_gb"]) > 0.05
    assert any(one["failures"]["n"] for one in seen)  # while the run goes on
    assert seen[-1]["datasets"]["dataset"][0] == "signal"
    assert seen[-1]["datasets"]["failed"][0] > 0
    page.wait_for_selector("img[src^='data:image/png']", timeout=60_000)
    if screenshots is not None:
        look(page, screenshots / "panel_after.png")
    assert errors == []
    metrics = json.loads((lab.folder / "out/metrics/in_the_browser/metrics.json").read_text())
    assert metrics["measured"]["n_lost"] > 0
    assert metrics["violations"] == []


def look(page: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    page.evaluate(SCROLL)
    page.wait_for_timeout(300)
    page.screenshot(path=str(path))
