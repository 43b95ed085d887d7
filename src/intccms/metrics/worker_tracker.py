"""Number and load of the workers over time, sampled where Dask knows them: on the scheduler.

What was sampled stays there when the client goes away; no thread is started here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distributed import Client

from intccms.errors import InputError
from intccms.metrics import sampler
from intccms.metrics.sampler import NAME, Sample, WorkerLoad, run_by_value
from intccms.storage import write_json

__all__ = ["NAME", "Sample", "Timeline", "WorkerLoad", "WorkerTracker"]


@dataclass
class Timeline:
    """Samples of the workers, by time, and the workers that were there.

    Parameters
    ----------
    samples
        Each holds until the next.
    workers
        By address.
    interval_s
        Between two samples; changes of the number of workers are samples of their own.
    """

    samples: list[Sample] = field(default_factory=list)
    workers: dict[str, WorkerLoad] = field(default_factory=dict)
    interval_s: float = 1.0

    def add(self, samples: Iterable[Sample], workers: Iterable[WorkerLoad]) -> None:
        """Take what was sampled since."""
        self.samples += samples
        self.workers |= {worker.address: worker for worker in workers}

    def integral(self, name: str, start: float, stop: float) -> float | None:
        """Return the integral of a column of `Sample` over time; None if nothing was sampled."""
        if not self.samples or stop <= start:
            return None
        total, value, t = 0.0, float(getattr(self.samples[0], name)), start
        for sample in self.samples:
            if sample.t > t:
                until = min(sample.t, stop)
                total += value * (until - t)
                t = until
            value = float(getattr(sample, name))
        return total + value * (stop - t)

    def peak(self, name: str) -> int | None:
        """Return the largest value of a column of `Sample`."""
        return max((int(getattr(sample, name)) for sample in self.samples), default=None)

    def save(self, path: Path) -> None:
        """Write it as JSON, by columns."""
        columns = {
            name: [getattr(sample, name) for sample in self.samples] for name in Sample._fields
        }
        workers = [worker._asdict() for worker in self.workers.values()]
        content = {"interval_s": self.interval_s, "samples": columns, "workers": workers}
        write_json(path, content)

    @classmethod
    def load(cls, path: Path) -> Timeline:
        """Read what `save` has written.

        Raises
        ------
        InputError
            If it is not there or not as it was written.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            columns = [content["samples"][name] for name in Sample._fields]
            samples = [Sample(*row) for row in zip(*columns, strict=True)]
            workers = [WorkerLoad(**one) for one in content["workers"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"no samples of workers in {path}: {error}") from error
        return cls(samples, {one.address: one for one in workers}, content["interval_s"])


class WorkerTracker:
    """Tracks the workers of a client's cluster.

    Parameters
    ----------
    client
        Of a cluster; may be another one than that which started the tracking.
    interval_s
        Between two samples; if somebody tracks them already, theirs counts.

    Examples
    --------
    ::

        with WorkerTracker(client) as tracker:
            run()
        tracker.timeline.save(path)
    """

    def __init__(self, client: Client, *, interval_s: float = 1.0) -> None:
        self.client, self.interval_s = client, interval_s
        self.timeline = Timeline(interval_s=interval_s)
        self._end = 0

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Begin to sample, or to listen to somebody who does; earlier samples are left out."""
        self._end = run_by_value(self.client, sampler.start, self.interval_s, self.client.id)

    def fetch(self) -> tuple[Sequence[Sample], Sequence[WorkerLoad]]:
        """Add to `timeline` what was sampled since the last time, and return it.

        Times are turned into those of this machine's clock.
        """
        return self._take(sampler.fetch, self._end)

    def stop(self) -> tuple[Sequence[Sample], Sequence[WorkerLoad]]:
        """Fetch the rest, and let the scheduler forget it if nobody else uses it."""
        return self._take(sampler.stop, self._end, self.client.id)

    def _take(
        self, function: Callable[..., Any], *arguments: Any
    ) -> tuple[Sequence[Sample], Sequence[WorkerLoad]]:
        before = time.time()
        answer = run_by_value(self.client, function, *arguments)
        if answer is None:
            return [], []
        ahead = answer["now"] - (before + time.time()) / 2
        self._end = answer["end"]
        self.timeline.interval_s = answer["interval_s"]
        samples = [Sample(row[0] - ahead, *row[1:]) for row in answer["samples"]]
        workers = [
            one._replace(first_seen=one.first_seen - ahead, last_seen=one.last_seen - ahead)
            for one in (WorkerLoad(*row) for row in answer["workers"])
        ]
        self.timeline.add(samples, workers)
        return samples, workers
