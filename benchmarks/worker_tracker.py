"""What tracking many workers costs their scheduler: ``python -m benchmarks.worker_tracker``.

The workers are simulated: states with the numbers that a heartbeat brings, on a scheduler that
runs nothing. Printed is the time of one sample and of one fetch, and the part of the scheduler's
time that they take at one of each per second.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from types import SimpleNamespace

from intccms.metrics.worker_tracker import NAME, Sampler, fetch

__all__ = ["main", "measured"]

N_SAMPLES = 200


def scheduler_of(n_workers: int) -> SimpleNamespace:
    """Make what `Sampler` sees of a scheduler."""
    load = {
        "memory": 2 * 10**9,
        "cpu": 180.0,
        "spilled_bytes": {"memory": 0, "disk": 0},
        "task_counts": {"executing": 2},
    }
    workers = {
        f"tls://10.0.{n // 250}.{n % 250}:40000": SimpleNamespace(
            host=f"10.0.{n // 250}.{n % 250}", nthreads=2, memory_limit=4 * 10**9, metrics=load
        )
        for n in range(n_workers)
    }
    return SimpleNamespace(workers=workers, plugins={}, total_nthreads=2 * n_workers)


def measured(n_workers: int) -> tuple[float, float]:
    """Return the CPU seconds of one sample, and of one fetch with its serialisation."""
    scheduler, sampler = scheduler_of(n_workers), Sampler(1.0)
    sampler._scheduler = scheduler
    scheduler.plugins[NAME] = sampler
    start = time.process_time()
    for _ in range(N_SAMPLES):
        sampler.sample()
    sample_s = (time.process_time() - start) / N_SAMPLES
    start = time.process_time()
    for n in range(N_SAMPLES):
        pickle.dumps(fetch(n, dask_scheduler=scheduler)["workers"])
    return sample_s, (time.process_time() - start) / N_SAMPLES


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n_workers", nargs="*", type=int, default=[50, 500, 2000])
    write = sys.stdout.write
    write("workers  sample [ms]  fetch [ms]  part of a second: sampled  and watched live\n")
    for n_workers in parser.parse_args().n_workers:
        sample_s, fetch_s = measured(n_workers)
        both = f"{100 * sample_s:24.3f} %  {100 * (sample_s + fetch_s):14.3f} %"
        write(f"{n_workers:7}  {1e3 * sample_s:11.3f}  {1e3 * fetch_s:10.3f}  {both}\n")


if __name__ == "__main__":
    main()
