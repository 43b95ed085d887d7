"""Fits and limits as stages of a run, with their progress, and their results kept for plots.

Touches ``statistics/results.pkl``, from which the figures can be drawn again.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intccms.errors import InputError
from intccms.execution.observer import Observer
from intccms.pipeline.summary import Findings
from intccms.schema import Config
from intccms.statistics import (
    SignalResult,
    Workspace,
    cross_section_of,
    fit,
    limits,
    mass_of,
    ranking,
    significance,
)
from intccms.utils.output import write_bytes

__all__ = ["has_fit", "inferred", "load_results", "save_results"]

log = logging.getLogger(__name__)

NAME = "results.pkl"


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


def inferred(workspace: Workspace, config: Config, observer: Observer) -> SignalResult:
    """Fit one signal and find its limits.

    Raises
    ------
    FitError
        If a fit or a limit fails.
    """
    signal = workspace.signal
    with _silenced("pyhf"):  # what it has to say of a failure is in the FitError
        observer.begin(f"fit of {signal}", total=2)
        outcome = fit(workspace)
        observer.advance()
        impacts = ranking(workspace, outcome)
        observer.advance()
        observer.end()
        observer.begin(f"limit on {signal}", total=2)
        found = limits(workspace)
        observer.advance()
        discovery = significance(workspace)
        observer.advance()
        observer.end()
    mass, cross_section = mass_of(config, signal), cross_section_of(config, signal)
    return SignalResult(workspace, outcome, impacts, found, discovery, mass, cross_section)


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
    write_bytes(folder / NAME, pickle.dumps(results, protocol=5))


def load_results(folder: Path) -> dict[str, SignalResult]:
    """Read what `save_results` has kept; empty if there was no fit.

    Only for files that one trusts: reading a pickle may run what it contains.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        results: dict[str, SignalResult] = pickle.loads(path.read_bytes())
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): run the fit again") from error
    return results
