"""The board of a run in a browser: in a narrow window, on a dark page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bokeh.embed import file_html
from bokeh.resources import Resources

from intccms.metrics.live import Board
from tests.metrics.watched import START, half_way

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DARK = "document.body.style.background = '#111'"


def tops(page: Any) -> list[int]:
    """How high the figures begin, in their order."""
    return [round(one.bounding_box()["y"]) for one in page.locator(".bk-Figure").all()]


def test_the_board_fits_a_narrow_window_and_a_dark_page(
    require: Callable[[object, str], None],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    screenshots: Path | None,
) -> None:
    require(shutil.which("chromium"), "no Chromium here (Debian: chromium)")
    board = Board()
    board.show(half_way(), START + 10)
    (tmp_path / "board.html").write_text(file_html(board.root, Resources(mode="inline")))
    chromium = request.getfixturevalue("browser")  # of all tests of this folder
    page: Any = chromium.new_page(viewport={"width": 800, "height": 1200})
    page.goto((tmp_path / "board.html").as_uri())
    page.evaluate(DARK)
    page.wait_for_selector(".bk-Figure", timeout=120_000)
    boxes = [one.bounding_box() for one in page.locator(".bk-Figure").all()]
    assert len(boxes) == 10
    assert all(one["width"] > 300 and one["x"] + one["width"] <= 800 for one in boxes)
    assert tops(page)[2] == tops(page)[3] < tops(page)[4]  # two in a row
    behind = "one => getComputedStyle(one).backgroundColor"
    assert page.locator(".bk-Column").first.evaluate(behind) == "rgb(255, 255, 255)"
    if screenshots is not None:
        page.screenshot(path=screenshots / "board_narrow.png", full_page=True)
    wide = chromium.new_page(viewport={"width": 1600, "height": 1200})
    wide.goto((tmp_path / "board.html").as_uri())
    wide.wait_for_selector(".bk-Figure", timeout=120_000)
    assert len({*tops(wide)[2:5]}) == 1  # three
    page.close()
    wide.close()
