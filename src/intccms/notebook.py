"""What the cells of the notebooks call: the stages of `intccms.pipeline`, one line each.

Shows tables, figures and progress below the cells; what is written, the stages write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload
from weakref import WeakValueDictionary

import matplotlib.pyplot as plt
from IPython.display import FileLink, Image, display

import intccms
from intccms.errors import InputError, attempted, nearest
from intccms.execution.executors import WorkerPool
from intccms.first_inputs import inputs_of_example
from intccms.metrics.measurement import Measurement
from intccms.metrics.panel import Panel
from intccms.metrics.progress import make_observer
from intccms.metrics.report import coverage_table, dataset_table, metric_tables
from intccms.metrics.tables import (
    Table,
    cutflow_table,
    describe,
    fit_table,
    ledger_table,
    limit_table,
    rate_table,
    yields_table,
)
from intccms.pipeline import Stages, summarise
from intccms.pipeline.background import Background
from intccms.pipeline.figures import GROUPS, Group, pictures
from intccms.pipeline.reuse import reuse_in_words
from intccms.pipeline.scan import Point, scan_figure, scan_table
from intccms.pipeline.summary import RunResult
from intccms.plots.style import look_of, rendered
from intccms.preflight import checks, rows_of
from intccms.schema import Config, load_config
from intccms.storage import Output
from intccms.usercode.reloading import check_current

if TYPE_CHECKING:
    from intccms.widgets import Cockpit, StopButton

SHOWN_PIXELS = 672  # 7 inches of a browser

# IPython's have no types.
_display: Any = display
_image: Any = Image
_link: Any = FileLink

# Of this kernel: workers that were started for one run are there for the next, and so is what the
# last run of each output directory knows.
_pool = WorkerPool()
_latest: WeakValueDictionary[Path, Stages] = WeakValueDictionary()
_cockpits: dict[str, Cockpit[Session]] = {}


def setup(  # noqa: PLR0913 - the parameters of every notebook, all by name
    config: Any,
    overrides: Sequence[str] = (),
    *,
    processes: Sequence[str] = (),
    base_dir: str | None = None,
    output_dir: str | None = None,
    facility: str | None = None,
    n_workers: int | None = None,
    client: Any = None,
    panel: bool | Panel = False,
) -> Session:
    """Load the configuration and begin a run of it.

    An example whose inputs are not here runs on synthetic events, and says so: those of ``make
    demo``, else a small sample that is made in the output directory.

    Parameters
    ----------
    config
        ``"module:name"``, or a dict.
    overrides
        ``["general.run_statistics=False", …]``.
    processes, base_dir, output_dir, facility, n_workers
        The same keys of ``general``; empty, None or 0 leaves them. They win over `overrides`.
    client
        A `distributed.Client` to run on; it stays open.
    panel
        Whether the run is watched: see `Session.panel`; or what watches it.

    Raises
    ------
    ConfigError
        If the configuration does not validate.
    """
    intccms.set_logging("WARNING")
    given = {
        "processes": list(processes),
        "base_dir": base_dir,
        "output_dir": output_dir,
        "facility": facility,
        "n_workers": n_workers,
    }
    session = _session(config, [*overrides, *settings("general", given)], client, panel)
    if session.told:
        _display(Text(session.told))
    return session


def cockpit(config: Any, overrides: Sequence[str] = (), **given: Any) -> Cockpit[Session]:
    """Make a run from one cell: the form, Run and Stop, the live panel and the result, in tabs.

    The kernel is free while it runs. Run again, the cell shows what goes on, or a form with the
    changes that were made in the last one.

    Parameters
    ----------
    config, overrides
        As for `setup`.
    **given
        ``processes``, ``base_dir``, ``output_dir``, ``facility``, ``n_workers`` and ``client`` of
        `setup`. All but the last stand in the form, where they can be changed.

    Raises
    ------
    ConfigError
        If the configuration does not validate.

    Examples
    --------
    >>> forms = cockpit("example_opendata.configs.configuration:config", n_workers=2)
    >>> forms.editor.overrides
    ['general.n_workers=2']
    """
    from intccms.widgets import Cockpit

    client = given.pop("client", None)
    wanted = [*overrides, *settings("general", given)]
    before = _cockpits.get(str(config))
    if before is not None and before.is_running:
        return before

    def begin(changes: list[str], panel: bool | Panel) -> Session:
        return _session(config, changes, client, panel)

    made = Cockpit(config, wanted, begin)
    if before is not None:
        edited = before.editor.draft
        keys = (key for key in edited.changes if edited.is_edited(key))
        attempted(made.editor.draft.put, {key: edited.changes[key] for key in keys})
    _cockpits[str(config)] = made
    return made


def _session(config: Any, wanted: Sequence[str], client: Any, panel: bool | Panel) -> Session:
    """Begin a run; an example without files gets some."""
    loaded = load_config(config, wanted)
    observer = panel.inner if isinstance(panel, Panel) else make_observer()
    sample, told = inputs_of_example(loaded, observer), ""
    if sample is not None:
        base = os.path.relpath(sample)
        told = f"no files of this example are here: synthetic events of {base} are used"
        wanted = [*wanted, *settings("general", {"base_dir": base})]
        loaded = load_config(config, wanted)
    session = Session(loaded, client, panel=panel, source=(config, wanted))
    session.told = told
    return session


def settings(where: str, values: Mapping[str, Any]) -> list[str]:
    """Write settings as overrides; what is empty, None or 0 is left as the configuration has it.

    Examples
    --------
    >>> settings("general.metrics", {"measurement_name": "first", "worker_tracking_interval": 0})
    ['general.metrics.measurement_name="first"']
    """
    given = {name: value for name, value in values.items() if value or value is False}
    return [f"{where}.{name}={json.dumps(value)}" for name, value in given.items()]


def redirected(config: Any, redirector: str) -> list[str]:
    """Write the overrides that read every dataset through a redirector or a cache.

    Parameters
    ----------
    config
        ``"module:name"``, or a dict.
    redirector
        Put in front of names that begin with ``/store/``, e.g. ``root://xcache/``.
    """
    entries = load_config(config).datasets.datasets
    return [f"datasets.datasets.{entry.name}.redirector={redirector}" for entry in entries]


def preflight(config: Config, client: Any = None) -> Table:
    """Try what a run needs, in half a minute: workers, files, credentials, space."""
    return Table("Preflight", rows_of(checks.preflight(config, client)), is_text=True)


class Text:
    """A text that a notebook shows as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        """Return the text itself."""
        return self.text


class Session:
    """One run in a notebook, stage by stage.

    Parameters
    ----------
    config
        What to run.
    client
        A `distributed.Client` to run on; it stays open.
    panel
        Whether the run is watched, or what watches it.
    source
        What the configuration was loaded from, and with which overrides: `look` loads it again.
    """

    def __init__(
        self,
        config: Config,
        client: Any = None,
        *,
        panel: bool | Panel = False,
        source: tuple[Any, Sequence[str]] | None = None,
    ) -> None:
        self.told = ""  # at the beginning
        self._source: Any = config if source is None else source[0]
        self._overrides: Sequence[str] = () if source is None else source[1]
        self._client, self._panel = client, panel
        self._begin(config, _latest.get(Output(config.general).directory))

    def _begin(self, config: Config, earlier: Stages | None) -> None:
        """Begin a run; what an earlier one knows is taken where it still holds."""
        self.config = config
        self.watch = self._panel if isinstance(self._panel, Panel) else None
        if self._panel is True:
            self.watch = Panel(config.general.metrics.target_throughput_gbps)
        watch = self.watch or make_observer()
        self._going: Background[Table] | None = None
        self._before = earlier.result if earlier is not None else None
        self._stages = Stages(config, self._client, observer=watch, pool=_pool, earlier=earlier)
        _latest[self._stages.output.directory] = self._stages

    @property
    def stages(self) -> Stages:
        """The run itself; waits for what goes on in the background, however it ends."""
        if self._going is not None:
            self._going.join()
        return self._stages

    @property
    def _finished(self) -> Stages:
        """The run, for its result; raises what has ended it in the background."""
        if self._going is not None:
            self._going.wait()
        return self._stages

    def look(self, *observables: str, overrides: Sequence[str] = (), config: Any = None) -> Table:
        """Run again what an edit has changed, and show what comes out.

        Modules that were edited are loaded again. Says in one line what has changed and what was
        used again, shows figures, and gives the yields. Nothing but ``run_summary.json`` is
        written: `summary` and `fit` write the rest.

        Parameters
        ----------
        *observables
            Patterns of figures, ``channel/observable``; none: the fitted observable of each
            channel.
        overrides
            Settings for this look and those after it: ``["general.lumi=1000"]``.
        config
            Another configuration for this look and those after it; None: the same.

        Raises
        ------
        InputError
            If a pattern matches no figure.
        """
        source, wanted = config or self._source, [*self._overrides, *overrides]
        loaded = load_config(source, wanted)
        self._source, self._overrides, before = source, wanted, self.stages  # what is wrong goes
        self._begin(loaded, before)
        self.count_files()
        self.process()
        _display(Text(self.reuse()))
        for png in pictures(self.stages.result, observables):
            _display(_image(data=png, width=SHOWN_PIXELS))
        return self.yields()

    def reuse(self) -> str:
        """Say in one line what has changed since the run before, and what was used again."""
        result = self.stages.result
        return reuse_in_words(self._before or RunResult(self.config, result.output), result)

    def scan(self, setting: str, values: Sequence[Any], *, limits: bool = False) -> Table:
        """Run at several values of a setting, draw what comes of it and give it as a table.

        The session stays as it is: the scan has a directory of its own, ``scan`` in that of the
        run, and reads the columns that the run has kept.

        Parameters
        ----------
        setting
            A key of the configuration: ``channels.SR.selection.met_min`` is the keyword-only
            argument ``met_min`` of the selection of channel ``SR``.
        values
            Those to try.
        limits
            Whether the expected limit is found at each, too.

        Raises
        ------
        ConfigError
            If there is no such setting, or a value does not fit.
        """
        fixed = settings(
            "general",
            {
                "output_dir": str(self.stages.output.directory / "scan"),
                "cache_dir": self.config.general.cache_url,
                "run_statistics": limits,
            },
        )
        loaded = [
            load_config(self._source, [*self._overrides, *fixed, f"{setting}={json.dumps(value)}"])
            for value in values
        ]
        points, stages, watch = [], self.stages, make_observer()
        for value, config in zip(values, loaded, strict=True):
            stages = Stages(config, self._client, observer=watch, pool=_pool, earlier=stages)
            with closing(stages):
                stages.count_files()
                stages.process()
                if limits:
                    stages.infer()
                points.append(Point.of(value, stages.result))
        figure = scan_figure(setting, points, look_of(self.config, self.stages.result.book))
        _display(_image(data=rendered(figure), width=SHOWN_PIXELS))
        plt.close(figure)
        return scan_table(setting, points)

    def show_config(self) -> Table:
        """Say what this run is about."""
        config = self.config
        general = config.general
        sources = {
            source.name
            for year in config.corrections
            for correction in config.corrections_for(year)
            for source in correction.uncertainty_sources
        }
        lumi = json.dumps(general.lumi) if isinstance(general.lumi, dict) else f"{general.lumi:g}"
        rows = [
            ["setting", "value"],
            ["configuration", config.file or "given as a dict"],
            ["processes", ", ".join(config.processes)],
            ["channels", ", ".join(channel.name for channel in config.active_channels)],
            ["signals", ", ".join(config.signals)],
            ["luminosity", f"{lumi} / pb"],
            ["sources of uncertainty", str(len(sources) if general.run_systematics else 0)],
            ["executor", general.executor],
            ["input below", str(general.input_path("."))],
            ["output", str(self._stages.output.directory)],
        ]
        if self.told:
            rows.append(["note", self.told])
        return Table("This run", rows, is_text=True)

    def count_files(self) -> Table:
        """Open all input files and check everything that the configuration names."""
        check_current(self.config)
        rows = [["dataset", "files", "events", "cannot be opened"]]
        metadata = self.stages.count_files()
        if metadata is None:
            return Table("No file is opened: saved histograms are used", rows)
        for key in metadata.fileset.keys():  # noqa: SIM118 - iterating gives the datasets
            n_files, n_failed = len(metadata.files_of(key)), len(metadata.failures_of(key))
            rows.append([key, f"{n_files:,}", f"{metadata.n_events(key):,}", f"{n_failed:,}"])
        return Table("Input files", rows)

    @overload
    def process(self, *, wait: Literal[True] = True) -> Table: ...
    @overload
    def process(self, *, wait: Literal[False]) -> StopButton: ...
    def process(self, *, wait: bool = True) -> Table | StopButton:
        """Turn events into histograms, or load those of an earlier run.

        Parameters
        ----------
        wait
            Whether the cell goes on until the end. False: the kernel is free meanwhile, a button
            stops the run, and what needs the result waits for it.

        Raises
        ------
        ConfigError
            If code was edited since the configuration was loaded.
        """
        check_current(self.config)
        stages, self._going = self.stages, None
        if wait:
            return self._processed(stages)
        from intccms.widgets import StopButton

        button = StopButton()
        self._going = Background(lambda: self._processed(stages), button.end)
        button.begin(self._going)
        self._going.start()
        return button

    def _processed(self, stages: Stages) -> Table:
        try:
            stages.process()
        finally:
            if self.watch is not None:  # for the saved notebook, also of a run that fails
                self.watch.freeze()
        return rate_table(summarise(stages.result))

    def ledger(self) -> Table:
        """Say what was planned, processed and lost."""
        return ledger_table(self._summary)

    def yields(self) -> Table:
        """Show the yield of each process in each channel."""
        return yields_table(self._summary)

    def cutflow(self, channel: str | None = None) -> Table:
        """Show the yields of one channel, else of the first, cut by cut."""
        summary = self._summary
        flows = summary["cutflow"]
        if channel is None and not flows:
            return Table("No cutflow", [["cut"]])
        name = channel or next(iter(flows))
        if name not in flows:
            raise InputError(f"no cutflow of channel {name!r}; {nearest(name, flows)}")
        return cutflow_table(summary, name)

    def plots(
        self, group: Group = "observables", *, only: str = "*", with_log: bool = False
    ) -> None:
        """Draw a group of figures, save all of them and show some.

        Parameters
        ----------
        group
            ``observables``, ``systematics``, ``cutflow`` or ``statistics``.
        only
            Pattern of the names of the figures that are shown: ``mtt*``.
        with_log
            Show those with a logarithmic axis too.

        Raises
        ------
        InputError
            If there is no such group.
        """
        if group not in GROUPS:
            raise InputError(f"no figures {group!r}; {nearest(group, GROUPS)}")
        for path in self._finished.draw(group):
            if fnmatch(path.stem, only) and (with_log or not path.stem.endswith("_log")):
                _display(_image(filename=str(path), width=SHOWN_PIXELS))

    def fit(self) -> Table:
        """Fit the signal strength and find the limits on it."""
        self._finished.infer()
        return fit_table(self._summary)

    def limit(self) -> Table:
        """Show the limits that `fit` has found."""
        return limit_table(self._summary)

    def summary(self) -> Text:
        """Write ``run_summary.json`` and say what came out.

        Raises
        ------
        IncompleteError
            If more was lost than allowed.
        """
        result = self._finished.finish()
        return Text(describe(result.summary, result.output.directory))

    @property
    def measurement(self) -> Measurement:
        """What was measured while the events were processed.

        Raises
        ------
        InputError
            If nothing was.
        """
        if self.stages.measurement is None:
            raise InputError("nothing was measured: process() comes first, with metrics.enable")
        return self.stages.measurement

    @property
    def _summary(self) -> dict[str, Any]:
        return summarise(self._finished.result)


def show_metrics(session: Session) -> None:
    """Show all that was measured: rates, workers, times, datasets, branches.

    Parameters
    ----------
    session
        After `Session.process`.
    """
    measurement = session.measurement
    for wrong in measurement.violations:
        _display(Text(f"not consistent: {wrong}"))
    found = (*metric_tables(measurement), dataset_table(measurement), coverage_table(measurement))
    for table in found:
        if table is not None:
            _display(table)


def show_report(session: Session) -> None:
    """Show where the files of the measurement are.

    Parameters
    ----------
    session
        After `Session.process`.
    """
    here = Path.cwd()
    session.stages.write()
    for path in sorted(session.stages.output.measurement_dir(session.measurement.name).glob("*")):
        file = path.resolve()
        _display(_link(str(file.relative_to(here) if file.is_relative_to(here) else file)))
