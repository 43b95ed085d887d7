"""The forms: typing changes the draft or shows what is wrong at the field."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import yaml

from intccms.schema import Config, load_config
from intccms.widgets import ConfigEditor, fields
from intccms.widgets.draft import Draft
from intccms.widgets.editor import PAGES, search
from intccms.widgets.explorer import BinningEditor, merged, saved_book
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
    assert "less than or equal to 1" in field.row.children[1].value  # beside the input
    assert said == []
    field.input.value = "0.2"
    assert field.error == ""
    assert draft.config.general.max_lost_fraction == 0.2


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("general.n_workers", "", None),
        ("general.output_dir", "2016", "2016"),  # a text stays one without quotes
        ("plotting.process_order", "[data, signal]", ("data", "signal")),
        ("corrections.pileup.reduce", "prod", "prod"),
    ],
)
def test_what_is_typed_is_read_by_its_type(key: str, typed: str, value: Any) -> None:
    draft = Draft(SOURCE, {"general.n_workers": 3})
    field_of(draft, key, []).input.value = typed
    assert next(one.value for one in draft.settings if one.key == key) == value


def test_an_unknown_facility_is_said_at_the_field() -> None:
    draft = Draft(SOURCE)
    field = field_of(draft, "general.facility", [])
    field.input.value = "coffeacasa-condr"
    assert "coffeacasa-condor" in field.error
    assert draft.overrides() == []


@pytest.mark.parametrize("title", PAGES)
def test_every_page_opens(title: str) -> None:
    assert len(widgets_of(open_page(ConfigEditor(SOURCE), title))) > 2


def copied(editor: ConfigEditor) -> list[str]:
    """The texts that the button copies: command line, notebook, papermill."""
    forms, texts = named(editor.box, "copy for"), []
    for one in forms.options:
        forms.value = one
        texts += re.findall(r"12px\">(.*?)</textarea>", shown(editor))
    return [html.unescape(one) for one in texts]


def shown(editor: ConfigEditor) -> str:
    return "".join(one.value for one in editor.box.children[1:4])


def test_the_editor_shows_its_changes_as_overrides() -> None:
    editor = ConfigEditor(SOURCE)
    named(open_page(editor, "General"), "run_statistics").value = False
    named(open_page(editor, "Systematics"), "lumi").value = False
    assert editor.config.general.run_statistics is False
    assert "2 settings differ" in shown(editor)
    line, cell, papermill = copied(editor)
    changed = load_config(SOURCE, editor.overrides).sha256
    assert editor.config.sha256 == changed
    assert load_config(SOURCE, shlex.split(line)).sha256 == changed
    assert cell == f"overrides = {editor.overrides!r}"
    option, parameters = shlex.split(papermill)
    assert option == "-y"
    assert yaml.safe_load(parameters) == {"overrides": editor.overrides}
    assert editor.diff().rows[1] == ["general.run_statistics", "true", "false"]


def test_a_page_shows_what_was_changed_on_another() -> None:
    editor = ConfigEditor(SOURCE)
    assert named(open_page(editor, "Facility"), "executor").value == "dask"
    page = open_page(editor, "Search")
    page.children[0].children[0].children[0].value = "general.executor"
    named(page, "executor").value = "futures"
    assert named(open_page(editor, "Facility"), "executor").value == "futures"
    named(editor.box, "Reset").click()
    assert named(open_page(editor, "Facility"), "executor").value == "dask"
    assert editor.config is editor.draft.original


@pytest.mark.parametrize(
    ("title", "name", "key"),
    [("Datasets", "wjets", "general.processes"), ("Channels", "CMS_WORKSHOP", "general.channels")],
)
def test_what_takes_part_is_switched_off_and_on(title: str, name: str, key: str) -> None:
    editor = ConfigEditor(SOURCE)
    page = open_page(editor, title)
    named(page, name).value = False
    if title == "Datasets":
        assert name not in editor.config.processes
    else:  # the only one
        assert any(key in getattr(one, "value", "") for one in widgets_of(page)[1:])
    named(page, name).value = True
    assert editor.overrides == []


def test_a_cell_of_the_table_of_datasets_says_what_is_wrong_below_it() -> None:
    editor = ConfigEditor(SOURCE)
    page = open_page(editor, "Datasets")
    rows = [one for one in widgets_of(page) if named_first(one) == "signal"]
    year, redirector, xsec = rows[0].children[1:]
    redirector.children[0].value = "root://xcache/"
    assert editor.config.datasets.datasets[0].redirector == ("root://xcache/",)
    assert year.children[0].value == ""
    xsec.children[0].value = "[1, 2]"
    assert "2" in xsec.children[1].value
    assert editor.overrides == ["datasets.datasets.signal.redirector=root://xcache/"]


def named_first(box: Any) -> str | None:
    """The label of the first widget of a row."""
    children = getattr(box, "children", ())
    return getattr(children[0], "description", None) if children else None


def test_a_source_is_found_and_switched_off() -> None:
    editor = ConfigEditor(SOURCE)
    page = open_page(editor, "Systematics")
    search, *_ = [one for one in widgets_of(page) if isinstance(one, ipywidgets.Text)]
    search.value = "flavor"
    listed = [one for one in widgets_of(page) if isinstance(one, ipywidgets.Checkbox)]
    assert [one.description for one in listed] == ["jesFlavorQCD"]
    listed[0].value = False
    assert editor.overrides == ["corrections.jes.uncertainty_sources.jesFlavorQCD.processes=[]"]


def test_all_sources_that_a_search_finds_are_switched_together() -> None:
    editor = ConfigEditor(SOURCE)
    page = open_page(editor, "Systematics")
    next(one for one in widgets_of(page) if isinstance(one, ipywidgets.Text)).value = "pileup"
    named(page, "all off").click()
    assert len(editor.overrides) == 7  # jesPileUp… and the weight
    named(page, "all on").click()
    assert editor.overrides == []


def test_a_source_of_several_years_is_one_switch() -> None:
    source = load_config(SOURCE)
    years = {"2016": source.corrections[None], "2017": source.corrections[None]}
    when = {f"datasets.datasets.{name}.years": "2016" for name in source.processes}
    draft = Draft(load_config({**dict(source), "corrections": years}, when))
    page = fields.sources(draft, lambda: None)
    named(page, "pileup").value = False
    assert [key.split(".")[1] for key in draft.changes] == ["2016", "2017"]


def test_a_colour_and_a_label_are_changed_and_taken_back() -> None:
    editor = ConfigEditor(SOURCE)
    page = open_page(editor, "Plotting")
    before = editor.config.plotting.process_colors["signal"]
    picker = next(one for one in widgets_of(page) if isinstance(one, ipywidgets.ColorPicker))
    picker.value = "#123456"
    assert editor.config.plotting.process_colors["signal"] == "#123456"
    label = next(one for one in widgets_of(page) if isinstance(one, ipywidgets.Text))
    label.value = "Z' <b> & # more"
    assert editor.config.plotting.process_labels["signal"] == "Z' <b> & # more"
    math = next(one for one in widgets_of(page) if isinstance(one, ipywidgets.HTMLMath))
    assert "<b>" not in math.value
    assert load_config(SOURCE, editor.overrides).sha256 == editor.config.sha256
    picker.value = before
    assert len(editor.overrides) == 1


def test_a_setting_is_found_by_words_of_its_description() -> None:
    page = search(draft := Draft(SOURCE), lambda: None)
    page.children[0].children[0].value = "memory batch"
    named(page, "batch_memory_mb").value = "250"
    assert draft.config.general.batch_memory_mb == 250


def test_changes_are_saved_and_loaded_by_the_buttons(tmp_path: Path) -> None:
    editor, other = ConfigEditor(SOURCE, ["datasets.max_files=1"]), ConfigEditor(SOURCE)
    for one, button in ((editor, "Save"), (other, "Load")):
        named(one.box, "file of overrides").value = str(tmp_path / "o.yaml")
        named(one.box, button).click()
    assert other.overrides == ["datasets.max_files=1"]
    named(other.box, "file of overrides").value = str(tmp_path / "absent.yaml")
    named(other.box, "Load").click()
    assert "cannot read" in shown(other)


def test_reset_keeps_what_the_form_was_given_and_undo_goes_back_by_steps() -> None:
    editor = ConfigEditor(SOURCE, ["datasets.max_files=1"])
    page = open_page(editor, "Facility")
    for text in ("2", "23"):  # as one types
        named(page, "n_workers").value = text
    named(page, "chunk_size").value = "1000"
    edited = ["datasets.max_files=1", "general.n_workers=23", "general.chunk_size=1000"]
    assert editor.overrides == edited
    named(editor.box, "Undo").click()
    assert editor.overrides == edited[:2]
    assert named(open_page(editor, "Facility"), "chunk_size").value != "1000"
    named(editor.box, "Undo").click()
    assert editor.overrides == edited[:1]
    named(editor.box, "Undo").click()  # there is nothing left
    assert editor.overrides == edited[:1]
    named(open_page(editor, "Facility"), "n_workers").value = "3"
    named(editor.box, "Reset").click()
    assert editor.overrides == edited[:1]
    named(editor.box, "Undo").click()
    assert editor.overrides == [*edited[:1], "general.n_workers=3"]


def test_a_changed_field_is_marked_and_taken_back_alone() -> None:
    editor = ConfigEditor(SOURCE, ["general.n_workers=5"])
    page = open_page(editor, "Facility")
    assert marks_of(page) == []
    named(page, "n_workers").value = "7"
    named(page, "chunk_size").value = "1000"
    marks = {one.tooltip: one for one in marks_of(page)}
    assert set(marks) == {"Take back: general.n_workers", "Take back: general.chunk_size"}
    marks["Take back: general.n_workers"].click()
    assert editor.overrides == ["general.n_workers=5", "general.chunk_size=1000"]
    page = open_page(editor, "Facility")
    assert named(page, "n_workers").value == "5"
    assert [one.tooltip for one in marks_of(page)] == ["Take back: general.chunk_size"]


def marks_of(box: Any) -> list[Any]:
    return [one for one in widgets_of(box) if getattr(one, "description", "") == "↺"]


def test_names_that_are_known_are_picked_from_a_list() -> None:
    draft = Draft(SOURCE)
    field = field_of(draft, "general.processes", [])
    assert field.input.options == tuple(draft.config.datasets.processes)
    field.input.value = ("signal", "data")
    assert draft.config.general.processes == ("signal", "data")
    field.input.value = ()
    assert draft.changes == {}
    assert "data" not in field_of(draft, "statistics.signals", []).input.options
    fitted = field_of(draft, "channels.CMS_WORKSHOP.fit_observable", [])
    assert isinstance(fitted.input, ipywidgets.Dropdown)
    fitted.input.value = "chi2"
    assert draft.config.channels[0].fit_observable == "chi2"


def test_the_cuts_of_the_functions_are_fields() -> None:
    editor = ConfigEditor(SOURCE)
    page = open_page(editor, "Objects and cuts")
    met_min = "channels.CMS_WORKSHOP.selection.met_min"
    texts = [str(getattr(one, "value", "")) for one in widgets_of(page)]
    [told] = [text for text in texts if "workshop_selection" in text]
    assert "Select the signal region" in told
    cuts = [one for one in widgets_of(page) if getattr(one, "description", "") == "met_min"]
    cut = cuts[-1]  # the first is that of the skim
    assert cut.tooltip == "Least missing transverse momentum, in GeV. (a number)"
    assert cut.value == "50.0"
    cut.value = "60"
    assert editor.overrides == [f"{met_min}=60"]
    assert load_config(SOURCE, editor.overrides).channels[0].selection.static_kwargs == {
        "met_min": 60.0, "lepton_ht_min": 150.0
    }  # fmt: skip
    cut.value = "high"
    assert any("should be a number" in str(getattr(one, "value", "")) for one in widgets_of(page))
    cut.value = "50"
    assert editor.overrides == []


def test_a_luminosity_in_the_wrong_unit_is_asked_about() -> None:
    draft = Draft(SOURCE)
    field = field_of(draft, "general.lumi", [])
    question = "for 59.7/fb write 59700"
    assert not any(question in str(getattr(one, "value", "")) for one in widgets_of(field.row))
    field.input.value = "59.7"
    assert any(question in str(getattr(one, "value", "")) for one in widgets_of(field.row))
    assert draft.config.general.lumi == 59.7


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
    assert "no edge at 333" in editor.preview.value
    assert editor.preview.value.count("<rect") == 20  # as they were saved
    assert editor.preview.value.count("stroke='#bd1f01'") == 3


def test_without_histograms_the_preview_says_so(tmp_path: Path) -> None:
    draft = Draft(SOURCE, {"general.output_dir": str(tmp_path)})
    assert saved_book(draft) is None
