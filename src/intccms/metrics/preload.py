"""Our plots on a Dask scheduler: ``dask scheduler --preload intccms.metrics.preload``.

Dask imports it before it builds the dashboard, so that our routes are in it and listed where
dask-labextension looks for plots, and then calls `dask_setup`. A scheduler that runs already is
never patched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from distributed.dashboard.scheduler import applications
from distributed.diagnostics.plugin import SchedulerPlugin

from intccms.execution.tasks import ChunkReport
from intccms.metrics.figures import RUN_PLOTS
from intccms.metrics.live import Board, RunDrawing
from intccms.metrics.recorder import TOPIC, WATCHER
from intccms.metrics.state import RunState
from intccms.metrics.worker_tracker import NAME, Sampler

UPDATE_MS = 1000
SAMPLE_S = 1.0


class RunWatcher(SchedulerPlugin):
    """What a scheduler knows of the run: chunk reports of the client, samples of the workers."""

    def __init__(self) -> None:
        self.name = WATCHER
        self.state = RunState()
        self.sampler: Sampler | None = None
        self._n_seen = 0

    def attach(self, scheduler: Any) -> None:
        """Begin; the workers are sampled from now on."""
        scheduler.add_plugin(self, name=WATCHER)
        self.sampler = scheduler.plugins.get(NAME)
        if self.sampler is None:
            self.sampler = Sampler(SAMPLE_S, stays=True)
            self.sampler.attach(scheduler)

    def log_event(self, topic: str, msg: Any) -> None:
        """Take what a recorder sends."""
        if topic != TOPIC:
            return
        now = time.time()
        if "begin" in msg:
            self.state.target_gbps = msg["target_gbps"]
            self.state.begin(msg["begin"], now)
        for fields in msg["receipts"]:
            self.state.take(ChunkReport(**fields), now)
        if "end" in msg:
            self.state.end(now)

    def refresh(self) -> RunState:
        """Return the state, with what was sampled since."""
        assert self.sampler is not None
        samples = self.sampler.samples
        first = max(self._n_seen - self.sampler.n_dropped, 0)
        self.state.watch(samples[first:], list(self.sampler.workers.values()))
        self._n_seen = self.sampler.n_dropped + len(samples)
        return self.state


def _document(make: Callable[..., Any], title: str, scheduler: Any, _: Any, document: Any) -> None:
    """Fill a Bokeh document, which is drawn anew each second while somebody looks at it."""
    view = make()
    if WATCHER not in scheduler.plugins:  # it was started without our preload
        RunWatcher().attach(scheduler)
    watcher: RunWatcher = scheduler.plugins[WATCHER]

    def update() -> None:
        view.show(watcher.refresh(), time.time())

    update()
    document.add_root(view.root)
    document.title = f"intccms: {title}"
    document.add_periodic_callback(update, UPDATE_MS)


ROUTES: dict[str, Callable[..., None]] = {
    "/individual-intccms-panel": partial(_document, Board, "run"),
    **{
        f"/individual-intccms-{name}": partial(
            _document, partial(RunDrawing, one, sizing_mode="stretch_both"), one.plot.title
        )
        for name, one in RUN_PLOTS.items()
    },
}


applications.update(ROUTES)  # of every scheduler that this process starts from now on


def dask_setup(scheduler: Any) -> None:
    """Begin to watch runs on a scheduler that starts."""
    RunWatcher().attach(scheduler)
