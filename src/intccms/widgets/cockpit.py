"""A run from one cell: the form, Run and Stop, the live panel and the result, in tabs."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import ipywidgets

from intccms.metrics.panel import Panel, load_bokeh
from intccms.metrics.progress import NotebookProgress
from intccms.metrics.tables import Table
from intccms.pipeline.background import Background
from intccms.pipeline.stages import Stages
from intccms.schema import Config
from intccms.widgets.editor import ConfigEditor
from intccms.widgets.explorer import ResultExplorer
from intccms.widgets.fields import close, red

TABS = ("Configuration", "Run", "Result")
NO_RESULT = "<i>Run comes first; the figures of the result stand here then.</i>"


class Run(Protocol):
    """What a cockpit asks of a session of a notebook; `told` is what its beginning said."""

    told: str

    @property
    def config(self) -> Config:
        """The configuration of the run."""

    @property
    def stages(self) -> Stages:
        """The run itself."""

    def count_files(self) -> Table:
        """Open all input files."""

    def process(self) -> Table:
        """Turn events into histograms."""

    def reuse(self) -> str:
        """Say what was used again."""

    def yields(self) -> Table:
        """Give the yields."""

    def fit(self) -> Table:
        """Fit, and find the limits."""

    def limit(self) -> Table:
        """Give the limits."""


R = TypeVar("R", bound=Run)


class StopButton:
    """A button that stops what goes on in the background, and a line for how far it is.

    Attributes
    ----------
    button, line
        Of the form, which is shown as it is.
    """

    def __init__(self) -> None:
        self.line = ipywidgets.HTML()
        self.button = ipywidgets.Button(description="Stop", icon="stop", disabled=True)
        self._going: Background[Any] | None = None
        self.button.on_click(lambda _: self._stop())

    def begin(self, going: Background[Any]) -> None:
        """Stop this from now on."""
        self._going, self.button.disabled = going, False

    def update(self, content: dict[str, str], *, raw: bool) -> None:  # noqa: ARG002 - see display
        """Take progress, as a display handle does."""
        self.line.value = content["text/html"]

    def end(self, going: Background[Any]) -> None:
        """Say how it has ended: what the work gave, or what was wrong and where."""
        self.button.disabled, error = True, going.error
        self.line.value = html.escape(str(going.answer))
        if error is not None:
            render = getattr(error, "_render_traceback_", lambda: [repr(error)])
            self.line.value = (
                f"<pre style='white-space:pre-wrap'>{red(chr(10).join(render()))}</pre>"
            )

    def _stop(self) -> None:
        if self._going is not None:
            self.button.disabled = True
            self._going.stop()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return ipywidgets.HBox([self.button, self.line])._repr_mimebundle_(**kwargs)


class Cockpit(Generic[R]):
    """A form, buttons and a result; the kernel is free while a run goes on.

    Parameters
    ----------
    source, overrides
        As for `ConfigEditor`.
    begin
        Makes a session of the settings of the form: it is given them as overrides, and the panel
        or whether there shall be one.

    Attributes
    ----------
    editor
        The form.
    run, fit, stop
        The buttons.
    panel
        Shows a run while it goes on.
    latest
        The last session that was run here.
    """

    def __init__(
        self, source: Any, overrides: Sequence[str], begin: Callable[[list[str], Panel | bool], R]
    ) -> None:
        self.editor = ConfigEditor(source, overrides)
        self.latest: R | None = None
        self._begin = begin
        self.run = ipywidgets.Button(description="Run", icon="play", button_style="primary")
        self.fit = ipywidgets.Button(description="Fit", icon="crosshairs", disabled=True)
        self.stop = StopButton()
        target = self.editor.config.general.metrics.target_throughput_gbps
        self.panel = Panel(target, inner=NotebookProgress(place=self.stop))
        self._going: Background[Any] | None = None
        self._is_shown = False  # the panel is 1.7 MB, and comes with the first run
        beside = {"flex_flow": "row wrap"}  # below, where the window is narrow
        self._result = ipywidgets.Box([ipywidgets.HTML(NO_RESULT)], layout=beside)
        self._live = ipywidgets.VBox([])
        self.tabs = ipywidgets.Tab(children=[self.editor.box, self._live, self._result])
        for index, title in enumerate(TABS):
            self.tabs.set_title(index, title)
        buttons = [self.run, self.fit, self.stop.button, self.stop.line]
        self.box = ipywidgets.VBox([ipywidgets.HBox(buttons, layout=beside), self.tabs])
        self.run.on_click(lambda _: self.start())
        self.fit.on_click(lambda _: self.start(fit=True))

    @property
    def is_running(self) -> bool:
        """Whether something goes on in the background."""
        return self._going is not None and self._going.is_running

    def start(self, *, fit: bool = False) -> None:
        """Do what the button does: run with the settings of the form, or fit what was run.

        It goes on in the background; `wait` waits for it.

        Parameters
        ----------
        fit
            Fit the last run.
        """
        if self.is_running:
            return
        self.run.disabled = self.fit.disabled = True
        work = self._fitted if fit else self._processed
        if not fit:
            self.tabs.selected_index = TABS.index("Run")
        if self._is_shown and not self._live.children:
            script = ipywidgets.Output()
            with script:
                load_bokeh()
            self._live.children = (script, self.panel.widget())
        self._going = Background(work, self._over)
        self.stop.begin(self._going)
        self._going.start()

    def wait(self) -> None:
        """Wait until nothing goes on; raise what has ended it."""
        if self._going is not None:
            self._going.wait()

    def session(self, *, panel: bool = False) -> R:
        """Begin a run of the settings of the form as they are now, for cells of the notebook.

        Waits for what goes on in the background, however it ends: what is finished is used again.

        Parameters
        ----------
        panel
            Whether the run is watched.
        """
        if self._going is not None:
            self._going.join()
        return self._begin(self.editor.overrides, panel)

    def _processed(self) -> str:
        """Run what the form says, and show the result."""
        session = self._begin(self.editor.overrides, self.panel)
        session.count_files()
        session.process()
        self._show(session, session.yields())
        self.latest = session
        return "; ".join(filter(None, (session.told, session.reuse())))

    def _fitted(self) -> str:
        """Fit the last run, and show what comes out."""
        assert self.latest is not None
        tables = self.latest.fit(), self.latest.limit()
        self._show(self.latest, self.latest.yields(), *tables)
        return "fitted"

    def _show(self, session: R, *tables: Table) -> None:
        """Put a result in the place of the last one."""
        texts = ipywidgets.VBox([ipywidgets.HTML(table._repr_html_()) for table in tables])
        explorer = ResultExplorer(session.config, session.stages.result.book)
        before, self._result.children = self._result.children, (explorer.box, texts)
        for child in before:
            close(child)
        self.tabs.selected_index = TABS.index("Result")

    def _over(self, going: Background[Any]) -> None:
        self.stop.end(going)
        self.run.disabled = False
        self.fit.disabled = self.latest is None

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        self._is_shown = True
        text = "the cockpit: a form, Run and Stop, and the result, while the notebook is open"
        return {**self.box._repr_mimebundle_(**kwargs), "text/plain": text}
