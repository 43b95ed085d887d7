"""Training as a stage of a run: events from the workers, models and figures into ``mva/``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

from intccms import mva as classifiers
from intccms.analysis import runner
from intccms.datasets import Fileset
from intccms.datasets.metadata import Metadata
from intccms.engine.processor import AnalysisProcessor, SampleProcessor
from intccms.errors import FitError, IncompleteError, InputError, IntccmsError
from intccms.execution.checkpoints import Damaged, decode, encode
from intccms.execution.executors import Executor, IterativeExecutor
from intccms.execution.tasks import Observer
from intccms.mva import Trained
from intccms.pipeline.figures import drawn
from intccms.pipeline.summary import RunResult
from intccms.plots import look_of
from intccms.plots import mva as figures_of
from intccms.plots.style import Drawn, Planned
from intccms.schema import Config, Statistics
from intccms.statistics import (
    SignalResult,
    Toys,
    Workspace,
    build_workspaces,
    cross_section_of,
    infer,
    mass_of,
    needs_toys,
    with_toys,
    write,
)
from intccms.statistics.configuration import settings
from intccms.storage import Output, write_bytes


def sampler_of(
    processor: AnalysisProcessor, metadata: Metadata
) -> tuple[SampleProcessor, Metadata]:
    """Make what collects the training events, and the plan of the datasets that have some.

    Raises
    ------
    InputError
        If a classifier cannot be trained.
    """
    todo = classifiers.check(processor.config, metadata.fileset)
    sampler = SampleProcessor(processor, classifiers.wanted(todo))
    mine = Fileset(tuple(one for one in metadata.fileset if one.dataset in sampler.tasks))
    kept: dict[str, Any] = {
        name: tuple(one for one in getattr(metadata, name) if one.dataset in sampler.tasks)
        for name in ("files", "failures", "work_items")
    }
    part = replace(metadata, fileset=mine, **kept)
    return sampler, part


def trained(
    processor: AnalysisProcessor,
    metadata: Metadata,
    executor: Executor,
    *,
    output: Output,
    observer: Observer,
) -> tuple[dict[str, Trained], list[Drawn]]:
    """Train and save every classifier that is not an ONNX model.

    Returns
    -------
    tuple
        The classifiers by name, and what became of their figures.

    Raises
    ------
    IncompleteError
        If more of the events to train on was lost than ``general.max_lost_fraction``.
    IntccmsError
        If a training fails.
    """
    config, found, plots = processor.config, dict[str, Trained](), list[Drawn]()
    sampler, part = sampler_of(processor, metadata)
    if not sampler.wanted:
        return found, plots
    analysis = runner.process(config, part, executor, processor=sampler, observer=observer)
    allowed, lost = config.general.max_lost_fraction, analysis.ledger.lost_fraction()
    if lost > allowed:
        first = analysis.ledger.lost_chunks[0]
        raise IncompleteError(
            f"no training: {lost:.1%} of a dataset is lost, more than general.max_lost_fraction="
            f"{allowed:g} allows; first: dataset {first.dataset!r}, {first.file}: {first.error}"
        )
    for mva in config.mva:
        if mva.name in sampler.wanted:
            observer.begin(f"training of {mva.name}", total=1)
            found[mva.name] = one = classifiers.train(mva, config, part.fileset, analysis)
            folder = output.mva_dir(mva.name)
            classifiers.save(one, folder)
            plots += _draw(one, config, folder)
            observer.advance()
            observer.end()
    return found, plots


def _draw(one: Trained, config: Config, folder: Path) -> list[Drawn]:
    look, evaluation = look_of(config), one.evaluation
    figures: list[Planned] = [
        (folder / "roc", partial(figures_of.roc, evaluation, look=look)),
        (folder / "score", partial(figures_of.score, evaluation, look=look)),
        (folder / "importance", partial(figures_of.importance, evaluation, look=look)),
        *(
            (folder / f"feature_{name}", partial(figures_of.feature, evaluation, name, look=look))
            for name in evaluation.features
        ),
    ]
    return list(drawn(figures, config.general))


log = logging.getLogger(__name__)

NAME = "results.dat"


def has_fit(result: RunResult) -> bool:
    """Tell whether there is something to fit; log why not where a fit was asked for."""
    config, book = result.config, result.book
    general = config.general
    if not general.run_statistics or general.run_plots_only or book is None or not book.channels:
        return False
    fitted = [channel.name for channel in config.active_channels if channel.fit_observable]
    reason = ""
    if not set(fitted) & set(book.channels):
        reason = "no filled channel has a fit_observable"
    elif not config.signals:
        reason = f"none of the processes {list(config.processes)} is a signal"
    if reason:
        log.warning("no fit: %s; general.run_statistics=False asks for none", reason)
    return not reason


def infer_signals(result: RunResult, workers: Callable[[], Executor], observer: Observer) -> None:
    """Fit each signal and find its limits, several at the same time; write what came out.

    Parameters
    ----------
    result
        Has the histograms and gets the results, in the order of the signals.
    workers
        Gives the executor; not called for one signal, which is fitted in this process, unless
        there are toys to be made.
    observer
        Is told of each signal.

    Raises
    ------
    InputError
        If the cabinetry configuration and the histograms do not fit together.
    FitError
        If something fails for a signal, with all reasons; the rest is written before.
    """
    config, folder = result.config, result.output.statistics_dir
    assert result.book is not None
    workspaces = build_workspaces(config, result.book)
    items = [
        (one, mass_of(config, one.signal), cross_section_of(config, one.signal))
        for one in workspaces
    ]
    executor = workers() if len(items) > 1 else IterativeExecutor()
    observer.begin("fits and limits", total=len(items), unit="signals")
    answers: dict[str, Any] = {}
    for (workspace, *_), answer in executor.map(_inferred, items):
        answers[workspace.signal] = answer
        observer.advance()
    observer.end()
    ordered = [answers[one.signal] for one in workspaces]
    calculator = settings(config).calculator
    for index, one in enumerate(ordered):
        if isinstance(one, SignalResult) and needs_toys(one, calculator):
            ordered[index] = _with_toys(one, settings(config), workers(), observer)
    result.results = {one.signal: one for one in ordered if isinstance(one, SignalResult)}
    failures = [one for one in ordered if not isinstance(one, SignalResult)]
    if result.results or not failures:
        write(result.results.values(), folder)
        save_results(result.results, folder)
    for one in failures:
        if not isinstance(one, IntccmsError):
            raise one
    reasons = [str(one) for one in failures]
    reasons += [reason for one in result.results.values() for reason in one.failures]
    if reasons:
        raise FitError("; ".join(reasons))


def _with_toys(
    result: SignalResult, asked: Statistics, executor: Executor, observer: Observer
) -> SignalResult:
    """Make toys on all workers, and show how many are done."""

    def run(
        function: Callable[..., Any], items: Any, *, arguments: tuple[Any, ...] = ()
    ) -> Iterator[tuple[Any, Any]]:
        observer.begin(f"toys of {result.signal}", total=len(items), unit="groups")
        for pair in executor.map(function, items, arguments=arguments):
            observer.advance()
            yield pair
        observer.end()

    return with_toys(result, Toys(asked.n_toys, asked.toy_seed, run))


def _inferred(item: tuple[Workspace, float | None, float]) -> SignalResult | FitError:
    """Infer one signal, on a worker perhaps; a failure is an answer too."""
    workspace, mass, cross_section = item
    with _silenced("pyhf"):  # what it has to say of a failure is in the FitError
        try:
            return infer(workspace, mass_gev=mass, cross_section_pb=cross_section)
        except FitError as error:
            return error


@contextmanager
def _silenced(name: str) -> Iterator[None]:
    """Keep the log of another package to ourselves."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def save_results(results: dict[str, SignalResult], folder: Path) -> None:
    """Keep the results, so that their figures can be made again."""
    write_bytes(folder / NAME, encode(results, key=NAME, codecs=_classes()))


def load_results(folder: Path) -> dict[str, SignalResult]:
    """Read what `save_results` has kept; empty if there was no fit.

    Raises
    ------
    InputError
        If the file is damaged, or was written by another version.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        results = decode(path.read_bytes(), key=NAME, codecs=_classes())
    except (Damaged, OSError) as error:
        raise InputError(f"{path} cannot be read ({error}): run the fit again") from error
    ours = isinstance(results, dict) and all(
        isinstance(one, SignalResult) for one in results.values()
    )
    if not ours:
        raise InputError(f"{path} does not hold results of fits: run the fit again")
    return dict(results)


@cache
def _classes() -> dict[str, type]:
    """Return the classes that a result is made of, by name: those that its annotations say."""
    found: dict[str, type] = {}
    waiting: list[Any] = [SignalResult]
    while waiting:
        kind = waiting.pop()
        if is_dataclass(kind) or hasattr(kind, "_fields"):
            if kind.__name__ not in found:
                found[kind.__name__] = kind
                waiting += get_type_hints(kind).values()
        else:
            waiting += get_args(kind)
    return found
