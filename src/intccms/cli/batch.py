"""``intccms batch``: a notebook as a batch job, or a grid of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.errors import IncompleteError, InputError, IntccmsError

if TYPE_CHECKING:
    from intccms.batch import Job, Outcome

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "execute a notebook with parameters, one job or a grid"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "-p",
        dest="given",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter of the notebook and its value in YAML",
    )
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=VALUE,VALUE,...",
        help="one job for each value; a key with dots is a setting of the configuration",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at a time")
    parser.add_argument("--cores", type=int, default=2, metavar="N", help="of a submitted job")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--submit", choices=("htcondor", "slurm"), help="write a submit file")
    how.add_argument("--only", type=int, metavar="I", help="execute this job of the grid only")


def execute(parsed: argparse.Namespace) -> None:
    """Plan the jobs, then execute them or write a submit file."""
    from intccms.batch import plan, run_all, write_submit_file

    jobs = plan(parsed.notebook, parsed.out, given=parsed.given, grid=parsed.grid)
    if parsed.submit:
        path = write_submit_file(
            parsed.submit, _arguments(parsed), parsed.out, n_jobs=len(jobs), cores=parsed.cores
        )
        program = "sbatch" if parsed.submit == "slurm" else "condor_submit"
        sys.stdout.write(f"{len(jobs)} jobs; submit them with: {program} {path}\n")
        return
    if parsed.only is not None:
        if not 0 <= parsed.only < len(jobs):
            raise InputError(f"--only {parsed.only}: there are {len(jobs)} jobs, from 0")
        jobs = jobs[parsed.only : parsed.only + 1]
    _finish(run_all(jobs, n_parallel=max(parsed.jobs, 1), on_outcome=_say), jobs)


def _arguments(parsed: argparse.Namespace) -> list[str]:
    """Return the arguments that a single job of the grid needs to find itself."""
    given = [part for name, value in parsed.given for part in ("-p", name, value)]
    grid = [part for entry in parsed.grid for part in ("--grid", entry)]
    places = [str(parsed.notebook.absolute()), "--out", str(parsed.out.absolute())]
    return [*places, *given, *grid]


def _say(outcome: Outcome) -> None:
    how = "done before" if outcome.earlier else f"{outcome.status} in {outcome.wall_s:.0f} s"
    sys.stdout.write(f"{outcome.name}: {how}{f': {outcome.error}' if outcome.error else ''}\n")
    sys.stdout.flush()


def _finish(outcomes: Sequence[Outcome], jobs: Sequence[Job]) -> None:
    """Print the table; raise if a job did not end well."""
    from intccms.batch.results import results_table

    sys.stdout.write(f"\n{results_table(outcomes)}\n")
    bad = {outcome.name: outcome.status for outcome in outcomes if outcome.status != "done"}
    if not bad:
        return
    first = next(job for job in jobs if job.name in bad)
    text = f"{len(bad)} of {len(jobs)} jobs did not end well: {', '.join(bad)}; see {first.log}"
    if "failed" in bad.values():
        raise IntccmsError(text)
    raise IncompleteError(text)
