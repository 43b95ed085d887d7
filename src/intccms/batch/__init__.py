"""Notebooks as batch jobs: parameters are checked first, a grid is fanned out, results collected.

papermill executes the notebooks; this package only decides what to execute and says what came out.
"""

from intccms.batch.jobs import Job, plan
from intccms.batch.parameters import Parameters
from intccms.batch.running import Outcome, execute, run_all
from intccms.batch.submission import write_submit_file

__all__ = ["Job", "Outcome", "Parameters", "execute", "plan", "run_all", "write_submit_file"]
