"""Which figures a run makes, and where they go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from intccms.engine.derived import Plane
from intccms.errors import WorkerLostError
from intccms.execution.executors import FuturesExecutor
from intccms.histograms import Book
from intccms.pipeline.summary import Findings, visible_cutflow
from intccms.plots import Look, blind_of, cutflow, data_mc, look_of, systematics
from intccms.plots.plane import maps
from intccms.plots.style import Drawn, Planned, draw_and_save
from intccms.schema import Config, General
from intccms.storage import Output

__all__ = ["GROUPS", "Group", "drawn", "planned"]

Group = Literal["observables", "systematics", "cutflow", "statistics"]
GROUPS: tuple[Group, ...] = get_args(Group)

MANY = 12  # figures, from which on it pays to start processes: each imports for 2 s
MOST_PROCESSES = 4


def planned(found: Findings, output: Output, groups: Iterable[Group]) -> list[Planned]:
    """List the figures of what was found: the path without suffix, and what draws it.

    Parameters
    ----------
    found, output
        What there is to show, and where figures go.
    groups
        Some of `GROUPS`.
    """
    look = look_of(found.config, found.book)
    makers: dict[Group, Callable[[], Iterator[Planned]]] = {
        "observables": lambda: _observables(found, output.plots_dir, look),
        "systematics": lambda: _systematics(found, output.plots_dir, look),
        "cutflow": lambda: _cutflows(found, output.plots_dir, look),
        "statistics": lambda: _statistics(found, output.statistics_dir, look),
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


def _observables(found: Findings, folder: Path, look: Look) -> Iterator[Planned]:
    book = found.book
    if book is None:
        return
    for where in book.histograms:
        blind = blind_of(found.config, *where)
        stem = folder.joinpath(*where)
        yield stem, partial(data_mc, book, *where, blind=blind, look=look)
        for year, of_year in found.years.items():
            lumi_fb = found.config.general.lumi_for(year) / 1000
            its_look = replace(look, lumi_fb=lumi_fb, period=year)
            draw = partial(data_mc, of_year, *where, blind=blind, look=its_look)
            yield folder.joinpath(year, *where), draw
        if where[1] == _fit_observable(found.config, where[0]):
            draw = partial(data_mc, book, *where, blind=blind, look=replace(look, log=True))
            yield stem.with_name(f"{stem.name}_log"), draw
        plane = _plane(found.config, *where)
        if plane is not None:
            seen = partial(maps, book, *where, plane, blind=blind, look=look)
            yield stem.with_name(f"{stem.name}_map"), seen


def _systematics(found: Findings, folder: Path, look: Look) -> Iterator[Planned]:
    """Show the signals and the largest background; the others look much the same."""
    book = found.book
    if book is None:
        return
    for channel in book.channels:
        observable = _fit_observable(found.config, channel)
        if observable is None:
            continue
        for process in _main_processes(book, channel, look):
            what = (book, channel, observable, process)
            stem = folder / channel / f"systematics_{process}"
            yield stem, partial(systematics.grid, *what, look=look)
            stem = stem.with_name(f"systematics_{process}_summary")
            yield stem, partial(systematics.summary, *what, look=look)


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


def _cutflows(found: Findings, folder: Path, look: Look) -> Iterator[Planned]:
    flow = visible_cutflow(found.config, found.cutflow, look.data)
    for channel in flow:
        yield folder / channel / "cutflow", partial(cutflow.plot, flow, channel, look=look)


def _statistics(found: Findings, folder: Path, look: Look) -> Iterator[Planned]:
    if found.results:  # cabinetry takes 2 s to import
        from intccms.pipeline.fit_figures import fit_figures

        yield from fit_figures(found.results, folder, look)


def _plane(config: Config, channel: str, observable: str) -> Plane | None:
    """Say which plane an observable unrolls, if it does."""
    entries = [
        one for entry in config.channels if entry.name == channel for one in entry.observables
    ]
    found = {one.name: one.function for one in entries}.get(observable)
    return found if isinstance(found, Plane) else None


def _fit_observable(config: Config, channel: str) -> str | None:
    fitted = {entry.name: entry.fit_observable for entry in config.channels}
    return fitted.get(channel)
