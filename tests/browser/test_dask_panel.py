"""JupyterLab's Dask panel: "New" starts a cluster of ours, with our plots, behind a proxy."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from intccms.metrics.recorder import TOPIC, is_watched
from tests.browser.lab import PREFIX, Cluster, Lab, look

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_dask_panel_starts_a_cluster_and_opens_our_plots(
    lab: Lab, cluster: Cluster, screenshots: Path | None
) -> None:
    page = cluster.page
    listed = page.locator(".dask-DashboardListing-item button").all_inner_texts()
    ours = {name.title() for name in listed if "intccms" in name.lower()}
    assert {"Intccms Panel", "Intccms Event Rate", "Intccms Datasets", "Intccms Failures"} <= ours
    with Client(cluster.address) as client:
        assert is_watched(client)
        begin = {"begin": {"ttbar": [1000] * 10}, "target_gbps": 20.0, "receipts": []}
        client.log_event(TOPIC, begin)
        page.click("button:has-text('Intccms Panel')")
        frame = page.wait_for_selector("iframe[src*='individual-intccms-panel']").content_frame()
        frame.wait_for_selector(".bk-Figure")
        assert f"{PREFIX}proxy/" in frame.url
        # Only over the web socket, which the prefix must lead to as well.
        frame.wait_for_function(
            "() => Bokeh.documents[0].get_model_by_name('datasets')?.get('dataset')[0] === 'ttbar'"
        )
    look(page, screenshots, "dask_panel")
