"""Make the correction that gives back the yields which the b-tag factors change.

``python -m example_cms.btag_yields OUTPUT_DIR [--base-dir DIR]``, where OUTPUT_DIR is that of a
run of `example_cms.configs.btag_yields`. All backgrounds of a year together give one ratio for
each number of jets; below `LEAST_EVENTS` events it is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from correctionlib import schemav2

from example_cms.configs.btag_yields import CHANNEL, MAX_JETS, OBSERVABLE, WITH_FACTORS
from example_cms.configs.datasets import BACKGROUNDS
from example_cms.configs.years import YEARS
from intccms.errors import InputError, IntccmsError
from intccms.histograms.book import Book
from intccms.histograms.storage import load_years
from intccms.storage import write_text

__all__ = ["correction", "main", "measure"]

LEAST_EVENTS = 10  # effective number in a bin


def measure(book: Book) -> npt.NDArray[np.float64]:
    """Ratio of the yield without to that with the factors, for 0, 1, … jets."""
    found = [process for process in BACKGROUNDS if process in book.mc_processes]
    without = sum(book.slice(CHANNEL, OBSERVABLE, name, "nominal") for name in found)
    with_factors = sum(
        book.slice(CHANNEL, OBSERVABLE, name, f"{WITH_FACTORS}_up") for name in found
    )
    if not found:
        raise InputError("no background is among the processes of the run")
    values, variances = without.values(), without.variances()
    enough = (values > 0) & (values**2 >= LEAST_EVENTS * variances) & (with_factors.values() > 0)
    ratio = np.ones(len(values))
    ratio[enough] = values[enough] / with_factors.values()[enough]
    return ratio


def correction(ratio: npt.NDArray[np.float64]) -> schemav2.CorrectionSet:
    """Write the ratios in the format of correctionlib."""
    return schemav2.CorrectionSet.model_validate(
        {
            "schema_version": 2,
            "corrections": [
                {
                    "name": "btag_yield_ratio",
                    "version": 1,
                    "inputs": [{"name": "n_jets", "type": "real"}],
                    "output": {"name": "weight", "type": "real"},
                    "data": {
                        "nodetype": "binning",
                        "input": "n_jets",
                        "edges": [count - 0.5 for count in range(MAX_JETS + 2)],
                        "content": ratio.tolist(),
                        "flow": "clamp",
                    },
                }
            ],
        }
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the correction of each year, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m example_cms.btag_yields", description=__doc__)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--base-dir", type=Path, default=Path(), metavar="DIR")
    parsed = parser.parse_args(arguments)
    try:
        books = load_years(parsed.output_dir / "histograms")
        if missing := [year.name for year in YEARS if year.name not in books]:
            raise InputError(f"no histograms of {missing[0]} in {parsed.output_dir}")
        for year in YEARS:
            made = correction(measure(books[year.name]))
            path = parsed.base_dir / year.file("btag_yields.json")
            write_text(path, made.model_dump_json(exclude_unset=True))
            sys.stdout.write(f"{path}\n")
    except IntccmsError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
