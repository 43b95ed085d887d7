"""What the defaults leave out makes an expected limit stronger by 1 % at most.

Thresholds alone do not: with 1e6 events, 30 sources of less than 0.1 % are a factor of two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest

from example_opendata.configs.configuration import config as example
from intccms.analysis.runner import run
from intccms.histograms import Book
from intccms.schema import Config, load_config
from intccms.statistics import Workspace, build_workspace, limits
from intccms.statistics.limits import median_expected

EDGES = np.arange(9.0)
PROCESSES = ("signal", "ttbar", "wjets", "data")
BOUND = 1.01


def configuration(out: Path) -> Config:
    observable = {"name": "mass", "binning": list(EDGES), "function": abs, "use": [("m", "m")]}
    datasets = [
        {"name": one, "directories": (one,), "cross_sections": 1.0, "is_data": one == "data"}
        for one in PROCESSES
    ]
    return load_config(
        {
            "general": {"lumi": 1.0, "weight_branch": "w", "output_dir": str(out)},
            "datasets": {"datasets": datasets},
            "channels": [{"name": "sr", "fit_observable": "mass", "observables": [observable]}],
        }
    )


def templates(seed: int, n_events: float, n_simulated: float, *, aligned: bool = False) -> Book:
    """Templates that 30 sources move by about the thresholds of pruning, or as the signal would.

    Parameters
    ----------
    n_events
        Expected background events.
    n_simulated
        Simulated ones; with few of them each source has its own fluctuations.
    """
    random = np.random.default_rng(seed)
    x = (EDGES[:-1] + 0.5) / EDGES[-1]
    falling = [n_events * np.exp(-x * random.uniform(2, 6)) for _ in range(2)]
    peak = np.exp(-0.5 * ((x - random.uniform(0.3, 0.9)) / 0.15) ** 2)
    sources = [f"s{number}" for number in range(30)]
    labels = ["nominal", *(f"{one}_{side}" for one in sources for side in ("up", "down"))]
    histogram = hist.Hist(
        hist.axis.Variable(EDGES, name="mass"),
        hist.axis.StrCategory(PROCESSES, name="process", overflow=False),
        hist.axis.StrCategory(labels, name="variation", overflow=False),
        storage=hist.storage.Weight(),
    )
    view: Any = histogram.view()
    for row, shape in enumerate((0.1 * n_events**0.5 * peak, *falling, sum(falling))):
        weight = shape.sum() / n_simulated
        drawn = random.poisson(shape / weight) if row in (1, 2) else shape / weight
        view["value"][:, row], view["variance"][:, row] = (
            (weight * drawn)[:, None],
            (weight**2 * drawn)[:, None],
        )
        if row == len(PROCESSES) - 1:
            continue
        for source in sources:
            size = random.uniform(2e-4, 2e-3)
            effect = size * (peak if aligned else random.normal(0, 1) + random.normal(0, 1, x.size))
            for side, sign in (("up", 1), ("down", -1)):
                column = labels.index(f"{source}_{side}")
                view["value"][:, row, column] *= 1 + sign * effect
    varied = {name: tuple(labels[1:]) if name != "data" else () for name in PROCESSES}
    return Book({("sr", "mass"): histogram}, varied, ("data",))


def stronger(workspace: Workspace) -> float:
    """By which factor the median limit is below the one with nothing left out."""
    assert workspace.unreduced is not None
    whole = Workspace(workspace.signal, workspace.unreduced, workspace.regions)
    found = limits(workspace).expected[2]
    return median_expected(whole, found) / found


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(
    ("n_events", "n_simulated"),
    [(30.0, 100.0), (1e3, 1e5), (1e5, 1e6), (1e6, 1e9)],
)
def test_the_limit_of_random_templates(
    tmp_path: Path, n_events: float, n_simulated: float, aligned: bool
) -> None:
    config, n_pruned, found = configuration(tmp_path), 0, []
    for seed in range(2):
        book = templates(seed, n_events, n_simulated, aligned=aligned)
        workspace = build_workspace(config, book, "signal")
        n_pruned += sum(one.action == "pruned" for one in workspace.changes)
        found.append(stronger(workspace) if workspace.unreduced is not None else 1.0)
    assert max(found) < BOUND
    assert n_pruned > 0


def test_the_limit_of_the_example(tmp_path: Path, tiny_sample: Path) -> None:
    settings = {
        "base_dir": str(tiny_sample),
        "output_dir": str(tmp_path),
        "executor": "iterative",
        "run_statistics": False,
        "metrics.generate_plots": False,
        "metrics.generate_reports": False,
    }
    config = load_config(example, {f"general.{key}": one for key, one in settings.items()})
    workspace = build_workspace(config, run(config).histograms, "signal")
    assert any(one.action == "pruned" for one in workspace.changes)
    assert stronger(workspace) < BOUND
