"""Whether data and simulation of the sample agree: p-values of the example's fit, seed by seed.

Run by hand, ``python -m benchmarks.goodness --seeds 20``. Each seed makes a sample of its own, data
and simulation, and fits it as the demo does.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scipy.stats import kstest

from example_opendata.configs.configuration import LUMI_IPB
from example_opendata.configs.configuration import config as example
from intccms.analysis.runner import run
from intccms.schema import load_config
from intccms.statistics import FitOutcome, build_workspace, fit
from nanosample import write_sample


def fits(
    n_seeds: int, *, events_per_file: int, luminosity: float = 1.0, systematics: bool = True
) -> Iterator[FitOutcome]:
    """Fit samples of the seeds from 1 on.

    Parameters
    ----------
    events_per_file
        One file for each dataset; data need room for all that is expected: 30,000 events at the
        whole luminosity.
    luminosity
        Share of that of the example.
    systematics
        Without them each p-value is flat; with them it is a little too large: the sample is what
        the nominal simulation says, and the nuisance parameters take up some of its fluctuations.
    """
    with tempfile.TemporaryDirectory() as top:
        for seed in range(1, n_seeds + 1):
            folder = Path(top) / str(seed)
            general = {
                "base_dir": str(folder),
                "output_dir": str(folder / "out"),
                "executor": "iterative",
                "lumi": luminosity * LUMI_IPB,
                "run_systematics": systematics,
                "run_statistics": False,
                "metrics.generate_plots": False,
                "metrics.generate_reports": False,
            }
            config = load_config(example, {f"general.{key}": one for key, one in general.items()})
            sizes = {"files_per_process": 1, "events_per_file": events_per_file}
            write_sample(folder, config, **sizes, seed=seed, is_lean=True)
            yield fit(build_workspace(config, run(config).histograms, "signal"))


def main() -> None:
    """Print the fit of each seed, then how likely such p-values are if they are flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--events-per-file", type=int, default=30_000)
    parser.add_argument("--luminosity", type=float, default=1.0, help="share of the example's")
    parser.add_argument("--no-systematics", action="store_true")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    p_values = []
    found = fits(
        asked.seeds,
        events_per_file=asked.events_per_file,
        luminosity=asked.luminosity,
        systematics=not asked.no_systematics,
    )
    for seed, one in enumerate(found, start=1):
        p_values.append(one.results.goodness_of_fit)
        text = f"chi2 {one.chi2:6.2f} / {one.n_dof:2}  p = {p_values[-1]:.3f}"
        print(f"seed {seed:3}  {text}  strength {one.mu:.3f} +- {one.mu_error:.3f}", flush=True)  # noqa: T201
    print(f"Kolmogorov-Smirnov, all p-values: p = {kstest(p_values, 'uniform').pvalue:.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
