"""Bins with little simulation: no repair makes a result stronger than the whole likelihood.

That is the one of Barlow and Beeston, in which each bin has its number of simulated events as a
Poisson distributed observation beside its data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hist
import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize_scalar

from intccms.histograms import Book
from intccms.schema import Config, load_config
from intccms.statistics import build_workspace, fit, significance

Array = npt.NDArray[np.float64]

N_BINS = 6
EDGES = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0]
PROCESSES = ("signal", "ttbar", "data")


def configuration(out: Path, **statistics: Any) -> Config:
    observable = {"name": "mass", "binning": EDGES, "function": abs, "use": [("m", "m")]}
    datasets = [
        {"name": one, "directories": (one,), "cross_sections": 1.0, "is_data": one == "data"}
        for one in PROCESSES
    ]
    return load_config(
        {
            "general": {"lumi": 1.0, "weight_branch": "w", "output_dir": str(out)},
            "datasets": {"datasets": datasets},
            "channels": [{"name": "sr", "fit_observable": "mass", "observables": [observable]}],
            "statistics": statistics,
        }
    )


def book(contents: Sequence[Any], errors: Sequence[Any]) -> Book:
    histogram = hist.Hist(
        hist.axis.Variable(EDGES, name="mass"),
        hist.axis.StrCategory(PROCESSES, name="process", overflow=False),
        hist.axis.StrCategory(["nominal"], name="variation", overflow=False),
        storage=hist.storage.Weight(),
    )
    view: Any = histogram.view()
    for row, (values, error) in enumerate(zip(contents, errors, strict=True)):
        view["value"][:, row, 0], view["variance"][:, row, 0] = values, np.square(error)
    return Book({("sr", "mass"): histogram}, dict.fromkeys(PROCESSES, ()), ("data",))


def sigmas_of_barlow_beeston(n: Array, weight: float, signal: Array, data: Array) -> float:
    """Root of q0, the expected numbers of simulated events profiled by hand."""

    def least(mu: float) -> float:
        added = mu * signal
        # For each bin the root of d/d(lambda) of the two Poisson terms, which is quadratic.
        a = weight * (1 + weight)
        b = added * (1 + weight) - weight * (data + n)
        expected = (-b + np.sqrt(b**2 + 4 * a * n * added)) / (2 * a)
        expected = np.where(n > 0, expected, np.maximum(-b / a, 0.0))
        total = added + weight * expected
        logs = data * np.log(np.where(data > 0, total, 1.0))
        logs += n * np.log(np.where(n > 0, expected, 1.0))
        return float((total + expected - logs).sum())

    best = minimize_scalar(least, bounds=(0.0, 60.0), method="bounded", options={"xatol": 1e-8})
    return float(np.sqrt(2 * max(least(0.0) - min(best.fun, least(0.0)), 0.0)))


@pytest.mark.parametrize("n_thin", [0.0, 0.6, 2.0, 6.0])
def test_no_repair_makes_a_discovery_stronger(tmp_path: Path, n_thin: float) -> None:
    rng = np.random.default_rng(int(10 * n_thin) + 5)
    config = configuration(tmp_path)
    gained = []
    for _ in range(12):
        weight = 10 ** rng.uniform(-2, 0.3)
        truth = np.append(rng.uniform(30, 400, 3), np.full(3, n_thin))
        n = rng.poisson(truth).astype(float)
        signal = np.asarray([0.0, 0.1, 0.3, 1.0, 2.0, 1.0]) * rng.uniform(0.5, 3)
        data = rng.poisson(weight * truth + signal * rng.uniform(0, 2)).astype(float)
        errors = (1e-9 * signal, weight * np.sqrt(n), np.sqrt(data))
        templates = book((signal, weight * n, data), errors)
        found = significance(build_workspace(config, templates, "signal")).observed_sigmas
        whole = sigmas_of_barlow_beeston(n, weight, signal, data)
        gained.append(found - whole)
    # What is left is the normal distribution of bins with ten simulated events and more.
    assert max(gained) < 0.2
    assert min(gained) < -0.01


def test_bins_are_merged_until_each_has_enough_background(tmp_path: Path) -> None:
    background, error = [50.0, 20.0, 6.0, 4.0, 1.0, 0.0], np.sqrt([50.0, 20.0, 6.0, 4.0, 1.0, 0.0])
    signal, data = [0.0, 1.0, 1.0, 2.0, 3.0, 4.0], [51.0, 20.0, 7.0, 5.0, 2.0, 1.0]
    templates = book((signal, background, data), (np.sqrt(signal), error, np.sqrt(data)))
    merged = build_workspace(configuration(tmp_path, rebin=10.0), templates, "signal")
    # From the end: 0 + 1 + 4 + 6 = 11 events, then 20, then 50.
    assert merged.region("sr").edges.tolist() == [0.0, 1.0, 2.0, 12.0]
    samples = {one["name"]: one["data"] for one in merged.spec["channels"][0]["samples"]}
    assert samples == {"signal": [0.0, 1.0, 10.0], "ttbar": [50.0, 20.0, 11.0]}
    assert merged.spec["observations"][0]["data"] == [51.0, 20.0, 15.0]
    assert merged.notes == ("sr: 6 bins merged into 3: 0, 1, 2, 12",)
    assert [one.edges.size for one in fit(merged).prefit] == [4]
    rest = build_workspace(configuration(tmp_path, rebin=30.0), templates, "signal")
    assert rest.region("sr").edges.tolist() == [0.0, 1.0, 12.0]
    one = build_workspace(configuration(tmp_path, rebin=1e4), templates, "signal")
    assert one.region("sr").edges.tolist() == [0.0, 12.0]


def test_a_merged_bin_is_blinded_if_a_part_of_it_is(tmp_path: Path) -> None:
    values = [50.0, 20.0, 6.0, 4.0, 1.0, 0.0]
    templates = book(([1.0] * 6, values, [99.0] * 6), ([0.1] * 6, np.sqrt(values), [1.0] * 6))
    config = configuration(tmp_path, rebin=10.0, blind={"sr": (9.0, 12.0)})
    workspace = build_workspace(config, templates, "signal")
    assert workspace.region("sr").blinded.tolist() == [False, False, True]
    assert workspace.spec["observations"][0]["data"] == [99.0, 99.0, 11.0]
