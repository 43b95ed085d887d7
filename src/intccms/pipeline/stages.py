"""All that a run gives, in one object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.datasets.metadata import Metadata
from intccms.datasets.metadata import save as save_metadata
from intccms.errors import FigureError, FitError, IncompleteError, IntccmsError, OutputError
from intccms.execution.executors import Executor, WorkerPool, open_executor
from intccms.execution.tasks import Observer, Silent
from intccms.interrupts import Interrupted
from intccms.metrics.measurement import Measurement
from intccms.pipeline import figures
from intccms.pipeline.checks import check_supported, checked_inputs, kept_clean
from intccms.pipeline.lock import OutputLock
from intccms.pipeline.made_with import code_of
from intccms.pipeline.records import RunRecord
from intccms.pipeline.saved import fitted, load_saved
from intccms.pipeline.summary import RunResult, summarise
from intccms.plots.style import Drawn
from intccms.schema import Config
from intccms.storage import Output, disk_errors, write_json
from intccms.usercode.reloading import check_current

if TYPE_CHECKING:
    from intccms.mva import Trained
    from intccms.statistics import SignalResult


class Workers:
    """Calling it gives the executor.

    Parameters
    ----------
    config, client
        As for `run`.
    tell
        Shows what holds everything up.
    pool
        Has workers that stay; None: they are started for this run.
    """

    def __init__(
        self,
        config: Config,
        client: Any = None,
        tell: Callable[[str], None] = lambda _: None,
        pool: WorkerPool | None = None,
    ) -> None:
        self._config, self._client, self._tell, self._pool = config, client, tell, pool
        self._executor: Executor | None = None
        self._open = ExitStack()

    def __call__(self) -> Executor:
        """Give the executor."""
        if self._executor is None:
            config = self._config
            opener = open_executor if self._pool is None else self._pool.executor
            opened = opener(config.general, self._client, code=config, tell=self._tell)
            self._executor = self._open.enter_context(opened)
        return self._executor

    def close(self) -> None:
        """Close what was started here; a next call opens it again."""
        self._executor = None
        self._open.close()

    def rest(self) -> None:
        """Leave workers that stay to other runs, until they are called again."""
        if self._pool is not None:
            self.close()

    def drop(self) -> None:
        """Close the workers that stay, too, if no other run has them."""
        self.close()
        if self._pool is not None and not self._pool.is_busy:
            self._pool.close()


def run(config: Config, client: Any = None, *, observer: Observer | None = None) -> RunResult:
    """Run all stages that the configuration asks for.

    Parameters
    ----------
    config
        What to do.
    client
        A `distributed.Client` to run on; it stays open.
    observer
        Is told of everything that finishes.

    Raises
    ------
    InputError
        If an input is wrong; nothing is written then.
    IncompleteError
        If more was lost than allowed; everything is written all the same.
    IntccmsError
        Whatever else ended the run; ``run_summary.json`` says it too.
    """
    with Stages(config, client, observer=observer) as stages:
        stages.count_files()
        stages.process()
        with suppress(FitError):  # kept by `stages`: the figures of the histograms come first
            stages.infer()
        stages.draw()
        return stages.finish()


class Stages:
    """One run, to be called stage by stage in the order of its methods.

    Parameters
    ----------
    config, client, observer
        As for `run`.
    pool
        Has workers that stay when the run is over; None: they are started for it.
    earlier
        A run in this process, which ends here if it is of the same output directory: what it
        knows of files, and the sums of its chunks, are taken where they still hold.
    """

    def __init__(
        self,
        config: Config,
        client: Any = None,
        *,
        observer: Observer | None = None,
        pool: WorkerPool | None = None,
        earlier: Stages | None = None,
    ) -> None:
        check_current(config)
        check_supported(config)
        self.config = config
        self.output = Output(config.general)
        self.metadata: Metadata | None = None
        self.result = RunResult(config, self.output)
        self.measurement: Measurement | None = None
        self.trained: dict[str, Trained] | None = None
        self._observer = observer or Silent()
        self._workers = Workers(config, client, self._observer.notice, pool)
        self._processor: Any = None
        self._unwritten: RunRecord | None = None
        self._lock = OutputLock(self.output.directory)
        self.is_running = False  # a stage; between them another run may have its directory
        self._earlier: tuple[Metadata, AnalysisResult] | None = None
        if earlier is not None and config.general.read_from_cache:
            metadata, analysis = earlier.metadata, earlier.result.analysis
            self._earlier = None if not (metadata and analysis) else (metadata, analysis)
        is_same = earlier is not None and earlier.output.directory == self.output.directory
        if earlier is not None and is_same and not earlier.is_running:
            earlier.close()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is left to write, close the workers and give the output directory back."""
        try:
            if error is None:
                self.write()
        finally:
            self.close()

    def close(self) -> None:
        """Close the workers that were started for this run; let others write to its directory."""
        self._workers.close()
        self._lock.release()

    @property
    def reads_events(self) -> bool:
        """Whether this run looks at event files at all."""
        general = self.config.general
        return general.run_processor and not general.run_plots_only

    def count_files(self) -> Metadata | None:
        """Find and count the input files, and check everything that the user named.

        Returns
        -------
        Metadata or None
            None where the run goes on from saved histograms.

        Raises
        ------
        InputError
            If something is wrong, or another run writes to the same directory; nothing has been
            written then.
        """
        if not self.reads_events:
            return None
        with self._interruptible(), kept_clean(self.output), self._lock.held(keep=True):
            self._processor, self.metadata = checked_inputs(
                self.config, self.output, self._workers, self._observer, self._earlier
            )
        self.result.has_written = True
        with self._interruptible():
            self.result.code = code_of(self.config)
            self.output.run_summary_json.unlink(missing_ok=True)  # that of an earlier run
            save_metadata(self.metadata, self.output.metadata_dir)
            write_json(self.output.config_json, self.config.dump())
        return self.metadata

    def train(self) -> dict[str, Trained]:
        """Train the classifiers, where ``general.run_mva_training`` asks for it.

        `process` does it where it was not done before.

        Raises
        ------
        IncompleteError
            If more of the training events was lost than ``general.max_lost_fraction`` allows.
        """
        if not (self.reads_events and self.config.general.run_mva_training):
            return {}
        if self.metadata is None:
            raise IntccmsError("count the files first")
        from intccms.pipeline.inference import trained

        with self._lock.held(keep=True), self._recorded():
            self.trained, plots = trained(
                self._processor,
                self.metadata,
                self._workers(),
                output=self.output,
                observer=self._observer,
            )
            self.result.take_figures(plots)
            self.result.trained = self.trained
            files = self.metadata.fileset
            self._processor = runner.make_processor(self.config, files, trained=True)
        return self.trained

    def process(self) -> None:
        """Turn events into histograms, or load those of an earlier run; see `result`."""
        if not self.reads_events:
            load_saved(self.result)
            with self._interruptible():
                self.output.prepare()
                self._lock.acquire()
                self.result.has_written = True
                write_json(self.output.config_json, self.config.dump())
            return
        if self.metadata is None:
            raise IntccmsError("count the files first")
        if self.trained is None:
            self.train()
        with self._lock.held(keep=True), self._recorded():
            workers = self._workers()
            n_workers = workers.n_workers
            record = RunRecord(self.config, self.output, workers, self._observer)
            with record.recorder:
                analysis = runner.process(
                    self.config,
                    self.metadata,
                    workers,
                    processor=self._processor,
                    observer=record.recorder,
                    before=self._earlier and self._earlier[1],
                )
                record.see_trees(analysis, self.metadata)
            if not (self.config.general.run_statistics and len(self.config.signals) > 1):
                self._workers.close()  # else they fit the signals
            self.result.take_analysis(analysis, n_workers)
            record.take(analysis)
            self._unwritten = record
            self.measurement = record.measured(self._write_summary(unfinished=True))

    def write(self) -> None:
        """Write the histograms, and what was measured with its figures, if that is still to do.

        `infer` and `finish` do it; before, an edit and another `process` cost nothing of it.
        """
        if self._unwritten is not None:
            with self._lock.held(), self._recorded():
                self._unwritten.write(summarise(self.result, unfinished=True))
            self._unwritten = None

    def infer(self) -> dict[str, SignalResult]:
        """Fit each signal and find the limits on its strength, several signals at a time.

        Raises
        ------
        FitError
            If that fails for some signal; histograms and what was found of the other signals
            stay, and `finish` raises it too.
        """
        from intccms.pipeline.inference import has_fit, infer_signals

        if has_fit(self.result):
            self.write()
            with self._lock.held(), self._recorded(), fitted(self.result):
                infer_signals(self.result, self._workers, self._observer)
            self._workers.close()
            return self.result.results
        self.result.warn_of_outside()
        return {}

    def draw(self, *groups: figures.Group) -> tuple[Path, ...]:
        """Draw and save figures.

        Parameters
        ----------
        *groups
            ``observables``, ``systematics``, ``cutflow``, ``statistics``; none: all of them.

        Returns
        -------
        tuple of Path
            The PNG files; each has a PDF beside it. Figures that cannot be drawn are named in
            the log and the summary, and `finish` raises for them.
        """
        todo = figures.planned(self.result, groups or figures.GROUPS)
        if not todo:
            return ()
        self._observer.begin("figures", total=len(todo), unit="figures")
        drawn: list[Drawn] = []
        with self._interruptible(), self._lock.held():
            for one in figures.drawn(todo, self.config.general):
                drawn.append(one)
                self._observer.advance()
        self._observer.end()
        order = {stem: index for index, (stem, _) in enumerate(todo)}
        drawn.sort(key=lambda one: order[one.stem])
        self.result.take_figures(drawn)
        return tuple(path for one in drawn for path in one.files if path.suffix == ".png")

    def finish(self) -> RunResult:
        """Write the summary; raise what went wrong on the way.

        Raises
        ------
        IncompleteError
            If more was lost than ``general.max_lost_fraction`` allows.
        FigureError
            If figures could not be drawn.
        IntccmsError
            What a stage has raised.
        """
        result = self.result
        try:
            self.write()
            with disk_errors(self.output.directory, self._advice):
                result.summary = self._write_summary()
        except OutputError:
            if result.failure is None:  # else the disk may have been the matter before
                raise
        finally:
            self.close()
        failure = result.failure
        if failure is None and result.is_incomplete:
            failure = IncompleteError(f"{result.loss}; the results are in {self.output.directory}")
        if result.undrawn and failure is not None:
            failure.add_note(result.undrawn_text)
        elif result.undrawn:
            failure = FigureError(result.undrawn_text)
        if failure is not None:
            raise failure
        return result

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Keep an error of a stage for `finish`, and write the summary that says it."""
        try:
            with self._interruptible():
                yield
        except IntccmsError as error:
            self.result.failure = error
            with suppress(OSError):  # the disk may be what is the matter
                self._write_summary()
            raise

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Close the workers of a stage that does not come to its end; the next one opens others.

        Raises
        ------
        Interrupted
            On Ctrl-C or the like, with one line.
        OutputError
            If the disk is full or the like, with one line.
        """
        self.is_running = True
        try:
            with disk_errors(self.output.directory, self._advice):
                yield
            self._workers.rest()
        except BaseException as error:
            self._workers.drop()
            if isinstance(error, KeyboardInterrupt) and not isinstance(error, Interrupted):
                raise Interrupted("interrupted; the same again goes on from here") from None
            raise
        finally:
            self.is_running = False

    @property
    def _advice(self) -> str:
        return (
            f"what was written before is kept in {self.output.directory}, finished chunks in "
            f"{self.config.general.cache_url}; make room, or set general.output_dir, and run the "
            "same again: it goes on from there"
        )

    def _write_summary(self, *, unfinished: bool = False) -> dict[str, Any]:
        summary = summarise(self.result, unfinished=unfinished)
        if self.result.has_written:
            with self._lock.held():
                write_json(self.output.run_summary_json, summary)
        return summary
