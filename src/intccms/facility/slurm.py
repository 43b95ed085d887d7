"""``slurm``: workers as Slurm jobs; options as those of `dask_jobqueue.SLURMCluster`."""

from __future__ import annotations

from functools import partial

from intccms.facility.jobqueues import jobqueue_client
from intccms.facility.kinds import Facility

__all__ = ["FACILITY"]

FACILITY = Facility(partial(jobqueue_client, "SLURMCluster", "slurm"), patience_s=3600.0)
