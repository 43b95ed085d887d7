"""Fits and limits as stages of a run, with their progress, and their results kept for plots.

Touches ``statistics/results.dat``, from which the figures can be drawn again: JSON and arrays with
a checksum, of which nothing is run when it is read, whoever wrote it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from intccms.errors import FitError, InputError, IntccmsError
from intccms.execution.checkpoints import Damaged, decode, encode
from intccms.execution.executors import Executor, IterativeExecutor
from intccms.execution.tasks import Observer
from intccms.pipeline.summary import Findings
from intccms.schema import Statistics
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

__all__ = ["has_fit", "infer_signals", "load_results", "save_results"]

log = logging.getLogger(__name__)

NAME = "results.dat"


def has_fit(found: Findings) -> bool:
    """Tell whether there is something to fit; log why not where a fit was asked for."""
    config, book = found.config, found.book
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


def infer_signals(
    found: Findings, output: Output, workers: Callable[[], Executor], observer: Observer
) -> None:
    """Fit each signal and find its limits, several at the same time; write what came out.

    Parameters
    ----------
    found
        Has the histograms and gets the results, in the order of the signals.
    output
        Where the files go.
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
    config = found.config
    assert found.book is not None
    workspaces = build_workspaces(config, found.book)
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
    found.results = {one.signal: one for one in ordered if isinstance(one, SignalResult)}
    failures = [one for one in ordered if not isinstance(one, SignalResult)]
    if found.results or not failures:
        write(found.results.values(), output.statistics_dir)
        save_results(found.results, output.statistics_dir)
    for one in failures:
        if not isinstance(one, IntccmsError):
            raise one
    reasons = [str(one) for one in failures]
    reasons += [reason for one in found.results.values() for reason in one.failures]
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
