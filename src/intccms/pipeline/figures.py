"""Which figures a run makes, and where they go."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import matplotlib.pyplot as plt
import numpy as np

from intccms.engine.derived import Plane
from intccms.errors import InputError, WorkerLostError, nearest
from intccms.execution.executors import FuturesExecutor
from intccms.histograms import Book
from intccms.pipeline.summary import RunResult
from intccms.plots import Look, blind_of, cutflow, data_mc, look_of, systematics
from intccms.plots.plane import maps
from intccms.plots.style import Drawn, Planned, draw_and_save, rendered
from intccms.schema import Config, General

if TYPE_CHECKING:
    from cabinetry.fit import RankingResults

    from intccms.statistics import FitOutcome, SignalResult

Group = Literal["observables", "systematics", "cutflow", "statistics"]
GROUPS: tuple[Group, ...] = get_args(Group)

MANY = 12  # figures, from which on it pays to start processes: each imports for 2 s
MOST_PROCESSES = 4


def planned(result: RunResult, groups: Iterable[Group]) -> list[Planned]:
    """List the figures of a result: the path without suffix, and what draws it.

    Parameters
    ----------
    result
        What there is to show.
    groups
        Some of `GROUPS`.
    """
    look = look_of(result.config, result.book)
    makers: dict[Group, Callable[[], Iterator[Planned]]] = {
        "observables": lambda: _observables(result, result.output.plots_dir, look),
        "systematics": lambda: _systematics(result, result.output.plots_dir, look),
        "cutflow": lambda: _cutflows(result, result.output.plots_dir, look),
        "statistics": lambda: _statistics(result, result.output.statistics_dir, look),
    }
    return [one for group in groups for one in makers[group]()]


def drawn(todo: list[Planned], general: General) -> Iterator[Drawn]:
    """Try to draw each figure and save it as PNG and PDF; many of them in several processes.

    Parameters
    ----------
    todo
        As from `planned`.
    general
        Its `n_workers` is the largest number of processes; ``iterative`` wants none.

    Yields
    ------
    Drawn
        The files of a figure, or why there are none, in the order in which they are done.
    """
    n_processes = min(general.n_workers or os.cpu_count() or 1, MOST_PROCESSES)
    if len(todo) < MANY or n_processes == 1 or general.executor == "iterative":
        yield from (draw_and_save(index, todo) for index in range(len(todo)))
        return
    with closing(FuturesExecutor(n_processes)) as processes:
        for index, one in processes.map(draw_and_save, range(len(todo)), arguments=(todo,)):
            lost = isinstance(one, WorkerLostError)
            yield draw_and_save(index, todo) if lost else one


def pictures(result: RunResult, patterns: Iterable[str] = ()) -> Iterator[bytes]:
    """Draw some of the observables as PNG for a screen; nothing is written.

    Parameters
    ----------
    result
        What there is to show.
    patterns
        Of ``channel/observable``; none: the fitted observable of each channel.

    Raises
    ------
    InputError
        If a pattern matches nothing.
    """
    fitted = [f"{one.name}/{one.fit_observable}" for one in result.config.active_channels]
    todo = {
        stem.relative_to(result.output.plots_dir).as_posix(): draw
        for stem, draw in planned(result, ["observables"])
    }
    for pattern in patterns:
        if not fnmatch.filter(todo, pattern):
            raise InputError(f"no figure {pattern!r}; {nearest(pattern, todo)}")
    for name, draw in todo.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns or fitted):
            figure, _ = draw()
            yield rendered(figure)
            plt.close(figure)


def _observables(result: RunResult, folder: Path, look: Look) -> Iterator[Planned]:
    book = result.book
    if book is None:
        return
    for where in book.histograms:
        blind = blind_of(result.config, *where)
        stem = folder.joinpath(*where)
        yield stem, partial(data_mc, book, *where, blind=blind, look=look)
        for year, of_year in result.years.items():
            lumi_fb = result.config.general.lumi_for(year) / 1000
            its_look = replace(look, lumi_fb=lumi_fb, period=year)
            draw = partial(data_mc, of_year, *where, blind=blind, look=its_look)
            yield folder.joinpath(year, *where), draw
        if where[1] == _fit_observable(result.config, where[0]):
            draw = partial(data_mc, book, *where, blind=blind, look=replace(look, log=True))
            yield stem.with_name(f"{stem.name}_log"), draw
        plane = _plane(result.config, *where)
        if plane is not None:
            seen = partial(maps, book, *where, plane, blind=blind, look=look)
            yield stem.with_name(f"{stem.name}_map"), seen


def _systematics(result: RunResult, folder: Path, look: Look) -> Iterator[Planned]:
    """Show the signals and the largest background; the others look much the same."""
    book = result.book
    if book is None:
        return
    for channel in book.channels:
        observable = _fit_observable(result.config, channel)
        if observable is None:
            continue
        for process in _main_processes(book, channel, look):
            what = (book, channel, observable, process)
            stem = folder / channel / f"systematics_{process}"
            draw = partial(systematics.grid, *what, look=look)
            yield from _pages(stem, draw, systematics.n_pages(*what))
            stem = stem.with_name(f"systematics_{process}_summary")
            yield stem, partial(systematics.summary, *what, look=look)


def _pages(stem: Path, draw: Callable[..., tuple[Any, Any]], n_pages: int) -> Iterator[Planned]:
    """List the pages of a figure; from the second on they have their number in the name."""
    for page in range(1, n_pages + 1):
        name = stem.name if page == 1 else f"{stem.name}_{page}"
        yield stem.with_name(name), partial(draw, page=page)


def _main_processes(book: Book, channel: str, look: Look) -> Iterator[str]:
    sizes = {
        process: one.value
        for process, one in book.yields(channel).items()
        if process in book.mc_processes and book.varied[process]
    }
    backgrounds = [process for process in sizes if not look.is_signal(process)]
    yield from look.overlaid(sizes)
    if backgrounds:
        yield max(backgrounds, key=lambda process: sizes[process])


def _cutflows(result: RunResult, folder: Path, look: Look) -> Iterator[Planned]:
    flow = result.visible_cutflow(look.data)
    for channel in flow:
        yield folder / channel / "cutflow", partial(cutflow.plot, flow, channel, look=look)


def _statistics(result: RunResult, folder: Path, look: Look) -> Iterator[Planned]:
    if result.results:
        yield from fit_figures(result.results, folder, look)


def fit_figures(results: Mapping[str, SignalResult], folder: Path, look: Look) -> Iterator[Planned]:
    """List the figures of fits and limits: the path without suffix, and what draws it.

    Those of one signal of several are in a folder of its name.
    """
    from intccms.plots import statistics
    from intccms.statistics import families

    for signal, result in results.items():
        inside = folder if len(results) == 1 else folder / signal
        if result.fit is not None:
            yield from _of_fit(result.fit, result.ranking, inside, look)
        if result.limits is not None:
            yield inside / "limit", partial(statistics.cls_scan, result.limits, look=look)
    workspaces = [one.workspace for one in results.values()]
    for region in workspaces[0].regions if workspaces else ():
        if workspaces[0].systematics(region.name):
            draw = partial(statistics.treated, workspaces, region.name, look=look)
            yield folder / f"templates_{region.name}", draw
    for family in families(list(results.values())):
        suffix = f"_{family.name}".rstrip("_")
        limited = tuple(one for one in family.results if one.limits is not None)
        tested = tuple(one for one in family.results if one.significance is not None)
        for scan, known in (
            (statistics.limits_by_mass, limited),
            (statistics.p_values_by_mass, tested),
        ):
            if len(known) > 1:
                draw = partial(scan, replace(family, results=known), look=look)
                yield folder / f"{scan.__name__}{suffix}", draw


def _of_fit(
    outcome: FitOutcome, ranking: RankingResults | None, folder: Path, look: Look
) -> Iterator[Planned]:
    from intccms.plots import statistics

    for prediction in (*outcome.prefit, *outcome.postfit):
        name = "postfit" if prediction.is_postfit else "prefit"
        draw = partial(statistics.fitted, prediction, look=replace(look, log=True))
        yield folder / f"{name}_{prediction.channel}", draw
    has_data = any(bool(np.isfinite(one.observed).any()) for one in outcome.postfit)
    if outcome.n_dof > 0 and has_data:  # of the expectation it says nothing
        yield (
            folder / "goodness_of_fit",
            partial(statistics.goodness_of_fit, outcome, look=look),
        )
    if outcome.pulls:
        draw_pulls = partial(statistics.pulls, outcome, look=look)
        yield from _pages(folder / "pulls", draw_pulls, max(statistics.n_pull_pages(outcome), 1))
    if len(outcome.results.labels) > 1:
        yield folder / "correlations", partial(statistics.correlations, outcome, look=look)
    if ranking is not None and ranking.labels:
        yield folder / "ranking", partial(statistics.impacts, ranking, outcome, look=look)


def _plane(config: Config, channel: str, observable: str) -> Plane | None:
    """Say which plane an observable unrolls, if it does."""
    entries = [
        one for entry in config.channels if entry.name == channel for one in entry.observables
    ]
    function = {one.name: one.function for one in entries}.get(observable)
    return function if isinstance(function, Plane) else None


def _fit_observable(config: Config, channel: str) -> str | None:
    fitted = {entry.name: entry.fit_observable for entry in config.channels}
    return fitted.get(channel)
