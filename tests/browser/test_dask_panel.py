"""Our plots in JupyterLab's Dask panel, from a scheduler that we have started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from intccms.facility import connect
from intccms.metrics.recorder import TOPIC, is_watched
from tests.browser.lab import START_S, Lab

pytestmark = pytest.mark.slow

BUTTON = "button:has-text('Intccms Panel')"


@pytest.fixture
def client() -> Iterator[Client]:
    with connect("local", n_workers=1) as client:
        yield client


def test_the_dask_panel_lists_our_plots_and_opens_one(
    lab: Lab, page: Any, client: Client, screenshots: Path | None
) -> None:
    assert is_watched(client)
    client.log_event(TOPIC, {"begin": {"ttbar": [1000] * 10}, "target_gbps": 20.0, "receipts": []})
    page.goto(f"{lab.url}/lab?reset")
    page.click("[data-id='dask-dashboard-launcher']", timeout=START_S * 1e3)
    box = page.locator(".dask-DashboardItem input, .dask-DaskDashboardLauncher input").first
    box.fill(client.dashboard_link.removesuffix("/status"))
    box.press("Enter")
    page.wait_for_selector(f"{BUTTON}:not([disabled])")
    listed = page.locator(".dask-DashboardListing-item button").all_inner_texts()
    ours = {name.title() for name in listed if "intccms" in name.lower()}
    assert {"Intccms Event Rate", "Intccms Datasets", "Intccms Failures"} <= ours
    page.click(BUTTON)
    frame = None
    until = time.monotonic() + 60
    while frame is None and time.monotonic() < until:
        frames = [one for one in page.frames if "individual-intccms-panel" in one.url]
        frame = frames[0] if frames else None
        page.wait_for_timeout(200)
    assert frame is not None
    frame.wait_for_selector(".bk-Figure")
    frame.wait_for_function(
        "() => Bokeh.documents[0].get_model_by_name('datasets')?.get('dataset')[0] === 'ttbar'"
    )
    if screenshots is not None:
        page.wait_for_timeout(2000)
        screenshots.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(screenshots / "dask_panel.png"))
