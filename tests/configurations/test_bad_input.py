"""Mistakes in a configuration: one line with the key, exit status 2, nothing written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intccms.cli import main
from tests.configurations import electrons_years

Table = dict[str, Any]
B_TAG, SOURCES = 2, "uncertainty_sources"
CASES: dict[str, tuple[Callable[[Table], Any], str]] = {
    "a luminosity of a year": (
        lambda table: table["general"]["lumi"].pop(2016),
        "general.lumi: no year '2016', which process 'ttbar' has; did you mean '2017'?",
    ),
    "corrections of a year": (
        lambda table: table["corrections"].pop("2017"),
        "corrections: no year '2017', which process 'ttbar' has; did you mean '2016'?",
    ),
    "systematics of a year": (
        lambda table: table.update(systematics={"2017": []}),
        "systematics: no year '2016', which process 'ttbar' has; did you mean '2017'?",
    ),
    "a source twice in one correction": (
        lambda table: table["corrections"][2016][B_TAG][SOURCES][1].update(name="b_hf"),
        "corrections.2016.b_tag.uncertainty_sources.b_hf: this source was named before, in "
        "corrections.2016.b_tag.uncertainty_sources.b_hf; give each its own name",
    ),
    "a source twice in one year": (
        lambda table: table["corrections"]["2017"][B_TAG][SOURCES][0].update(name="electron_id"),
        "corrections.2017.b_tag.uncertainty_sources.electron_id: this source was named before, in "
        "corrections.2017.electron_id.uncertainty_sources.electron_id; give each its own name",
    ),
    "a companion of another year": (
        lambda table: table["corrections"]["2017"][B_TAG][SOURCES][1].update(
            varies_with=["jes_stat_2016"]
        ),
        "corrections.2017.b_tag.uncertainty_sources.b_jes.varies_with: no object source "
        "'jes_stat_2016'; did you mean 'jes_stat_2017'?",
    ),
    "a companion that is a weight": (
        lambda table: table["corrections"][2016][B_TAG][SOURCES][1].update(varies_with="pileup"),
        "corrections.2016.b_tag.uncertainty_sources.b_jes.varies_with: no object source "
        "'pileup'; known: ['jes_absolute', 'jes_stat_2016']",
    ),
    "a propagated column that is no pt": (
        lambda table: table["corrections"][2016][0].update(target=("Jet", "mass")),
        "corrections.2016.jes.propagate_to: the correction changes no pt",
    ),
    "jets that are carried into themselves": (
        lambda table: table["corrections"][2016][0].update(propagate_to=("Jet", "pt")),
        "corrections.2016.jes.propagate_to: it is the corrected collection itself",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_line_before_anything_is_written(
    case: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    spoil, message = CASES[case]
    table = copy.deepcopy(electrons_years.config)
    spoil(table)
    monkeypatch.setattr(electrons_years, "config", table)
    monkeypatch.chdir(tmp_path)
    name = f"{electrons_years.__name__}:config"
    assert main(["run", "--config", name, "general.executor=iterative"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert list(tmp_path.iterdir()) == []
