"""JupyterLab and Chromium, once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.lab import CHROMIUM_FLAGS, START_S, Cluster, Lab, start_lab, stop
from tests.conftest import free_port


@pytest.fixture(scope="session")
def lab(
    require: Callable[[object, str], None],
    root: Path,
    sample: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """A JupyterLab; notebooks go into its folder, where a sample is."""
    require(shutil.which("chromium"), "no Chromium here (Debian: chromium)")
    folder = tmp_path_factory.mktemp("lab") / "files"
    folder.mkdir()
    for name in ("README.md", "docs", "notebooks"):  # what a user opens first
        source = root / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / "sample").symlink_to(sample)
    lab, server = start_lab(folder, free_port(), folder.parent / "lab.log")
    yield lab
    stop(server)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(lab: Lab, browser: Any) -> Iterator[Any]:
    """A new page."""
    page = browser.new_page(viewport={"width": 1600, "height": 1500})
    page.set_default_timeout(60_000)
    yield page
    page.close()


@pytest.fixture(scope="session")
def cluster(lab: Lab, browser: Any) -> Iterator[Cluster]:
    """A cluster that was started by "New" in JupyterLab's Dask panel."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(120_000)
    page.goto(f"{lab.url}/lab/tree/README.md?reset")
    page.click("[data-id='dask-dashboard-launcher']", timeout=START_S * 1e3)
    with page.expect_response(
        lambda one: one.request.method == "PUT" and "dask/clusters" in one.url
    ) as made:
        page.click("[title='Start New Dask Cluster']", force=True)  # a web component covers it
    cluster = made.value.json()
    page.wait_for_selector("button:has-text('Intccms Panel'):not([disabled])")
    yield Cluster(page, cluster["scheduler_address"])
    page.close()


@pytest.fixture(scope="session")
def screenshots() -> Path | None:
    """Where pictures go that people want to look at: INTCCMS_SCREENSHOTS."""
    named = os.environ.get("INTCCMS_SCREENSHOTS")
    return Path(named) if named else None


@pytest.fixture(scope="session")
def sample(request: pytest.FixtureRequest) -> Path:
    """A sample: INTCCMS_SAMPLE, for pictures with more events in them, or the tiny one."""
    named = os.environ.get("INTCCMS_SAMPLE")
    tiny: Path = Path(named).resolve() if named else request.getfixturevalue("tiny_sample")
    return tiny
