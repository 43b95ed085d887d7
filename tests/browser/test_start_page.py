"""JupyterLab opens on the README, whose pictures and links work behind a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.lab import START_S, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_readme_opens_with_its_pictures_and_leads_to_the_docs(lab: Lab, page: Any) -> None:
    page.goto(f"{lab.url}/")
    page.wait_for_selector(".jp-RenderedMarkdown h1:has-text('intccms')", timeout=START_S * 1e3)
    assert page.url.startswith(f"{lab.url}/lab/tree/README.md")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-RenderedMarkdown img')]"
        ".every(image => image.naturalWidth > 0)"
    )
    assert page.locator(".jp-RenderedMarkdown img").count() > 1
    page.locator(".jp-RenderedMarkdown a[href*='docs/editors.md']").first.click()
    page.wait_for_selector(".jp-RenderedMarkdown h1:has-text('Forms')")
    assert page.url.startswith(f"{lab.url}/lab/tree/docs/editors.md")
