"""Runs and what they left: ``run``, ``summary``, ``diff``, ``compare``, ``batch``, ``html``."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.cli.options import CONFIG, OVERRIDES, argument, command, load
from intccms.errors import FigureError, FitError, IncompleteError, InputError, IntccmsError

if TYPE_CHECKING:
    from intccms.batch import Outcome


@command(
    "run the chain, as analysis.py does",
    CONFIG,
    argument(
        "--profile",
        action="store_true",
        help="write where the time goes into the metrics folder; all chunks run in this process "
        "then, and earlier results are not reused",
    ),
    OVERRIDES,
)
def run(parsed: argparse.Namespace) -> None:
    """Run all stages and print the result."""
    from intccms import pipeline
    from intccms.metrics.progress import make_observer
    from intccms.pipeline.records import ONE_PROCESS, profiled
    from intccms.storage import Output

    config = load(parsed, *(ONE_PROCESS if parsed.profile else ()))
    directory = config.general.path("output_dir")
    profile = None
    if parsed.profile:
        name = config.general.metrics.measurement_name or f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}"
        config = load(parsed, *ONE_PROCESS, f"general.metrics.measurement_name={name}")
        profile = Output(config.general).measurement_dir(name)
    try:
        with nullcontext() if profile is None else profiled(profile):
            pipeline.run(config, observer=make_observer())
    except (IncompleteError, FigureError, FitError):
        print_summary(directory)
        raise
    print_summary(directory)
    if profile is not None:
        table, _, _ = (profile / "profile.txt").read_text().partition("\n\n\n")
        sys.stdout.write(f"{table}\n\nprofile: {profile / 'profile.html'}\n")


@command(
    "print the result of a run",
    argument("directory", type=Path, metavar="DIR", help="output directory of the run"),
)
def summary(parsed: argparse.Namespace) -> None:
    """Print the result of a run, as it was saved."""
    print_summary(parsed.directory)


def print_summary(directory: Path) -> None:
    """Print what ``run_summary.json`` of an output directory says."""
    from intccms.metrics.tables import describe
    from intccms.pipeline import read_summary

    sys.stdout.write(describe(read_summary(directory), directory) + "\n")


@command(
    "say what is different between two runs, and by how much",
    argument("before", type=Path, metavar="RUN", help="output directory of a run"),
    argument("after", type=Path, metavar="RUN", help="output directory of a run"),
    argument(
        "--rtol",
        type=float,
        default=0.0,
        metavar="X",
        help="relative difference of numbers that is let pass (default: none, all bits count)",
    ),
    argument(
        "--out", type=Path, metavar="DIR", help="write diff.json and figures of both runs there"
    ),
)
def diff(parsed: argparse.Namespace) -> int:
    """Print the tables; return 1 where something differs."""
    from intccms.pipeline.differences import FinishedRun, compare, side_by_sides
    from intccms.storage import write_json

    before, after = FinishedRun.load(parsed.before), FinishedRun.load(parsed.after)
    differences = compare(before, after, rtol=parsed.rtol)
    sys.stdout.write(f"{differences}\n")
    if parsed.out is not None:
        write_json(parsed.out / "diff.json", differences.to_dict())
        sys.stdout.write(f"{parsed.out / 'diff.json'}\n")
        undrawn = []
        for one in side_by_sides(differences, parsed.out):
            sys.stdout.write(f"{one.files[0]}\n" if one.files else "")
            undrawn += [f"{one.stem}: {one.error}"] if one.error else []
        if undrawn:
            raise FigureError(f"{len(undrawn)} figures could not be drawn; first: {undrawn[0]}")
    return 0 if differences.is_same else 1


@command(
    "put measurements of runs side by side",
    argument(
        "measurements",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="output directory (its newest measurement), or one of those in its metrics/",
    ),
    argument(
        "--out", type=Path, metavar="DIR", help="write comparison.png and comparison.html there"
    ),
)
def compare(parsed: argparse.Namespace) -> None:
    """Print the table and write the figure."""
    from intccms.metrics import report
    from intccms.metrics.measurement import Measurement
    from intccms.storage import write_bytes, write_text

    runs = [Measurement.load(directory) for directory in parsed.measurements]
    names = [one.name for one in runs]
    if len(set(names)) < len(names):  # the same measurement name in several directories
        names = [str(directory) for directory in parsed.measurements]
    sys.stdout.write(f"{report.comparison_table(runs, names)}\n")
    if parsed.out is not None:
        write_bytes(parsed.out / "comparison.png", report.comparison_png(runs, names))
        write_text(parsed.out / "comparison.html", report.comparison_html(runs, names))
        sys.stdout.write(f"{parsed.out / 'comparison.html'}\n")


@command(
    "execute a notebook with parameters, one job or a grid",
    argument("notebook", type=Path, metavar="NOTEBOOK"),
    argument("--out", type=Path, required=True, metavar="DIR"),
    argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter of the notebook and its value in YAML",
    ),
    argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=VALUE,VALUE,...",
        help="one job for each value; a key with dots is a setting of the configuration",
    ),
    argument("--jobs", type=int, default=1, metavar="N", help="so many at a time"),
    argument("--cores", type=int, default=2, metavar="N", help="of a submitted job"),
    argument("--submit", choices=("htcondor", "slurm"), help="write a submit file"),
    argument("--only", type=int, metavar="I", help="execute this job of the grid only"),
)
def batch(parsed: argparse.Namespace) -> None:
    """Plan the jobs, then execute them or write a submit file.

    Raises
    ------
    IncompleteError
        If a job has lost more events than allowed and none has failed.
    IntccmsError
        If a job has failed.
    """
    from intccms.batch import plan, results_table, run_all, write_submit_file

    if parsed.submit and parsed.only is not None:
        raise InputError("--only is for a job that runs now, --submit for all of them later")
    jobs = plan(parsed.notebook, parsed.out, given=parsed.parameters, grid=parsed.grid)
    if parsed.submit:
        # what a single job of the grid needs to find itself
        line = [str(parsed.notebook.absolute()), "--out", str(parsed.out.absolute())]
        line += [part for name, value in parsed.parameters for part in ("-p", name, value)]
        line += [part for entry in parsed.grid for part in ("--grid", entry)]
        path = write_submit_file(
            parsed.submit, line, parsed.out, n_jobs=len(jobs), cores=parsed.cores
        )
        program = "sbatch" if parsed.submit == "slurm" else "condor_submit"
        sys.stdout.write(f"{len(jobs)} jobs; submit them with: {program} {path}\n")
        return
    if parsed.only is not None:
        if not 0 <= parsed.only < len(jobs):
            raise InputError(f"--only {parsed.only}: there are {len(jobs)} jobs, from 0")
        jobs = jobs[parsed.only : parsed.only + 1]
    outcomes = run_all(jobs, n_parallel=max(parsed.jobs, 1), on_outcome=_print_outcome)
    sys.stdout.write(f"\n{results_table(outcomes)}\n")
    bad = {outcome.name: outcome.status for outcome in outcomes if outcome.status != "done"}
    if bad:
        first = next(job for job in jobs if job.name in bad)
        text = f"{len(bad)} of {len(jobs)} jobs did not end well: {', '.join(bad)}; see {first.log}"
        raise (IntccmsError if "failed" in bad.values() else IncompleteError)(text)


def _print_outcome(outcome: Outcome) -> None:
    how = "done before" if outcome.earlier else f"{outcome.status} in {outcome.wall_s:.0f} s"
    sys.stdout.write(f"{outcome.name}: {how}{f': {outcome.error}' if outcome.error else ''}\n")
    sys.stdout.flush()


@command(
    "execute a notebook of yours and keep what it shows, for pytest --nbval-lax to compare with",
    argument("notebook", type=Path, metavar="NOTEBOOK"),
)
def pin(parsed: argparse.Namespace) -> None:
    """Store the references in the notebook."""
    from intccms.batch import pinning

    n_checked = pinning.pin(parsed.notebook)
    again = f"pytest --nbval-lax {parsed.notebook}"
    sys.stdout.write(f"{n_checked} cells are checked from now on by: {again}\n")


@command(
    "write executed notebooks as HTML that needs no network",
    argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK"),
    argument("--out", type=Path, metavar="FILE", help="default: beside the notebook"),
)
def html(parsed: argparse.Namespace) -> None:
    """Write a page for each notebook."""
    from intccms.batch.running import write_page

    if parsed.out is not None and len(parsed.notebooks) > 1:
        raise InputError("--out takes one notebook; without it each page is beside its notebook")
    for notebook in parsed.notebooks:
        page = parsed.out or notebook.with_suffix(".html")
        write_page(notebook, page)
        sys.stdout.write(f"{page}\n")
