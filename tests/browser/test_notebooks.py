"""The notebooks in a real JupyterLab, from the first cell to the last, and the forms in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from intccms.widgets.editor import PAGES
from tests.browser.lab import IDLE, Lab, executed, foreign, look

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FORM = ".jp-OutputArea-output:has(.intccms-pages)"
EXPLORER = "from intccms.widgets import ResultExplorer\n\nResultExplorer(session.config)"
EXPLORED = ".jp-OutputArea-output:has(.widget-select-multiple):has(img)"
CELL = ".jp-Notebook .jp-CodeCell:has-text('{}')"
FOCUS = """() => {
  const box = document.activeElement;
  const text = (box?.closest('.widget-checkbox, .widget-text') ?? box)?.innerText ?? '';
  return text.split('\\n').pop();
}"""
N_TABS = 80  # fields of a page, at most


def yields_in(code: list[Any]) -> dict[str, float]:
    """What the cell of the yields shows, by process."""
    (cell,) = [cell for cell in code if "session.yields()" in cell.source]
    text = "".join(one.data["text/plain"] for one in cell.outputs if "data" in one)
    return {name: float(n.replace(",", "")) for name, n in re.findall(r"(\w+) +([\d.,]+) ±", text)}


def go_to(page: Any, label: str) -> None:
    """Press the Tab key until an input or the title of a page has the focus."""
    for _ in range(N_TABS):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUS) == label:
            return
    raise AssertionError(f"the Tab key does not lead to {label!r}")


def select(page: Any, text: str) -> None:
    """Select the cell that holds a text, as a whole."""
    page.click(CELL.format(text) + " .jp-InputPrompt")


def number_of(code: list[Any], text: str) -> int:
    (number,) = [cell.execution_count for cell in code if text in cell.source]
    return int(number or 0)


@pytest.fixture(scope="module")
def finished(lab: Lab, browser: Any, root: Path) -> Any:
    """The full-processing notebook with its forms after "Run All Cells": page, file, cells."""
    parameters = {
        "overrides": [
            "general.executor=futures",
            "general.base_dir=sample",
            "general.output_dir=outputs/full",
        ],
        "n_workers": 2,
    }
    cells = {"": [EXPLORER]}
    notebook = lab.put(root / "notebooks" / "full_processing.ipynb", parameters, cells)
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    lab.open(page, notebook)
    lab.run_all(page)
    code = executed(page, notebook)
    assert errors == []
    yield page, notebook, code
    page.close()


def test_the_full_processing_notebook_runs_and_shows_its_result(
    finished: Any, screenshots: Path | None
) -> None:
    page, _notebook, code = finished
    assert {"signal", "ttbar_semilep", "data"} <= set(yields_in(code))
    assert page.locator(".jp-Notebook img[src^='data:image/png']").count() > 5
    page.keyboard.press("Control+b")  # without the list of files
    page.set_viewport_size({"width": 1280, "height": 1250})
    look(page, screenshots, "full_processing", below=CELL.format("session.yields()"))
    page.set_viewport_size({"width": 1280, "height": 1000})
    form = page.locator(FORM).first
    form.locator("text=Channels").first.click()
    form.locator("svg rect:visible").first.wait_for()  # the histograms of this run
    look(page, screenshots, "editor", only=FORM)
    form.locator("text=General").first.click()


def test_the_form_is_filled_by_keyboard_and_the_yields_follow(
    finished: Any, screenshots: Path | None
) -> None:
    page, notebook, before = finished
    select(page, "notebook.cockpit(")
    form = page.locator(FORM).first
    go_to(page, "General")
    go_to(page, "lumi")
    page.keyboard.type("-1")  # what was there is selected, as in any form
    form.locator("text=greater than 0").wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.type("32786.8")
    form.locator("text=greater than 0").wait_for(state="hidden")
    page.keyboard.press("Shift+Tab")
    for _ in range(list(PAGES).index("Datasets")):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    form.locator("text=cross section").wait_for()
    go_to(page, "wjets")
    page.keyboard.press("Space")
    form.locator("text=settings differ").wait_for()
    look(page, screenshots, "editor_datasets", only=FORM)
    select(page, "cockpit.session(")
    sources = [cell.source for cell in nbformat.read(notebook, as_version=4).cells]
    first = next(n for n, source in enumerate(sources) if "cockpit.session(" in source)
    last = sources.index("session.yields()")
    for _ in range(first, last + 1):
        page.keyboard.press("Shift+Enter")
    done = number_of(before, "session.yields()")
    code = executed(page, notebook, "session.yields()", after=done)
    old, new = yields_in(before), yields_in(code)
    assert set(new) == set(old) - {"wjets"}
    assert new["ttbar_semilep"] == pytest.approx(2 * old["ttbar_semilep"], rel=0.05)
    assert new["data"] == old["data"]


def test_what_the_form_says_is_copied_to_the_clipboard(finished: Any) -> None:
    page, _notebook, _code = finished
    form = page.locator(FORM).first
    form.locator("button:has-text('Copy')").first.click()
    form.locator("text=Search").first.click()
    search = form.locator("input[placeholder^='words of a key']")
    search.click()
    page.keyboard.press("Control+v")
    assert "general.executor=futures" in search.input_value()
    search.fill("max_lost")
    form.locator("text=/^1 settings$/").wait_for()


def test_the_explorer_shows_what_is_picked(finished: Any, screenshots: Path | None) -> None:
    page, _notebook, _code = finished
    explorer = page.locator(EXPLORED).last
    before = explorer.locator("img").get_attribute("src")
    explorer.locator("select").nth(1).select_option("mtt_chi2")
    page.wait_for_function(
        "([image, src]) => image.src !== src",
        arg=[explorer.locator("img").element_handle(), before],
    )
    look(
        page,
        screenshots,
        "explorer",
        only=EXPLORED + " >> nth=-1",
    )
    explorer.locator("select").nth(2).select_option("yields")
    explorer.locator("td:has-text('ttbar_semilep')").wait_for()


def test_a_cut_is_changed_and_looked_at_in_the_cockpit_while_the_notebook_is_free(
    finished: Any, screenshots: Path | None
) -> None:
    page, _notebook, _code = finished
    form = page.locator(FORM).first
    form.locator("text=Objects and cuts").first.click()
    cut = form.locator("input:below(:text('workshop_selection')):visible").first
    cut.fill("150")
    look(page, screenshots, "cockpit_cuts", only=FORM)
    form.locator("button:has-text('Run')").click()
    page.wait_for_function(IDLE)  # the kernel is free, and the run goes on
    form.locator("text=/met_min: .* → 150/").wait_for()
    form.locator("td:has-text('ttbar_semilep')").wait_for()
    form.locator("img:visible").wait_for()
    look(page, screenshots, "cockpit_result", only=FORM)
    form.locator("button:has-text('Fit')").click()
    form.locator("text=Upper limit on the signal strength").wait_for()
    form.locator("li:has-text('Run')").first.click()
    form.locator(".bk-Figure >> nth=0").wait_for()
    look(page, screenshots, "cockpit_run", only=FORM)


def test_the_input_inspector_draws_all_figures(
    lab: Lab, page: Any, root: Path, screenshots: Path | None
) -> None:
    parameters = {
        "base_dir": "sample",
        "output_dir": "outputs/inspected",
        "rucio_scope": "",
    }
    notebook = lab.put(root / "notebooks" / "input_inspector.ipynb", parameters)
    asked = foreign(page)
    lab.open(page, notebook)
    lab.run_all(page)
    executed(page, notebook)
    page.keyboard.press("Control+b")
    page.wait_for_selector(".bk-Figure")
    assert page.locator(".bk-Figure").count() > 3
    assert page.locator("img[src^='data:image/png']").count() == 1
    assert asked == []
    page.set_viewport_size({"width": 1280, "height": 1180})
    look(page, screenshots, "inspector", below=CELL.format("show(inspection.show())"))
