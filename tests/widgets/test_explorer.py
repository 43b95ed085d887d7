"""The explorer shows what a run has saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from intccms.errors import InputError
from intccms.schema import Config, load_config
from intccms.widgets import ResultExplorer

SOURCE = "example_opendata.configs.configuration:config"


def test_every_view_of_every_observable_is_shown(finished: Config) -> None:
    explorer = ResultExplorer(finished)
    pictures = set()
    for observable in explorer.observable.options:
        explorer.observable.value = observable
        for view in explorer.view.options[:2]:
            explorer.view.value = view
            picture = bytes(explorer.picture.value)
            assert picture.startswith(b"\x89PNG")
            assert explorer.text.value == ""
            pictures.add(picture)
    assert len(pictures) == 2 * len(explorer.observable.options)


def test_yields_show_what_a_source_does(finished: Config) -> None:
    explorer = ResultExplorer(finished)
    explorer.source.value = "xsec_ttbar"
    explorer.view.value = "yields"
    rows = {row[0]: row[2:] for row in explorer.yields().rows[1:]}
    assert rows["ttbar_semilep"] == ["+4.80%", "-5.50%"]
    assert rows["data"] == ["-", "-"]
    assert "ttbar_semilep" in explorer.text.value


def test_processes_are_picked(finished: Config) -> None:
    explorer = ResultExplorer(finished)
    explorer.processes.value = ("signal", "wjets")
    explorer.view.value = "yields"
    assert [row[0] for row in explorer.yields().rows] == ["process", "signal", "wjets"]


def test_data_alone_has_no_variations_to_show(finished: Config) -> None:
    explorer = ResultExplorer(finished)
    explorer.processes.value = ("data",)
    explorer.view.value = "variations"
    assert "none of these processes has this variation" in explorer.text.value


def test_blinded_data_are_not_listed(finished: Config) -> None:
    blind = load_config(finished, {"statistics.blind": ["CMS_WORKSHOP"]})
    explorer = ResultExplorer(blind)
    explorer.view.value = "yields"
    assert ["data", "blinded", "-", "-"] in explorer.yields().rows


def test_another_luminosity_is_applied_and_not_only_written_on_the_figure(finished: Config) -> None:
    def n_events(config: Config, process: str) -> float:
        book = ResultExplorer(config).book
        histogram = book.histograms[next(iter(book.histograms))]
        return float(histogram[:, process, "nominal"].values(flow=True).sum())

    lumi = finished.general.lumi
    assert isinstance(lumi, float)
    twice = load_config(finished, {"general.lumi": 2.0 * lumi})
    before, after = ({p: n_events(c, p) for p in ("signal", "data")} for c in (finished, twice))
    assert after["signal"] == pytest.approx(2.0 * before["signal"])
    assert after["data"] == before["data"]


def test_without_histograms_it_is_an_error_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="histograms"):
        ResultExplorer(load_config(SOURCE, {"general.output_dir": str(tmp_path)}))
