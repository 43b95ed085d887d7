"""The metrics notebook in a real JupyterLab: the panel moves while the kernel is busy."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.lab import Cluster, Lab, damage, executed, foreign, look, plots
from tests.pipeline.runs import copy_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RUN_S = 280
OVERRIDES = [
    "general.processes=[signal,ttbar_lep,data]",
    "general.run_statistics=False",
    "general.run_systematics=False",
    "general.max_lost_fraction=1.0",
    "preprocess.skimming.max_retries=0",
]


@pytest.fixture(scope="module")
def prepared(
    lab: Lab,
    cluster: Cluster,
    root: Path,
    sample: Path,
    screenshots: Path | None,
) -> Path:
    """The metrics notebook on that cluster, for a sample with a file that is damaged."""
    copy = copy_of(sample, lab.folder / "damaged")
    signal, *_ = sorted(copy.rglob("signal_*.root"))
    damage(signal, "PuppiMET_pt")
    parameters = {
        "base_dir": "damaged",
        "output_dir": "outputs/metrics",
        "overrides": [*OVERRIDES, f"general.chunk_size={80 if screenshots is None else 800}"],
        "facility": cluster.address,
        "measurement_name": "in_the_browser",
        "target_throughput_gbps": 0.05,
    }
    return lab.put(root / "notebooks" / "processing_with_metrics.ipynb", parameters)


def n_points(found: dict[str, Any], name: str, column: str) -> int:
    return len(found.get(name, {}).get(column, []))


def test_the_panel_moves_while_a_run_goes_on_and_shows_what_fails(
    lab: Lab, cluster: Cluster, prepared: Path, screenshots: Path | None
) -> None:
    page = cluster.page
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    asked = foreign(page)
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
                if len(progress) == 20:
                    look(page, screenshots, "panel_live", below=".bk-Column")
            if done + failed == sum(found["chunks"]["n"]) > 0:
                break
        time.sleep(0.2)
    assert len(progress) >= 3, progress
    assert progress == sorted(progress)
    assert n_points(seen[-1], "event-rate", "t") > n_points(seen[0], "event-rate", "t")
    assert len(seen[-1]["memory"]["x"]) == 2
    assert max(seen[-1]["memory"]["memory_gb"]) > 0.05
    assert any(one["failures"]["n"] for one in seen)  # while the run goes on
    assert seen[-1]["datasets"]["dataset"][0] == "signal"
    assert seen[-1]["datasets"]["failed"][0] > 0
    code = executed(page, prepared)
    assert any("image/png" in one.data for cell in code for one in cell.outputs if "data" in one)
    assert asked == []
    if screenshots is not None:  # the same on Dask's dashboard
        page.click("[data-id='dask-dashboard-launcher']")
        page.click("button:has-text('Intccms Panel'):not([disabled])")
        page.wait_for_timeout(5000)
        look(page, screenshots, "jupyterlab")
    assert errors == []
    metrics = json.loads(
        (lab.folder / "outputs/metrics/metrics/in_the_browser/metrics.json").read_text()
    )
    assert metrics["measured"]["n_lost"] > 0
    assert metrics["violations"] == []
