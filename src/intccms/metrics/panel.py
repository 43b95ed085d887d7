"""The live panel of a run in a notebook; where nothing can show it, a table of text.

Drawn at each look of the recorder's thread, as the kernel itself is busy with the run.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from intccms.execution.tasks import ChunkReport, Observer
from intccms.metrics.live import Board
from intccms.metrics.progress import make_observer
from intccms.metrics.state import RunState, summary
from intccms.metrics.still import picture
from intccms.metrics.tables import Table
from intccms.metrics.worker_tracker import Sample, WorkerLoad


def load_bokeh() -> Any:
    """Put BokehJS below the cell, once for all figures of a notebook: no network is asked.

    Returns
    -------
    DisplayHandle
        Of that output, 1.7 MB in a notebook that is saved.
    """
    from bokeh.io import output_notebook
    from bokeh.resources import Resources
    from IPython.display import display
    from IPython.utils.capture import capture_output

    needed: Any = ["bokeh", "bokeh-widgets"]
    with capture_output() as caught:  # Bokeh writes the same script twice
        output_notebook(Resources(mode="inline", components=needed), hide_banner=True)
    script = caught.outputs[-1].data["application/javascript"]
    show: Any = display
    return show({"application/javascript": script}, raw=True, display_id=True)


class Panel:
    """Shows a run while it goes on; an observer, and a watcher of the workers.

    Parameters
    ----------
    target_gbps
        Data rate to compare with.
    inner
        Shows each stage too; None: a bar or lines, by where this runs.
    """

    def __init__(self, target_gbps: float = 200.0, *, inner: Observer | None = None) -> None:
        self.state = RunState(target_gbps)
        self.inner = inner or make_observer()
        self.board: Board | None = None
        self._handle: Any = None
        self._script: Any = None
        self._lock = threading.Lock()

    def show(self) -> None:
        """Show the panel below the cell, where there is a notebook."""
        kernel = sys.modules.get("ipykernel.kernelapp")
        if kernel is None or not kernel.IPKernelApp.initialized():
            return
        from IPython.display import display

        self._script = load_bokeh()
        show: Any = display
        self._handle = show(self.widget(), display_id=True)

    def widget(self) -> Any:
        """Make the panel as a widget, for the forms of others; `load_bokeh` comes first."""
        from jupyter_bokeh import BokehModel  # type: ignore[import-untyped]

        self.board = Board()
        self._draw()
        return BokehModel(self.board.root)

    def begin(
        self, stage: str, *, parts: Mapping[str, Sequence[int]] | None = None, **amount: Any
    ) -> None:
        """See `Observer.begin`."""
        self.inner.begin(stage, parts=parts, **amount)
        if parts is not None:
            with self._lock:
                self.state.begin(parts, time.time())

    def advance(self, n: int = 1) -> None:
        """See `Observer.advance`."""
        self.inner.advance(n)

    def notice(self, text: str) -> None:
        """See `Observer.notice`."""
        self.inner.notice(text)
        with self._lock:
            self.state.notice = text

    def report(self, report: ChunkReport) -> None:
        """See `Observer.report`."""
        self.inner.report(report)
        with self._lock:
            self.state.take(report, time.time())

    def workers(self, samples: Sequence[Sample], loads: Sequence[WorkerLoad]) -> None:
        """See `Watcher.workers`; the plots are drawn then."""
        with self._lock:
            self.state.watch(samples, loads)
        self._draw()

    def end(self) -> None:
        """See `Observer.end`."""
        self.inner.end()
        with self._lock:
            if self.state.started is not None and self.state.ended is None:
                self.state.end(time.time())

    def table(self) -> Table:
        """Return the numbers of the panel as text, one a line."""
        numbers = summary(self.state, time.time())
        return Table("This run", [["what", "value"], *map(list, numbers.items())])

    def freeze(self) -> None:
        """Put a picture in the place of the live panel: a saved notebook keeps it."""
        if self._handle is None:  # nowhere, or in the form of another, where it stays
            self._draw()
            return
        with self._lock:
            png = picture(self.state, time.time())
        self._handle.update({"image/png": png, "text/plain": str(self.table())}, raw=True)
        self._script.update({"text/html": ""}, raw=True)  # of no kind at all, pages warn
        self.board = self._handle = self._script = None

    def _draw(self) -> None:
        if self.board is not None:
            with self._lock:
                self.board.show(self.state, time.time())
