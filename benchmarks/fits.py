"""Our fits and limits against pyhf with Minuit from three starts, on random models.

Run by hand, ``python -m benchmarks.fits --models 200``: minima, errors and limits side by side.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import iminuit
import numpy as np
import pyhf

from intccms.errors import FitError
from intccms.statistics import POI, Workspace, fit, limits
from intccms.statistics.fit import fit_bounds
from intccms.statistics.optimizer import pyhf_backend
from intccms.statistics.templates import Region

KINDS = ("regular", "thin", "empty", "one-sided", "correlated")
MINUIT = pyhf.optimize.minuit_optimizer(tolerance=1e-2, maxiter=200_000)
N_STARTS = 3
MOST_PARAMETERS = 60  # of a model whose limit is checked with Minuit, which takes minutes beyond


def random_model(seed: int) -> tuple[str, Workspace]:
    """Return the kind of a model and its workspace: 8 to 300 nuisances, 1 to 3 channels."""
    random = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    n_sources = int(np.exp(random.uniform(np.log(8), np.log(300))))
    sources = [
        (f"n{k}", random.uniform(0.01, 0.3 if random.random() < 0.3 else 0.05), random.random(3))
        for k in range(n_sources)
    ]
    scale = 10 ** (random.uniform(-0.5, 1) if kind == "thin" else random.uniform(0.5, 3.5))
    strength = scale * 10 ** random.uniform(-2, 0)
    channels, observations = [], []
    for channel in range(int(random.integers(1, 4))):
        x = (np.arange(random.integers(3, 15)) + 0.5) / 15
        peak = np.exp(-0.5 * ((x - random.uniform(0.2, 0.95)) / 0.15) ** 2) + 1e-4
        nominal = {"signal": strength * peak}
        for name in ("first", "second"):
            falling = scale * np.exp(-x * random.uniform(1, 8)) * random.uniform(0.05, 1)
            nominal[name] = np.where(x > 0.6, 1e-3, falling) if kind == "empty" else falling
        samples = [
            {
                "name": name,
                "data": values.tolist(),
                "modifiers": list(_modifiers(random, kind, f"c{channel}", name, values, sources)),
            }
            for name, values in nominal.items()
        ]
        mu = random.choice([0.0, 1.0, 2.0])
        expected = (nominal["first"] + nominal["second"]) * random.normal(1, 0.05)
        data = random.poisson(np.maximum(expected, 0) + mu * nominal["signal"])
        channels.append({"name": f"c{channel}", "samples": samples})
        observations.append({"name": f"c{channel}", "data": data.astype(float).tolist()})
    parameter = {"name": POI, "inits": [1.0], "bounds": [[-100.0, 100.0]]}
    measurement = {"name": "m", "config": {"poi": POI, "parameters": [parameter]}}
    spec = {
        "channels": channels,
        "observations": observations,
        "measurements": [measurement],
        "version": "1.0.0",
    }
    edges = {one["name"]: np.arange(len(one["data"]) + 1.0) for one in observations}
    regions = tuple(
        Region(name, "x", "x", bins, np.zeros(bins.size - 1, bool)) for name, bins in edges.items()
    )
    return kind, Workspace("signal", spec, regions)


def _modifiers(  # noqa: PLR0913, PLR0917
    random: Any, kind: str, channel: str, name: str, values: Any, sources: list[Any]
) -> Iterator[dict[str, Any]]:
    if name == "signal":
        yield {"name": POI, "type": "normfactor", "data": None}
    events = 10 ** random.uniform(0.5, 2.5) * values / values.max()
    errors = np.minimum(values, values / np.sqrt(np.maximum(events, 1.0)))
    yield {"name": f"staterror_{channel}", "type": "staterror", "data": errors.tolist()}
    x = np.linspace(0, 1, values.size)
    for source, size, draws in sources:
        if draws[("signal", "first", "second").index(name)] < 0.5:
            continue
        slope = np.cos(3 * x) if kind == "correlated" else random.normal() + random.normal() * x
        up, down = size * slope, -size * slope * random.uniform(0.5, 1.5)
        if kind == "one-sided" and random.random() < 0.5:
            down = up * random.random()
        high, low = (values * np.maximum(1 + shift, 1e-3) for shift in (up, down))
        norms = [float(one.sum() / values.sum()) for one in (high, low)]
        yield {"name": source, "type": "normsys", "data": {"hi": norms[0], "lo": norms[1]}}
        shapes = {"hi_data": (high / norms[0]).tolist(), "lo_data": (low / norms[1]).tolist()}
        yield {"name": source, "type": "histosys", "data": shapes}


def minuit(workspace: Workspace, seed: int) -> tuple[float, float, float]:
    """Return the lowest -2 ln L of three starts, the strength there and its Hesse error."""
    model, data = workspace.model_and_data()
    bounds = fit_bounds(model)
    low, high = np.asarray(bounds).T
    random = np.random.default_rng(seed)
    start = np.asarray(model.config.suggested_init())
    fixed = np.asarray(model.config.suggested_fixed())
    best = None
    with pyhf_backend():
        for attempt in range(N_STARTS):
            begin = start + ~fixed * attempt * random.normal(0, 0.2, start.size) * (start != 1)
            minimiser = iminuit.Minuit(
                lambda values: float(-2 * model.logpdf(values, data)[0]),
                np.clip(begin, low + 1e-6, high - 1e-6),
            )
            minimiser.errordef = 1
            minimiser.limits, minimiser.fixed = bounds, fixed.tolist()
            minimiser.strategy = 0
            minimiser.migrad(ncall=100_000)
            if best is None or minimiser.fval < best.fval:
                best = minimiser
        assert best is not None
        best.strategy = 1
        best.migrad(ncall=100_000)
        best.hesse()
    poi = model.config.poi_index
    return float(best.fval), float(best.values[poi]), float(best.errors[poi])


def cls_of_minuit(workspace: Workspace, mu: float) -> float:
    """Return the observed CLs of plain pyhf with Minuit at a strength."""
    model, data = workspace.model_and_data()
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, max(10.0, 10 * mu))
    with pyhf_backend(MINUIT):
        return float(pyhf.infer.hypotest(mu, data, model, par_bounds=bounds))


def compared(seed: int, largest: int) -> dict[str, Any]:
    """Return one row of the table; Minuit has models of so many parameters at most."""
    kind, workspace = random_model(seed)
    n_parameters = workspace.model_and_data()[0].config.npars
    row: dict[str, Any] = {"seed": seed, "kind": kind, "n_parameters": n_parameters}
    begin = time.process_time()
    outcome = fit(workspace)
    row["fit_s"] = time.process_time() - begin
    begin = time.process_time()
    try:
        limit: Any = limits(workspace).observed
    except FitError as error:
        row["limit_error"], limit = str(error), None
    row["limit_s"] = time.process_time() - begin
    row |= {"mu": outcome.mu, "error": outcome.mu_error, "scanned": len(outcome.scanned)}
    row["limit"] = limit
    if n_parameters > largest:
        return row
    begin = time.process_time()
    value, mu, error = minuit(workspace, seed)
    row |= {"minuit_s": time.process_time() - begin, "minuit_mu": mu, "minuit_error": error}
    row["above_minuit"] = outcome.results.best_twice_nll - value
    if limit is not None and n_parameters <= MOST_PARAMETERS:
        try:
            row["minuit_cls"] = cls_of_minuit(workspace, limit)
        except pyhf.exceptions.FailedMinimization:
            row["minuit_cls"] = None
    return row


def main() -> None:
    """Compare until the models or the time are over; print one line each, write all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--largest", type=int, default=1000, help="parameters, for Minuit")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--out", type=Path, default=Path("outputs/bench/fits.json"))
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    end = time.monotonic() + asked.seconds
    rows = []
    seeds = range(asked.first, asked.first + asked.models)
    sizes = {seed: random_model(seed)[1].model_and_data()[0].config.npars for seed in seeds}
    for seed in sorted(seeds, key=lambda one: sizes[one]):  # as many as there is time for
        if time.monotonic() > end:
            break
        rows.append(compared(seed, asked.largest))
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.flush()
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
