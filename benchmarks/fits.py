"""Our fits and limits against pyhf with Minuit from three starts, on random models.

Run by hand, ``python -m benchmarks.fits --models 200``: minima, errors and limits side by side.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import iminuit
import numpy as np
import pyhf

from intccms.errors import FitError
from intccms.statistics import POI, Workspace, fit, limits
from intccms.statistics.fit import fit_bounds
from intccms.statistics.optimizer import Expectation, Likelihood, NewtonOptimizer, pyhf_backend
from intccms.statistics.templates import Region

KINDS = ("regular", "thin", "empty", "one-sided", "correlated")
N_STARTS = 3


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


@dataclass
class GradientMinuit:
    """An optimizer of pyhf: Minuit on pyhf's own -2 ln L, the lowest minimum of three starts.

    Its gradient is the one of `intccms`, without which Minuit takes hours for 300 parameters;
    `wrong_by` compares it with differences of pyhf's likelihood.
    """

    name: str = "minuit_with_gradient"
    known: dict[bytes, iminuit.Minuit] = field(default_factory=dict)
    expectation: Expectation | None = None
    ours: NewtonOptimizer = field(default_factory=NewtonOptimizer)
    above: list[float] = field(default_factory=list)  # our -2 ln L of the same problems over its

    def minimize(  # noqa: PLR0913, PLR0917 (pyhf calls it with these)
        self,
        objective: Any,
        data: Any,
        pdf: pyhf.Model,
        init_pars: Any,
        par_bounds: Any,
        fixed_vals: Any = None,
        return_fitted_val: bool = False,
        **_: Any,
    ) -> Any:
        """Parameters that minimise -2 ln L, and its value there if asked for."""
        held = dict(fixed_vals or [])
        key = np.concatenate([data, np.ravel(par_bounds), *map(np.asarray, held.items())]).tobytes()
        if key not in self.known:
            self.known[key] = self._best(np.asarray(data), pdf, init_pars, par_bounds, held)
            problem = (objective, data, pdf, init_pars, par_bounds, fixed_vals)
            _, lowest = self.ours.minimize(*problem, return_fitted_val=True)
            self.above.append(float(lowest) - self.known[key].fval)
        best = self.known[key]
        values = np.asarray(best.values)
        return (values, np.asarray(best.fval)) if return_fitted_val else values

    def _best(
        self, data: Any, model: pyhf.Model, init: Any, bounds: Any, held: dict[int, float]
    ) -> iminuit.Minuit:
        start, (low, high) = np.asarray(init, dtype=float), np.asarray(bounds).T
        start[list(held)] = list(held.values())
        is_free = np.asarray([index not in held for index in range(start.size)])
        random = np.random.default_rng(1)
        runs = []
        for attempt in range(N_STARTS):
            shift = attempt * random.normal(0, 0.2, start.size) * is_free
            begin = np.where(is_free, np.clip(start + shift, low + 1e-6, high - 1e-6), start)
            one = iminuit.Minuit(
                lambda values: float(-2 * model.logpdf(values, data)[0]),
                begin, grad=self.gradient(model, data), g2=self.diagonal(model, data),
            )  # fmt: skip
            one.errordef, one.strategy, one.tol = 1, 0, 1e-3
            one.limits, one.fixed = list(zip(low, high, strict=True)), (~is_free).tolist()
            runs.append(one.migrad(ncall=20_000))
        return min(runs, key=lambda one: one.fval).migrad(ncall=20_000)

    def likelihood(self, model: pyhf.Model, data: Any) -> Likelihood:
        """Return ours, for derivatives."""
        if self.expectation is None or self.expectation.model is not model:
            self.expectation = Expectation(model)
        return Likelihood(self.expectation, data, np.zeros(model.config.npars))

    def gradient(self, model: pyhf.Model, data: Any) -> Any:
        """Return the derivatives of -2 ln L as a function."""
        likelihood = self.likelihood(model, data)
        return lambda values: 2.0 * likelihood.derivatives(np.asarray(values))[1]

    def diagonal(self, model: pyhf.Model, data: Any) -> Any:
        """Return its second derivatives: the scale of the first steps, and nothing else."""
        likelihood = self.likelihood(model, data)
        return lambda values: 2.0 * np.diag(likelihood.derivatives(np.asarray(values))[2])

    def wrong_by(self, model: pyhf.Model, data: Any, values: Any) -> float:
        """Largest deviation of the gradient from differences, relative to its largest number."""
        gradient = self.gradient(model, np.asarray(data))(values)
        steps = 1e-5 * np.eye(values.size)
        numbers = [
            (model.logpdf(values - one, data)[0] - model.logpdf(values + one, data)[0]) / 1e-5
            for one in steps
        ]
        return float(np.abs(gradient - numbers).max() / np.abs(gradient).max())


def error_of_minuit(best: iminuit.Minuit, gradient: Any, poi: int, *, scan: bool) -> float:
    """Return the error of the strength: Minos where ours is from a scan, else from derivatives.

    Hesse would give that of a parameter whose range bends it, by a few per cent.
    """
    if scan:
        best.minos(poi)
        sides = best.merrors[f"x{poi}"]
        there = [-sides.lower] if sides.lower_valid and not sides.at_lower_limit else []
        there += [sides.upper] if sides.upper_valid and not sides.at_upper_limit else []
        return float(np.mean(there)) if there else float("nan")
    values, free = np.asarray(best.values), np.flatnonzero(~np.asarray(best.fixed))
    rows = [gradient(values + one) - gradient(values - one) for one in 1e-3 * np.eye(values.size)]
    covariance = np.linalg.inv(np.asarray(rows)[np.ix_(free, free)] / 4e-3)
    return float(covariance[free == poi, free == poi][0] ** 0.5)


def compared(seed: int) -> dict[str, Any]:
    """Return one row of the table."""
    kind, workspace = random_model(seed)
    model, data = workspace.model_and_data()
    poi = model.config.poi_index
    row: dict[str, Any] = {"seed": seed, "kind": kind, "n_parameters": model.config.npars}
    begin = time.process_time()
    outcome = fit(workspace)
    row["fit_s"] = time.process_time() - begin
    row |= {"mu": outcome.mu, "error": outcome.mu_error, "scanned": sorted(outcome.scanned)}
    begin = time.process_time()
    try:
        found = limits(workspace)
    except FitError as error:
        found, row["limit_error"] = None, str(error)
    row["limit_s"] = time.process_time() - begin
    optimizer = GradientMinuit()
    with pyhf_backend(optimizer):
        middle = np.asarray(model.config.suggested_init()) * 0.9 + 0.05
        row["gradient_wrong_by"] = optimizer.wrong_by(model, data, middle)
        begin = time.process_time()
        pyhf.infer.mle.fit(data, model, par_bounds=fit_bounds(model))
        row["minuit_s"] = time.process_time() - begin
        (best,) = optimizer.known.values()
        row |= {"minuit_mu": float(best.values[poi]), "is_valid": bool(best.valid)}
        row["above_minuit"] = float(outcome.results.best_twice_nll - best.fval)
        gradient = optimizer.gradient(model, np.asarray(data))
        scanned = outcome.poi in outcome.scanned
        row["minuit_error"] = error_of_minuit(best, gradient, poi, scan=scanned)
        if found is None:
            return row
        begin = time.process_time()
        row |= {"limit": found.observed, "median": found.expected[2]}
        row["limit_off"] = limit_off(workspace, found.observed, found.mu, found.observed_cls, 0)
        median = found.expected_cls[:, 2]
        row["median_off"] = limit_off(workspace, found.expected[2], found.mu, median, 3)
        row["minuit_limit_s"] = time.process_time() - begin
        row["conditional_above"] = optimizer.above
    return row


def limit_off(workspace: Workspace, limit: float, mu: Any, cls: Any, which: int) -> float | None:
    """Return by how much, relative, the limit of pyhf with the optimizer of the moment is higher.

    Its CLs at our limit and the slope of ours give it.
    """
    if not np.isfinite(limit):
        return None
    model, data = workspace.model_and_data()
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, max(10.0, 10 * limit))
    observed, band = pyhf.infer.hypotest(
        limit, data, model, par_bounds=bounds, return_expected_set=True
    )
    value = float([observed, *band][which])
    near = (cls > 0.02) & (cls < 0.12)
    slope = np.polyfit(np.log(mu[near]), np.log(cls[near]), 1)[0] if near.sum() > 1 else -1.0
    return float(np.log(value / 0.05) / -slope)


def main() -> None:
    """Compare until the models or the time are over; each row is appended to a file of lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--out", type=Path, default=Path("outputs/bench/fits.jsonl"))
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.touch()
    done = {json.loads(line)["seed"] for line in asked.out.read_text().splitlines()}
    end = time.monotonic() + asked.seconds
    for seed in range(asked.first, asked.first + asked.models):  # of all sizes, at any moment
        if seed not in done and time.monotonic() < end:
            row = json.dumps(compared(seed))
            with asked.out.open("a") as file:
                file.write(row + "\n")


if __name__ == "__main__":
    main()
