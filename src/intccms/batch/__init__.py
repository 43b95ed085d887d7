"""Notebooks as batch jobs: parameters are checked first, a grid is fanned out, results collected.

papermill executes the notebooks; this package only decides what to execute and says what came out.
"""

from intccms.batch.jobs import Job, Parameters, plan
from intccms.batch.running import Outcome, execute, results_table, run_all, write_submit_file

__all__ = [
    "Job",
    "Outcome",
    "Parameters",
    "execute",
    "plan",
    "results_table",
    "run_all",
    "write_submit_file",
]
