"""The forms: typing changes the draft or shows what is wrong at the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intccms.schema import Config
from intccms.widgets import ConfigEditor, sections
from intccms.widgets.binning import BinningEditor, merged, saved_book
from intccms.widgets.draft import Draft
from intccms.widgets.editor import PAGES
from intccms.widgets.fields import Field

SOURCE = "example_opendata.configs.configuration:config"


def widgets_of(box: Any) -> list[Any]:
    """Everything in a box, at any depth."""
    return [box, *(one for child in getattr(box, "children", ()) for one in widgets_of(child))]


def named(box: Any, description: str) -> Any:
    """The input with this label."""
    found = [one for one in widgets_of(box) if getattr(one, "description", None) == description]
    assert len(found) == 1
    return found[0]


def open_page(editor: ConfigEditor, title: str) -> Any:
    tabs = editor.box.children[0]
    tabs.selected_index = list(PAGES).index(title)
    return tabs.children[tabs.selected_index]


def field_of(draft: Draft, key: str, said: list[str]) -> Field:
    setting = next(one for one in draft.settings if one.key == key)
    return Field(setting, draft, lambda: said.append(key))


def test_typing_a_valid_value_changes_the_configuration() -> None:
    draft, said = Draft(SOURCE), []
    field = field_of(draft, "general.n_workers", said)
    field.input.value = "4"
    assert draft.config.general.n_workers == 4
    assert said == ["general.n_workers"]


def test_what_is_wrong_stands_at_the_field_and_goes_when_it_is_right() -> None:
    draft, said = Draft(SOURCE), []
    field = field_of(draft, "general.max_lost_fraction", said)
    field.input.value = "2"
    assert "less than or equal to 1" in field.error
    assert "less than or equal to 1" in field.row.children[1].value
    assert said == []
    field.input.value = "0.2"
    assert field.error == ""
    assert draft.config.general.max_lost_fraction == 0.2


@pytest.mark.parametrize("title", PAGES)
def test_every_page_opens(title: str) -> None:
    assert len(widgets_of(open_page(ConfigEditor(SOURCE), title))) > 2


def test_the_editor_shows_its_changes_as_overrides() -> None:
    editor = ConfigEditor(SOURCE)
    named(open_page(editor, "General"), "run_statistics").value = False
    assert editor.config.general.run_statistics is False
    assert editor.overrides == ["general.run_statistics=false"]
    shown = editor.box.children[2].value
    assert "overrides = ['general.run_statistics=false']" in shown
    assert editor.diff().rows[1] == ["general.run_statistics", "true", "false"]


def test_a_process_is_switched_off_and_on_in_the_table() -> None:
    editor = ConfigEditor(SOURCE)
    switch = named(open_page(editor, "Datasets"), "wjets")
    switch.value = False
    assert "wjets" not in editor.config.processes
    switch.value = True
    assert editor.overrides == []


def test_a_source_is_found_and_switched_off() -> None:
    editor = ConfigEditor(SOURCE)
    page = open_page(editor, "Systematics")
    page.children[0].value = "flavor"
    shown = [one for one in page.children[2:] if one.layout.display != "none"]
    assert [one.description for one in shown] == ["jesFlavorQCD  (jes)"]
    shown[0].value = False
    assert editor.overrides == ["corrections.jes.uncertainty_sources.jesFlavorQCD.processes=[]"]


def test_a_source_that_no_override_reaches_says_so() -> None:
    page = open_page(ConfigEditor(SOURCE), "Systematics")
    named(page, "lumi  (lumi)").value = False
    assert "systematics.lumi" in page.children[1].value


def test_a_colour_and_a_label_are_changed() -> None:
    editor = ConfigEditor(SOURCE)
    named(open_page(editor, "Plotting"), "wjets").value = "#123456"
    assert editor.config.plotting.process_colors["wjets"] == "#123456"


def test_a_setting_is_found_by_words_of_its_description() -> None:
    page = sections.search(draft := Draft(SOURCE), lambda: None)
    page.children[0].children[0].value = "memory slab"
    (row,) = page.children[1].children
    row.children[0].value = "250"
    assert draft.config.general.batch_memory_mb == 250


def test_changes_are_saved_and_loaded_by_the_buttons(tmp_path: Path) -> None:
    editor, other = ConfigEditor(SOURCE, ["datasets.max_files=1"]), ConfigEditor(SOURCE)
    for one, button in ((editor, "Save"), (other, "Load")):
        named(one.box, "file").value = str(tmp_path / "o.yaml")
        named(one.box, button).click()
    assert other.overrides == ["datasets.max_files=1"]
    named(other.box, "file").value = str(tmp_path / "absent.yaml")
    named(other.box, "Load").click()
    assert "cannot read" in other.box.children[1].value


def test_bins_are_merged_where_the_edges_exist() -> None:
    values, missing = merged(np.array([1.0, 2.0, 4.0, 8.0]), [0, 1, 2, 3, 4], [0, 2, 2.5, 4])
    assert missing == [2.5]
    assert values[0] == 3.0
    assert np.isnan(values[1:]).all()


def test_the_preview_of_a_binning_follows_while_one_types(finished: Config) -> None:
    draft = Draft(finished)
    key = "channels.CMS_WORKSHOP.observables.workshop_mtt.binning"
    setting = next(one for one in draft.settings if one.key == key)
    where = ("CMS_WORKSHOP", "workshop_mtt")
    book = saved_book(draft)
    editor = BinningEditor(setting, draft, lambda: None, where=where, book=book)
    assert editor.preview.value.count("<rect") == 20
    editor.field.input.value = "200,3000,10"
    assert editor.preview.value.count("<rect") == 10
    editor.field.input.value = "[200, 333, 3000]"
    assert "no edge at 333: run again" in editor.preview.value


def test_without_histograms_the_preview_says_so(tmp_path: Path) -> None:
    draft = Draft(SOURCE, {"general.output_dir": str(tmp_path)})
    assert saved_book(draft) is None
