"""Several years in one template: a source of one name is one nuisance parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intccms.histograms import Book, HistogramSums, make_book
from intccms.statistics import build_workspace, fit
from tests.statistics.conftest import EDGES, LABEL, MakeConfig

YEARS = ("2016", "2017")
EFFECTS = {"jes": 0.10, "jes_2016": 0.04, "jes_2017": 0.06}
EVENTS = {"signal": [10, 60, 30], "ttbar": [800, 400, 100], "data": [1000, 600, 200]}
LUMI = {"2016": 0.1, "2017": 0.3}  # weight of a simulated event


def sums(process: str, year: str) -> HistogramSums:
    """Fill one dataset; each source of its year scales it up and down."""
    counts = EVENTS[process]
    scales = {"nominal": 1.0}
    for name in ("jes", f"jes_{year}") if process != "data" else ():
        scales |= {f"{name}_up": 1 + EFFECTS[name], f"{name}_down": 1 - EFFECTS[name]}
    bins = np.repeat(np.arange(1, 4), counts)
    return HistogramSums.of(scales, 3, bins, np.outer(list(scales.values()), np.ones(bins.size)))


@pytest.fixture
def book() -> Book:
    datasets = {f"{name}_{year}": (name, year) for name in EVENTS for year in YEARS}
    return make_book(
        {key: {("sr", "mass"): sums(*where)} for key, where in datasets.items()},
        {key: 1.0 if name == "data" else LUMI[year] for key, (name, year) in datasets.items()},
        {key: name for key, (name, _) in datasets.items()},
        {("sr", "mass"): (EDGES, LABEL)},
        ["data"],
    )


def norms(spec: dict[str, Any], sample: str) -> dict[str, float]:
    (found,) = (one for one in spec["channels"][0]["samples"] if one["name"] == sample)
    return {
        one["name"]: one["data"]["hi"] for one in found["modifiers"] if one["type"] == "normsys"
    }


def test_sources_of_one_name_are_one_parameter_and_others_are_independent(
    make_config: MakeConfig, book: Book
) -> None:
    workspace = build_workspace(make_config(tuple(EVENTS)), book, "signal")
    model, _ = workspace.model_and_data()
    statistical = {"staterror_sr", "staterror_sr_signal"}
    assert set(model.config.par_order) == {"signal_strength", *statistical, *EFFECTS}
    # Each year has the same events; the weight of 2017 is three times that of 2016.
    expected = {"jes": 1.10, "jes_2016": 1 + 0.04 * 0.25, "jes_2017": 1 + 0.06 * 0.75}
    for sample in ("signal", "ttbar"):
        assert norms(workspace.spec, sample) == pytest.approx(expected)


def test_the_correlated_source_is_pulled_for_all_years_at_once(
    make_config: MakeConfig, book: Book
) -> None:
    outcome = fit(build_workspace(make_config(tuple(EVENTS)), book, "signal"))
    assert set(EFFECTS) < set(outcome.pulls)
    assert outcome.postfit[0].observed.tolist() == [2000.0, 1200.0, 400.0]
